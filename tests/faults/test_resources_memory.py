"""What calls leave behind when they are over: nothing but their entries."""

import asyncio
import gc
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests import evidence
from tests.campaign import memory
from tests.gateway.scene import Scene, scene
from tests.instance import PATIENT
from tests.upstreams import faults
from tests.upstreams.recording import Out, Seen
from wicket.core.model import AgentStatus
from wicket.runtime.recorder import Limits

CALLS: Final = min(evidence.asked("WICKET_TEST_CALLS", 20_000), 20_000)
AT_ONCE: Final = 25
ROUNDS: Final = 12
LEFT_MAX: Final = AT_ONCE
"""Of objects of one type that a few hundred calls may leave: what each wave of them needs, and not each call."""
SESSIONS: Final = 300
FACTS_MAX: Final = 50


@pytest.mark.promise("P10")
@pytest.mark.slow
async def test_thousands_of_calls_leave_no_descriptor_open_and_no_memory_behind(tmp_path: Path) -> None:
    figures = await memory.run(CALLS, tmp_path)
    assert figures.calls >= CALLS
    assert figures.descriptors_after <= figures.descriptors_before
    # A leak of a kilobyte a call would show; how much exactly is measured over a million calls.
    assert figures.ended_kib - figures.settled_kib <= CALLS


def ours() -> Counter[str]:
    """How many objects of each of our types there are.

    A timer that was cancelled holds nothing any more: asyncio drops it when it would have been due.
    """
    gc.collect()
    kept = (o for o in gc.get_objects() if not (isinstance(o, asyncio.TimerHandle) and o.cancelled()))
    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in kept)
    return Counter(name for name in names if name.startswith(("wicket.", "_asyncio.", "asyncio.")))


async def least_left(before: Counter[str]) -> Counter[str]:
    """What is there more than before, once what is kept for some seconds only has had its time."""
    until_s = asyncio.get_running_loop().time() + PATIENT.wait_s + 2
    left = ours() - before
    while max(left.values(), default=0) > LEFT_MAX and asyncio.get_running_loop().time() < until_s:
        await asyncio.sleep(0)
        left = ours() - before
    return left


async def wave(s: Scene) -> None:
    """Calls of every ending that a client and an upstream can bring about."""
    fine = [s.call({"text": "fine"}) for _ in range(AT_ONCE)]
    denied = [s.call(tool="fake__unheard_of") for _ in range(AT_ONCE)]
    strange = [s.wicket.call("A" * 32, "fake__echo") for _ in range(AT_ONCE)]
    listed = [s.wicket.rpc(s.key, "tools/list") for _ in range(AT_ONCE)]
    broken = [s.call({"text": name}) for name in faults.BROKEN]
    await asyncio.gather(*fine, *denied, *strange, *listed, *broken)


@pytest.mark.promise("P10")
@pytest.mark.slow
async def test_calls_that_are_over_are_forgotten(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        answer_properly = s.upstream._modern

        async def behave(seen: Seen, out: Out) -> None:
            arguments = seen.params["arguments"]
            assert isinstance(arguments, dict)
            await faults.BROKEN.get(str(arguments.get("text")), answer_properly)(seen, out)

        s.upstream.on("tools/call", behave)
        for _ in range(2):
            await wave(s)
        s.upstream.seen.clear()
        await s.ended()
        before = ours()
        for _ in range(ROUNDS):
            await wave(s)
            s.upstream.seen.clear()
        await s.ended()
        left = await least_left(before)
    assert {name: count for name, count in left.items() if count > LEFT_MAX} == {}


@pytest.mark.promise("P10")
async def test_what_is_kept_of_sessions_and_flights_is_bounded(tmp_path: Path) -> None:
    limits = Limits(wait_s=PATIENT.wait_s, fresh_ns=PATIENT.fresh_ns, facts_max=FACTS_MAX)
    async with scene(tmp_path, limits=limits) as s:
        for start in range(0, SESSIONS, AT_ONCE):
            names = [f"session {number}" for number in range(start, start + AT_ONCE)]
            answers = await asyncio.gather(
                *(s.call(headers={"x-claude-code-session-id": name}) for name in names)
            )
            assert {answer.status for answer in answers} == {200}
        await s.agent.status(AgentStatus.DISABLED)
        refused = await asyncio.gather(*(s.call() for _ in range(AT_ONCE)))
        entries = await s.ended(SESSIONS + 1)
        recorder = s.wicket.parts.recorder
        kept = len(recorder._facts._known), len(recorder._open), recorder.backlog
    assert {answer.status for answer in refused} == {403}
    assert len({entry.session_id for entry in entries if not entry.denied}) == SESSIONS
    assert kept[0] <= FACTS_MAX
    assert kept[1:] == (0, 0)
