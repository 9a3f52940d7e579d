"""Where a call's time goes: each stage of the way of one allowed call, by itself. `python -m tests.bench.stages`.

The real parts of a real application, driven stage by stage in this process. CPU time is the process's, all of its
threads together, so what the recorder's thread does is counted where it is caused.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from tests.bench.load import Load
from tests.bench.policies import ALLOWED_TOOL, SERVICE
from tests.bench.subjects import call_body, calling_agent, free_port, listening, process, upstream
from tests.instance import Instance
from wicket.app import settle_memory
from wicket.core.jsonrpc import Request, parse_message
from wicket.core.session import FRESH
from wicket.front import STATE_KEY, Front, Served
from wicket.gateway.exchange import Passage, Reply
from wicket.gateway.gateway import Caller, Gateway
from wicket.gateway.http import Inbound, Outbound, find_bearer
from wicket.runtime.recorder import Recorded

AT_ONCE = 32
BATCHES = 100
SECONDS = 2.0


@dataclass(frozen=True)
class Stage:
    """A part of the way, and the CPU time that a call spends there."""

    name: str
    cpu_us: float


class Spent:
    """CPU time by stage, in the order in which they were first seen."""

    def __init__(self) -> None:
        self._s: dict[str, float] = {}

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        begun_s = time.process_time()
        yield
        self._s[stage] = self._s.get(stage, 0.0) + time.process_time() - begun_s

    def stages(self, calls: int) -> list[Stage]:
        return [Stage(name, 1e6 * spent_s / calls) for name, spent_s in self._s.items()]


class Ready:
    """Answers at once, so that only the server around it is measured."""

    async def answer(self, inbound: Inbound) -> Outbound:
        return Outbound(200, body=b'{"jsonrpc":"2.0","id":1,"result":{}}' + b" " * len(inbound.body))

    def drain(self) -> None:
        """Nothing waits."""


def inbound_of(key: str, number: int) -> Inbound:
    headers = (
        ("host", "127.0.0.1"),
        ("authorization", f"Bearer {key}"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("x-claude-code-session-id", f"bench-{number}"),
        ("content-length", "200"),
    )
    return Inbound("POST", None, headers, call_body(f"{SERVICE}__{ALLOWED_TOOL}").encode(), "127.0.0.1")


async def batch(gateway: Gateway, inbounds: list[Inbound], spent: Spent) -> None:
    """So many calls side by side, a stage at a time; each takes what the one before has made."""
    with spent.on("bearer, digest, world"):
        found = [await gateway._find(find_bearer(inbound)) for inbound in inbounds]
    with spent.on("strict parse"):
        parsed = [parse_message(inbound.body, inbound.headers) for inbound in inbounds]
    messages = [message for message in parsed if isinstance(message, Request)]
    callers: list[Caller] = []
    with spent.on("caller and tool session"):
        for inbound, message, known in zip(inbounds, messages, found, strict=True):
            assert known is not None
            callers.append(gateway._caller(inbound, message, find_bearer(inbound) or "", known))
    with spent.on("rate limit"):
        for caller in callers:
            gateway._seconds_to_wait(caller)
    asked = list(zip(inbounds, messages, callers, strict=True))
    with spent.on("target, redaction, entry's id"):
        targets = [gateway._target(inbound, caller, message) for inbound, message, caller in asked]
        attempts = [
            gateway._attempts.build(inbound, message, target, caller.key, caller.session, caller.world)
            for (inbound, message, caller), target in zip(asked, targets, strict=True)
        ]
    world = callers[0].world
    with spent.on("decision"):
        for attempt in attempts:
            attempt.judge(world, FRESH)
    with spent.on("durable record, the decision above included"):
        committed = [gateway._recorder.commit(attempt, world) for attempt in attempts]
        recorded = await asyncio.gather(*committed)
    with spent.on("token, upstream's answer, outcome"):
        sent = [forward(gateway, *one) for one in zip(messages, callers, recorded, strict=True)]
        replies = await asyncio.gather(*sent)
    assert all(b'"result"' in reply.body for reply in replies)


async def forward(gateway: Gateway, request: Request, caller: Caller, recorded: Recorded) -> Reply:
    flight = gateway._flights.open(recorded.world, caller.key, caller.session.slot, request.id)
    return await gateway._exchange.replies(Passage(request, caller.bearer), recorded, flight).last()


async def under_load(port: int, key: str, directory: Path) -> float:
    """CPU time of this process for a call that comes over HTTP."""
    body = call_body(f"{SERVICE}__{ALLOWED_TOOL}")
    load = Load(port, "/mcp", key, body, '"result"', AT_ONCE, "stages", SECONDS)
    begun_s = time.process_time()
    async with process(
        [sys.executable, "-m", "tests.bench.load", json.dumps(asdict(load))], cwd=directory
    ) as client:
        said = json.loads((await client.communicate())[0])
    calls = said["calls"]
    assert isinstance(calls, int)
    return 1e6 * (time.process_time() - begun_s) / calls


@asynccontextmanager
async def serving(front: Front) -> AsyncIterator[int]:
    """The port of a server as `wicket serve` configures it."""
    port = free_port()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][STATE_KEY] = front
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    config = uvicorn.Config(
        application, port=port, lifespan="on", loop="none", http=Served, ws="none", log_level="warning",
        log_config=None,
    )  # fmt: skip
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await listening(port)
    try:
        yield port
    finally:
        server.should_exit = True
        await task


async def measure(directory: Path) -> list[Stage]:
    """Everything, and then its parts."""
    async with (
        upstream(directory) as upstream_port,
        Instance.started(directory, rate_burst=1_000_000, rate_per_second=1_000_000) as wicket,
    ):
        key = await calling_agent(wicket, f"http://127.0.0.1:{upstream_port}")
        settle_memory()
        front = wicket.parts.front
        gateway = front.handler
        assert isinstance(gateway, Gateway)
        async with serving(front) as port:
            whole = median([await under_load(port, key, directory) for _ in range(3)])
        ready = Front(handler=Ready(), api=front.api, door=front.door, limits=front.limits)
        async with serving(ready) as port:
            server = median([await under_load(port, key, directory) for _ in range(3)])
        inbounds = [inbound_of(key, number) for number in range(AT_ONCE)]
        await batch(gateway, inbounds, Spent())
        spent = Spent()
        for _ in range(BATCHES):
            await batch(gateway, inbounds, spent)
        parts = spent.stages(AT_ONCE * BATCHES)
        return [Stage("**a whole call over HTTP**", whole), Stage("the front", server), *parts]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="wicket-stages-") as name:
        sys.stdout.write(json.dumps([asdict(stage) for stage in uvloop.run(measure(Path(name)))]))
