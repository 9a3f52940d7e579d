"""What one bad upstream costs the callers of four others: `python -m tests.bench.bulkheads` prints figures as JSON.

Two hundred callers are on the fifth upstream all the time. While it hangs, drips or fails, the 99th percentile of the
calls to the other four is compared with what it is when nobody calls the fifth; where callers who fail come back,
with what it is when they come back as often and are answered. States take turns, so that a busy machine is busy in
all of them. `WICKET_TEST_ROUNDS` says how many turns.

A connection that was reset is no good for another call, whatever a proxy does: each of these calls needs a new one,
which costs about half as much again as the call does, here and in this process, which is the upstream. So `resets` is
compared with an upstream that answers and then hangs up, to which as many calls and as many connections are made: what
is left is what the reset costs. The figures of that one stand beside those of `answers`, which keeps its connections,
so that what connections cost is to be seen, too.
"""

import asyncio
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Final

import aiohttp

from tests import evidence
from tests.bench.load import Load
from tests.bench.policies import ALLOWED_TOOL
from tests.bench.subjects import call_body, process, reviewed, upstream
from tests.bench.upstream import TOKEN
from tests.faults.process import Served, served
from tests.reachable import Reachable
from tests.upstreams import faults
from tests.upstreams.recording import Behaviour, Out, RecordingUpstream, Seen
from wicket.core.model import AuthType

HEALTHY: Final = ("one", "two", "three", "four")
BAD: Final = "bad"
ON_THE_BAD_ONE: Final = 200
CALLERS_EACH: Final = 2
SECONDS: Final = 3.0
AGAIN_S: Final = 1.0
"""After which a caller of the fifth comes back."""
UNTIL_S: Final = 30.0
DRIP_S: Final = 10.0
P99_RATIO_MAX: Final = 1.10


async def answer(seen: Seen, out: Out) -> None:
    await out.json(faults.result_of(seen.id))


async def answer_and_hang_up(seen: Seen, out: Out) -> None:
    await out.json(faults.result_of(seen.id), headers={"Connection": "close"})
    out.hang_up()


async def drip(seen: Seen, out: Out) -> None:
    """A byte in ten seconds."""
    await out.stream()
    await out.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": seen.id}})
    while not await out.is_left(within_s=DRIP_S):
        await out.raw(b"1\r\n:\r\n")


STATES: Final[Mapping[str, Behaviour | None]] = {
    "nobody calls it": None,
    "hangs": faults.hang,
    "drips": drip,
    "answers": answer,
    "fails": faults.server_error,
    "answers and hangs up": answer_and_hang_up,
    "resets": faults.reset,
}
COMPARED: Final = {
    "hangs": "nobody calls it",
    "drips": "nobody calls it",
    "fails": "answers",
    "resets": "answers and hangs up",
}


async def agent_of(people: Reachable, urls: Mapping[str, str]) -> str:
    """The key of somebody who may call all five."""
    agent = await people.agent("five", services=urls, auth=AuthType.BEARER, tiers={})
    key = await agent.key()
    for service in urls:
        await agent.connect(service, TOKEN)
    await reviewed(agent, key, dict.fromkeys(urls, (ALLOWED_TOOL,)))
    for service in urls:
        await agent.policy(service=service)
    return key


async def insist(people: Reachable, key: str) -> None:
    """One caller of the fifth, who comes back whatever it is told, and whose leaving ends its call."""
    while True:
        try:
            await people.call(key, f"{BAD}__{ALLOWED_TOOL}", modern=True)
        except aiohttp.ClientError:
            continue
        finally:
            await asyncio.sleep(AGAIN_S)


@asynccontextmanager
async def callers(server: Served, key: str) -> AsyncIterator[None]:
    """All of them, until the block ends."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        people = Reachable(server.wicket.database, server.wicket.server_keys, server.url, http)
        tasks = [asyncio.create_task(insist(people, key)) for _ in range(ON_THE_BAD_ONE)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def measured(server: Served, key: str, service: str, directory: Path) -> dict[str, float]:
    """One healthy upstream's callers, in a process of their own."""
    body = call_body(f"{service}__{ALLOWED_TOOL}")
    port = int(server.url.rpartition(":")[2])
    load = Load(port, "/mcp", key, body, '"result"', CALLERS_EACH, service, SECONDS)
    command = [sys.executable, "-m", "tests.bench.load", json.dumps(asdict(load))]
    async with process(command, cwd=directory) as client:
        said: dict[str, float] = json.loads((await client.communicate())[0])
    return said


async def turn(
    state: str, server: Served, key: str, bad: RecordingUpstream, directory: Path
) -> list[dict[str, float]]:
    """The figures of the four while the fifth is in a state."""
    async with AsyncExitStack() as stack:
        if (behaviour := STATES[state]) is not None:
            arrived = len(bad.calls)
            bad.on("tools/call", behaviour)
            await stack.enter_async_context(callers(server, key))
            async with asyncio.timeout(UNTIL_S):
                while len(bad.calls) == arrived:
                    await asyncio.sleep(AGAIN_S / 10)
        return await asyncio.gather(*(measured(server, key, service, directory) for service in HEALTHY))


async def run(rounds: int, directory: Path) -> tuple[dict[str, dict[str, float]], int]:
    """State -> its figures; and how many healthy calls were made."""
    p99, rate, opened, calls = defaultdict(list), defaultdict(list), defaultdict(list), 0.0
    async with AsyncExitStack() as stack:
        bad = await stack.enter_async_context(
            RecordingUpstream(tools=[{"name": ALLOWED_TOOL, "inputSchema": {"type": "object"}}])
        )
        urls = {BAD: bad.url}
        for service in HEALTHY:
            port = await stack.enter_async_context(upstream(directory))
            urls[service] = f"http://127.0.0.1:{port}/mcp"
        server = await stack.enter_async_context(served(directory))
        key = await agent_of(server.wicket, urls)
        for _ in range(rounds):
            for state in STATES:
                connections = bad.connections
                said = await turn(state, server, key, bad, directory)
                opened[state].append(bad.connections - connections)
                p99[state].append(max(one["p99_ms"] for one in said))
                rate[state].append(sum(one["calls_per_s"] for one in said))
                calls += sum(one["calls"] for one in said)
                bad.seen.clear()
    figures = {
        state: {
            "p99_ms": round(median(p99[state]), 2),
            "calls_per_s": round(median(rate[state])),
            "connections_to_the_fifth": round(median(opened[state])),
        }
        for state in STATES
    }
    for state, calm in COMPARED.items():
        figures[state]["p99_ratio"] = round(figures[state]["p99_ms"] / figures[calm]["p99_ms"], 3)
    return figures, int(calls)


async def main() -> int:
    with tempfile.TemporaryDirectory(prefix="wicket-bulkheads-") as name:
        figures, calls = await run(evidence.asked("WICKET_TEST_ROUNDS", 5), Path(name))
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    slower = sum(figures[state]["p99_ratio"] > P99_RATIO_MAX for state in COMPARED)
    ratios = {f"p99_percent_{state}": round(100 * figures[state]["p99_ratio"]) for state in COMPARED}
    evidence.note("bulkheads", calls, wrong={"states in which others had to wait": slower}, **ratios)
    return int(slower > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
