"""Changes made under load, and the calls that were decided under the wrong rules.

Between a change's answer and the beginning of the next change lies a closed window, in which the rules are known:
a call that starts in a forbidden window must not arrive at the upstream before it closes, and one that starts in an
allowed window must not have been refused before it closes. What spans two windows is judged by the log alone, which
says under which revision each call was decided.
"""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tests.journeys.crowd import CallStory, Crowd
from tests.journeys.log import Logged, read_heads
from tests.reachable import AgentUnderTest

ENDED_BEFORE_MIN = 64
"""Calls that end before the first change, so that every process has a world that can grow old."""
ENDED_MIN = 10
"""Calls that start in a window and end, before it may close."""

Change: TypeAlias = tuple[bool, Callable[[], Awaitable[None]]]
"""Whether calls are allowed from its answer on, and the change."""


@dataclass(frozen=True)
class Window:
    allowed: bool
    opened: int
    closed: int
    revision: int
    heads: Mapping[int, int]
    """Where each writer's chain stood when the change had been answered."""

    def is_wrong(self, story: CallStory) -> bool:
        if not self.opened < story.started < self.closed:
            return False
        if self.allowed:
            return story.refused and story.ended is not None and story.ended < self.closed
        return story.arrived is not None and story.arrived < self.closed


async def change_under_load(crowd: Crowd, agent: AgentUnderTest, changes: Sequence[Change]) -> list[Window]:
    """Make one change after the other while callers call, and let each window see some calls."""
    await crowd.until(lambda: crowd.count("ended") >= ENDED_BEFORE_MIN)
    windows = []
    for allowed, change in changes:
        await change()
        opened = crowd.tick()
        revision = await agent.wicket.database.revision(agent.id)
        assert revision is not None
        heads = await read_heads(agent.wicket.database)
        await crowd.until(ended_since(crowd, opened))
        windows.append(Window(allowed, opened, crowd.tick(), revision, heads))
    return windows


def ended_since(crowd: Crowd, opened: int) -> Callable[[], bool]:
    """Whether enough of the calls that started since have ended."""
    first = max(crowd.stories, default=0) + 1

    def is_reached() -> bool:
        ended = 0
        for number in range(first, max(crowd.stories, default=0) + 1):
            story = crowd.stories[number]
            ended += story.started > opened and story.ended is not None
        return ended >= ENDED_MIN

    return is_reached


def wrong_by_arrival(crowd: Crowd, windows: Sequence[Window]) -> list[tuple[Window, CallStory]]:
    """Calls that arrived though forbidden, or were refused though allowed."""
    opened = [window.opened for window in windows]
    # Windows follow one another: the last that had opened is the only one that a call can have started in.
    behind = [(bisect_left(opened, story.started), story) for story in crowd.stories.values()]
    return [
        (windows[place - 1], story) for place, story in behind if place and windows[place - 1].is_wrong(story)
    ]


def wrong_by_the_log(
    entries: Sequence[Logged], windows: Sequence[Window], allowed_at: Mapping[int, bool]
) -> list[Logged]:
    """Entries that say otherwise than the rules that they name, or follow a change and name rules from before it."""
    # A chain only grows, so the windows in whose time an entry was not yet written are the first so many.
    heads = {
        writer: [window.heads.get(writer, 0) for window in windows]
        for writer in {entry.writer for entry in entries}
    }
    return [
        entry
        for entry in entries
        if entry.allowed is not allowed_at.get(entry.revision)
        or entry.revision < newest_before(entry, windows, heads[entry.writer])
    ]


def newest_before(entry: Logged, windows: Sequence[Window], heads: Sequence[int]) -> int:
    """The last revision that was in force for certain when the entry was written; `heads` are its chain's."""
    count = bisect_left(heads, entry.seq)
    return windows[count - 1].revision if count else 0
