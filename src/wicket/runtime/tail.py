"""What anybody has committed, as seen by one reader a process: new entries, outcomes, and revisions that moved.

It looks twice a second, or at once when woken. Subscribers get the rows behind a position, each once; who falls
behind reads on by itself until it has caught up. Watchers of an agent hear that its rules have changed, whoever
changed them: that is how calls in flight are cut.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf, isfinite
from typing import Final, Self

import structlog

from wicket.core.errors import Unavailable
from wicket.store.audit.following import (
    Committed,
    Position,
    Stretch,
    parse_position,
    position_now,
    read_after,
    read_revisions,
    render_position,
)
from wicket.store.db import Database

INTERVAL_S: Final = 0.5
SUBSCRIBER_ROWS_MAX: Final = 2_000

_log = structlog.get_logger()

Moved = Callable[[int | None], None]
"""Called with an agent's new revision; None when the agent is gone."""


@dataclass(slots=True, eq=False)
class _Watch:
    agent_id: str
    moved: Moved
    revision: int | None


class Tail:
    """One a process; start it, and stop it."""

    def __init__(self, database: Database, *, interval_s: float = INTERVAL_S) -> None:
        self._database = database
        self._interval_s = interval_s
        self._woken = asyncio.Event()
        self._watches: dict[str, set[_Watch]] = {}
        self._subscribers: set[Subscription] = set()
        self._position: Position | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._looking = asyncio.create_task(self._look_again_and_again())

    async def stop(self) -> None:
        """Stop looking; subscribers see their stream end."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        self.drain()

    def drain(self) -> None:
        """End the subscriptions: the process is about to stop."""
        for subscriber in tuple(self._subscribers):
            subscriber.close()

    def wake(self) -> None:
        """Look at once: something was committed here."""
        self._woken.set()

    def watch(self, agent_id: str, moved: Moved, *, revision: int | None) -> Callable[[], None]:
        """Have `moved` called when the agent's revision is another than `revision`; call the answer to end it."""
        watch = _Watch(agent_id, moved, revision)
        self._watches.setdefault(agent_id, set()).add(watch)

        def end() -> None:
            watches = self._watches.get(agent_id, set())
            watches.discard(watch)
            if not watches:
                self._watches.pop(agent_id, None)

        return end

    async def subscribe(self, position: str | None = None) -> "Subscription":
        """Rows committed from now on, or behind a position; raises Invalid when it is none of ours."""
        start = await self._database.read(position_now) if position is None else parse_position(position)
        subscription = Subscription(self, start)
        self._subscribers.add(subscription)
        return subscription

    async def read(self, position: Position) -> Stretch:
        return await self._database.read(read_after, position)

    def admit(self, position: Position) -> bool:
        """Whether a subscriber that has read so far will miss nothing of what is handed out from now on."""
        if self._position is None:
            self._position = position
        return not position.is_behind(self._position)

    def forget(self, subscription: "Subscription") -> None:
        self._subscribers.discard(subscription)

    async def _look_again_and_again(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self._look_at_revisions()
                await self._look_at_rows()
            except Unavailable as error:
                _log.warning("the log cannot be followed now", error=str(error))
            except Exception:  # noqa: BLE001 - the top of the task: calls could not be cut any more without it
                _log.exception("the log cannot be followed now")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._woken.wait()

    async def _look_at_revisions(self) -> None:
        asked = sorted(self._watches)
        revisions = await self._database.read(read_revisions, asked) if asked else {}
        for watch in [watch for agent_id in asked for watch in self._watches.get(agent_id, ())]:
            revision = revisions.get(watch.agent_id)
            if revision != watch.revision:
                watch.revision = revision
                self._tell(watch)

    def _tell(self, watch: _Watch) -> None:
        try:
            watch.moved(watch.revision)
        except Exception:  # noqa: BLE001 - the top of whatever is told: one that fails must not silence the others
            _log.exception("a watcher failed", agent_id=watch.agent_id)

    async def _look_at_rows(self) -> None:
        if not any(subscriber.is_live for subscriber in self._subscribers):
            self._position = None
            return
        if self._position is None:
            return
        stretch = await self.read(self._position)
        self._position = stretch.position
        for subscriber in tuple(self._subscribers):
            subscriber.take(stretch)
        if not stretch.is_end:
            self._woken.set()  # read on at once, but look at revisions first: no load may keep us from them


class Subscription:
    """An endless iterator of committed rows; close it."""

    def __init__(self, tail: Tail, position: Position) -> None:
        self._tail = tail
        self._told = position
        self._read = position
        self._rows: deque[Committed] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self.is_live = False
        """Whether new rows are handed to it; otherwise it reads for itself."""

    @property
    def position(self) -> str:
        """Behind the last row that came out: where another subscription would go on."""
        return render_position(self._told)

    def take(self, stretch: Stretch) -> None:
        """From the tail: rows, some of which may be known here."""
        if not self.is_live:
            return
        if len(self._rows) + len(stretch.rows) > SUBSCRIBER_ROWS_MAX:
            self.is_live = False
            return
        self._accept(stretch)

    def close(self) -> None:
        self._closed = True
        self._arrived.set()
        self._tail.forget(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Committed:
        while not await self.wait(within_s=inf):
            if self._closed:
                raise StopAsyncIteration
        return self.pop()

    @property
    def is_over(self) -> bool:
        """Whether it was closed and everything has come out."""
        return self._closed and not self._rows

    async def wait(self, *, within_s: float) -> int:
        """How many rows there are to pop: at least one, unless the time is over or the subscription is."""
        while not self._rows and not self._closed:
            if not self.is_live:
                await self._catch_up()
                continue
            self._arrived.clear()
            try:
                async with asyncio.timeout(within_s if isfinite(within_s) else None):
                    await self._arrived.wait()
            except TimeoutError:
                break
        return len(self._rows)

    def pop(self) -> Committed:
        """The next row, which is behind the position from now on; raises IndexError when there is none."""
        row = self._rows.popleft()
        self._told = self._told.after(row.writer, row.seq) if self._rows else self._read
        return row

    async def _catch_up(self) -> None:
        stretch = await self._tail.read(self._read)
        self._accept(stretch)
        if stretch.is_end:
            self.is_live = self._tail.admit(self._read)

    def _accept(self, stretch: Stretch) -> None:
        self._rows.extend(row for row in stretch.rows if row.seq > self._read.seq_of(row.writer))
        self._read = self._read.merged(stretch.position)
        if self._rows:
            self._arrived.set()
        else:
            self._told = self._read
