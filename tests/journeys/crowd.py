"""Callers who call all the time, and the story of every call in one order of events.

Everything that a test judges by is seen in one process: when a call starts, when it arrives at the upstream, when
its answer is back, when a change begins and when it is answered. A counter orders it all; no clock is asked.
"""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tests.reachable import Answer, Reachable
from tests.upstreams.recording import ECHO, Out, RecordingUpstream, Seen
from wicket.core.model import Json, JsonObject

TOOLS: list[JsonObject] = [ECHO, {"name": "drop"}]
"""`echo` carries the number of a call in its `owner`, which the modern era repeats in a header."""
UNTIL_S = 60
_NUMBER = re.compile(rb"mcp-param-owner: (\d+)", re.IGNORECASE)


@dataclass
class CallStory:
    """What became of one call; instants are places in the order of events."""

    number: int
    tool: str
    started: int
    hangs: bool
    arrived: int | None = None
    ended: int | None = None
    answer: Answer | None = None

    @property
    def allowed(self) -> bool:
        return self.answer is not None and self.answer.status == 200 and "result" in self.answer.json

    @property
    def failed(self) -> bool:
        """Answered, but not decided: it could not be recorded in time."""
        return self.reason == "audit_unavailable"

    @property
    def refused(self) -> bool:
        """Decided against the caller."""
        return self.answer is not None and not self.allowed and not self.failed

    @property
    def data(self) -> JsonObject:
        assert self.answer is not None
        data = self.answer.error.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def reason(self) -> Json:
        return None if self.answer is None or "error" not in self.answer.json else self.data.get("reason")


class Crowd:
    """Callers with one member key, spread over the doors of one agent's servers."""

    def __init__(self, upstream: RecordingUpstream) -> None:
        self.stories: dict[int, CallStory] = {}
        self._counts = dict.fromkeys(("started", "arrived", "ended"), 0)
        self._upstream = upstream
        self._numbers = itertools.count(1)
        self._ticks = itertools.count(1)
        self._moved = asyncio.Event()
        upstream.on("tools/call", self._arrive)

    def tick(self) -> int:
        """The next place in the order of events."""
        self._moved.set()
        self._moved.clear()
        return next(self._ticks)

    def count(self, event: str) -> int:
        """How many calls have `started`, `arrived` or `ended`."""
        return self._counts[event]

    async def until(self, is_reached: Callable[[], bool]) -> None:
        """Wait for something that only an event can bring about."""
        async with asyncio.timeout(UNTIL_S):
            while not is_reached():
                await self._moved.wait()

    @asynccontextmanager
    async def calling(
        self, doors: Sequence[Reachable], key: str, *, echo: int = 12, drop: int = 0, hang: int = 0
    ) -> AsyncIterator[None]:
        """So many callers of each kind, who call again as soon as they have an answer, while the block runs."""
        kinds = [("echo", False)] * echo + [("drop", False)] * drop + [("echo", True)] * hang
        callers = [
            asyncio.create_task(self._call_on(doors[place % len(doors)], key, tool, hangs=hangs))
            for place, (tool, hangs) in enumerate(kinds)
        ]
        try:
            yield
        finally:
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
        broken = [caller.exception() for caller in callers if not caller.cancelled()]
        assert not broken, broken

    async def _call_on(self, door: Reachable, key: str, tool: str, *, hangs: bool) -> None:
        while True:
            await self.call(door, key, tool, hangs=hangs)

    async def call(
        self,
        door: Reachable,
        key: str,
        tool: str = "echo",
        *,
        hangs: bool = False,
        session: str | None = None,
    ) -> CallStory:
        """One call. Without an answer when the server was gone."""
        number = next(self._numbers)
        story = self.stories[number] = CallStory(number, tool, self.tick(), hangs)
        self._counts["started"] += 1
        headers = {} if session is None else {"x-mcp-session-id": session}
        try:
            answer = await door.call(key, f"fake__{tool}", {"owner": str(number)}, headers=headers)
        except aiohttp.ClientError:
            await asyncio.sleep(0)
        else:
            story.answer = answer
        story.ended = self.tick()
        self._counts["ended"] += 1
        return story

    async def _arrive(self, seen: Seen, out: Out) -> None:
        arguments = seen.params["arguments"]
        assert isinstance(arguments, dict)
        story = self.stories[int(str(arguments["owner"]))]
        story.arrived = self.tick()
        self._counts["arrived"] += 1
        if story.hangs:
            await out.until_left()
        else:
            await self._upstream.answer(seen, out, {"content": []})

    @property
    def arrived(self) -> set[int]:
        """Numbers of the calls of which the upstream has seen so much as the head."""
        cut = {int(number) for number in _NUMBER.findall(self._upstream.cut)}
        return cut | {story.number for story in self.stories.values() if story.arrived is not None}
