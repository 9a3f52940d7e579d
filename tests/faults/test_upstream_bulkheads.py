"""One of five upstreams misbehaves, with two hundred calls on it; the other four do not notice.

Told by counts and by order alone: whatever a healthy upstream was asked is answered while the bad one's calls are
still in the air. What it costs in milliseconds is measured elsewhere (tests/bench/bulkheads.py).
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.gateway.scene import Scene, scene
from tests.instance import Answer
from tests.upstreams import faults
from tests.upstreams.calls import Said, recorded_call, target_of, upstream_side
from tests.upstreams.recording import ECHO, Out, RecordingUpstream, Seen
from wicket.core.model import AgentStatus
from wicket.runtime.upstream.http import EVENTS_AT_ONCE
from wicket.runtime.wire import WireLimits

HEALTHY: Final = ("fake", "one", "two", "three")
ON_THE_BAD_ONE: Final = 200
CALLS_EACH: Final = 50
EVENTS: Final = 100
PLACES: Final = WireLimits().connections_per_host
STUCK: Final = {
    fault.__name__: fault
    for fault in (
        *(faults.hang, faults.hang_after_head, faults.hang_in_stream),
        *(faults.drip_head, faults.drip_body, faults.drip_stream),
    )
}
FAILING: Final = {
    fault.__name__: fault for fault in (faults.reset, faults.html, faults.malformed_json, faults.server_error)
}


@dataclass
class Five:
    scene: Scene
    bad: RecordingUpstream
    good: dict[str, RecordingUpstream]

    async def ask_the_healthy(self) -> list[Answer]:
        """So many calls on each, all at once."""
        return await asyncio.gather(*(self.scene.call(tool=f"{name}__echo") for name in HEALTHY * CALLS_EACH))

    @property
    def asked(self) -> dict[str, int]:
        return {name: len(upstream.calls) for name, upstream in self.good.items()}


@asynccontextmanager
async def five(directory: Path) -> AsyncIterator[Five]:
    """All with their handshakes done."""
    settings = {"response_bytes_max": 1024 * 1024, "upstream_timeout_s": 120.0}
    async with (
        scene(directory, settings=settings) as s,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as s.wicket.http,
        AsyncExitStack() as stack,
    ):
        others = [name for name in (*HEALTHY, "bad") if name != "fake"]
        more = {name: await stack.enter_async_context(RecordingUpstream()) for name in others}
        for name, upstream in more.items():
            await s.wicket.connector(s.agent, name, upstream.url)
        await s.wicket.enable(s.agent, "fake", *more)
        await s.agent.policy(service="*", name="everything", tools=["*"])
        for name in others:
            await s.pin(name, ECHO)
        for name in (*HEALTHY, "bad"):
            assert (await s.call(tool=f"{name}__echo")).status == 200
        bad = more.pop("bad")
        yield Five(s, bad, {"fake": s.upstream, **more})


@pytest.mark.promise("P12")
@pytest.mark.parametrize(
    "name", ["hang", *(pytest.param(name, marks=pytest.mark.slow) for name in STUCK if name != "hang")]
)
async def test_four_upstreams_answer_while_two_hundred_calls_stick_in_the_fifth(
    name: str, tmp_path: Path
) -> None:
    async with five(tmp_path) as f:
        f.bad.on("tools/call", STUCK[name])
        stuck = [asyncio.create_task(f.scene.call(tool="bad__echo")) for _ in range(ON_THE_BAD_ONE)]
        await f.bad.wait_for("tools/call", PLACES + 1)
        answers = await f.ask_the_healthy()
        in_the_air = sum(not call.done() for call in stuck)
        listed = await f.scene.wicket.rpc(f.scene.key, "tools/list")
        await f.scene.agent.status(AgentStatus.DISABLED)
        ended = await asyncio.gather(*stuck)
        entries = await f.scene.ended(1 + ON_THE_BAD_ONE)

    assert {answer.status for answer in answers} == {200}
    assert f.asked == dict.fromkeys(HEALTHY, CALLS_EACH + 1)
    # Whoever found no place among the bad one's connections may have given up; who has one, waits.
    assert in_the_air >= PLACES
    assert f.bad.connections <= PLACES + 1
    assert len(listed.result["tools"]) == 5  # type: ignore[arg-type]
    assert {answer.status for answer in ended} <= {200, 403, 502}
    outcomes = [entry.outcomes for entry in entries if entry.service == "bad"]
    assert sum(one == ("cancelled",) for one in outcomes) >= PLACES
    assert all(len(one) == 1 for one in outcomes)


@pytest.mark.promise("P12")
@pytest.mark.slow
@pytest.mark.parametrize("name", FAILING)
async def test_four_upstreams_answer_while_two_hundred_callers_run_against_the_fifth(
    name: str, tmp_path: Path
) -> None:
    healthy_are_done = asyncio.Event()
    failed: list[Answer] = []

    async def insist(f: Five) -> None:
        while not healthy_are_done.is_set():
            failed.append(await f.scene.call(tool="bad__echo"))

    async with five(tmp_path) as f:
        f.bad.on("tools/call", FAILING[name])
        insisting = [asyncio.create_task(insist(f)) for _ in range(ON_THE_BAD_ONE)]
        await f.bad.wait_for("tools/call", 2)
        answers = await f.ask_the_healthy()
        healthy_are_done.set()
        await asyncio.gather(*insisting)
        sent = len(f.bad.calls) - 1

    assert {answer.status for answer in answers} == {200}
    assert f.asked == dict.fromkeys(HEALTHY, CALLS_EACH + 1)
    assert {answer.status for answer in failed} == {502}
    assert sent <= len(failed)
    assert len(failed) >= ON_THE_BAD_ONE


@pytest.mark.promise("P12")
@pytest.mark.slow
async def test_a_bad_upstreams_callers_leave_and_take_nothing_with_them(tmp_path: Path) -> None:
    """Two hundred hang, are cut, and two hundred more: no place among the connections is lost."""
    async with five(tmp_path) as f:
        f.bad.on("tools/call", faults.hang)
        for time in range(3):
            arrived = len(f.bad.calls)
            stuck = [asyncio.create_task(f.scene.call(tool="bad__echo")) for _ in range(ON_THE_BAD_ONE)]
            await f.bad.wait_for("tools/call", arrived + PLACES)
            await f.scene.agent.status(AgentStatus.DISABLED)
            assert {answer.status for answer in await asyncio.gather(*stuck)} <= {403, 502}, time
            await f.scene.agent.status(AgentStatus.ACTIVE)
        f.bad.on("tools/call", None)
        answers = await asyncio.gather(*(f.scene.call(tool="bad__echo") for _ in range(ON_THE_BAD_ONE)))
    assert {answer.status for answer in answers} == {200}


@pytest.mark.promise("P10")
async def test_of_many_events_that_come_at_once_a_few_are_passed_on_and_then_others_have_a_turn() -> None:
    turns, at = 0, list[int]()

    async def be_another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def take(at_hand: Iterator[Said]) -> bool:
        at.extend(turns for _ in at_hand)
        return False

    async def burst(seen: Seen, out: Out) -> None:
        said = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "working"}}
        events = [*[said] * EVENTS, faults.result_of(seen.id)]
        await out.stream()
        await out.chunk(b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events))
        await out.finish()

    async with RecordingUpstream() as server, upstream_side() as upstream:
        server.on("tools/call", burst)
        another = asyncio.create_task(be_another())
        reply = await upstream.forward(
            recorded_call(), target_of(server.url), meta={}, progress_token=None, before_first_byte=None
        )
        with closing(reply):
            await reply.pass_on(take)
        another.cancel()
    assert len(at) == EVENTS + 1
    assert max(Counter(at).values()) <= EVENTS_AT_ONCE
