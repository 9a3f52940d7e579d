"""Long work in turns: between its steps, everybody else on the event loop has theirs.

A message of megabytes takes tens of milliseconds to be read and redacted. A call of a few hundred bytes that comes
meanwhile waits for `TURN_S` of it at a time, or for one longer step, and not for the whole. Messages over
`ALONE_BYTES` are worked on one after the other: many of them at once would take a turn each, and hold several times
their own size each.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

from wicket.core.steps import Steps

T = TypeVar("T")

TURN_S: Final = 0.0005
"""Of one piece of work, before others have their turn. A call that comes meanwhile needs several: it reads, is written
down, asks the upstream and hears from it, and waits for so much each time."""
ALONE_BYTES: Final = 256 * 1024


async def in_turns(steps: Steps[T], perf_s: Callable[[], float] = time.perf_counter) -> T:
    """What comes of the steps; after each `TURN_S` of them, others have their turn."""
    until_s = perf_s() + TURN_S
    results: list[T] = []
    while not results:
        try:
            next(steps)
        except StopIteration as end:
            results.append(end.value)
        if perf_s() >= until_s:
            await asyncio.sleep(0)
            until_s = perf_s() + TURN_S
    return results[0]


class Turns:
    """One a process: of what is large, one is worked on at a time, in the order of coming."""

    def __init__(self, perf_s: Callable[[], float] = time.perf_counter) -> None:
        self._perf_s = perf_s
        self._alone = asyncio.Lock()

    async def take(self, steps: Steps[T], size_bytes: int) -> T:
        """What comes of the steps; of something that has so many bytes."""
        if size_bytes <= ALONE_BYTES:
            return await in_turns(steps, self._perf_s)
        async with self._alone:
            return await in_turns(steps, self._perf_s)
