"""Readers of the log who stay: exports of any length, and live views. So many at a time, none holding anything open."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

from wicket.core.errors import Limited
from wicket.core.model import JsonObject
from wicket.runtime.tail import Subscription, Tail
from wicket.store.audit.export import (
    BATCH_ROWS,
    Stretch,
    find_stretch,
    finish,
    next_span,
    read_lines,
    render_head,
)
from wicket.store.audit.fields import ExportFormat
from wicket.store.audit.filters import AuditFilter
from wicket.store.audit.following import Committed, Position, position_now
from wicket.store.audit.lanes import Place
from wicket.store.audit.matching import Lens, load_lens
from wicket.store.audit.render import render, render_outcome
from wicket.store.db import Database, Kind

EXPORTS_MAX: Final = 8
EXPORTS_OF_ACCOUNT_MAX: Final = 3
VIEWS_MAX: Final = 200
VIEWS_OF_ACCOUNT_MAX: Final = 10
REPLAYS_MAX: Final = 2
REPLAYS_OF_ACCOUNT_MAX: Final = 1
TOLD_AT_ONCE: Final = 100
CHUNK_BYTES: Final = 256 * 1024
"""Of an export, handed on together."""
READS_AT_ONCE: Final[Mapping[Kind, int]] = {Kind.SQLITE: 1, Kind.POSTGRESQL: 2}
"""Of an export: SQLite works in this process, for whoever else reads."""
RETRY_AFTER_S: Final = 5


class Seats:
    """How many may read at a time, in all and of one account."""

    def __init__(self, most: int, most_of_account: int) -> None:
        self._most = most
        self._most_of_account = most_of_account
        self._taken: Counter[str] = Counter()

    def taken_by(self, account_id: str) -> int:
        return self._taken[account_id]

    def take(self, account_id: str) -> Callable[[], None]:
        """Take a seat; call the answer, once or more, to leave it. Raises Limited."""
        if self._taken.total() >= self._most or self._taken[account_id] >= self._most_of_account:
            raise Limited(
                f"{self._most_of_account} of these may run at a time, and {self._most} of all accounts:"
                " end one, or wait until one has ended",
                code="too_many_readers",
                retry_after_s=RETRY_AFTER_S,
            )
        self._taken[account_id] += 1
        is_taken = True

        def leave() -> None:
            nonlocal is_taken
            if is_taken:
                is_taken = False
                self._taken[account_id] -= 1
                self._taken += Counter()  # which drops who has none

        return leave


async def export(
    database: Database,
    *,
    account_id: str | None,
    wanted: AuditFilter,
    form: ExportFormat,
    offset: int = 0,
    most: int | None = None,
) -> AsyncGenerator[bytes]:
    """The entries that match, newest first, as the log stands now: `most` of them after the first `offset`."""
    until = await database.read(position_now)
    batches = _Batches(database, until, form, most=most)
    find = partial(find_stretch, account_id=account_id, wanted=wanted, until=until)
    yield render_head(form)
    try:
        async with aclosing(batches.read(find, Place(skip=offset))) as texts:
            async for text in texts:
                for begin in range(0, len(text), CHUNK_BYTES):
                    yield text[begin : begin + CHUNK_BYTES]
    finally:
        await batches.close()


class _Batches:
    """Batches of an export: while one is made ready, in a thread, the next is read already."""

    def __init__(self, database: Database, until: Position, form: ExportFormat, *, most: int | None) -> None:
        self._database = database
        self._until = until
        self._form = form
        self._rest = most
        self._reads = asyncio.Semaphore(READS_AT_ONCE[database.kind])
        self._ahead = 1 if most is not None else 1 + READS_AT_ONCE[database.kind]
        self._made: deque[asyncio.Task[tuple[bytes, int]]] = deque()

    async def read(self, find: Callable[..., Stretch | None], start: Place) -> AsyncGenerator[bytes]:
        place: Place | None = start
        span = BATCH_ROWS
        while place is not None or self._made:
            while place is not None and len(self._made) < self._ahead:
                stretch = await self._database.read(find, place=place, span=span, most=self._rest)
                place = None if stretch is None else stretch.resume
                if stretch is not None:
                    self._made.append(asyncio.create_task(self._make(stretch)))
            if self._made:
                text, count = await self._made[0]
                self._made.popleft()
                span = next_span(span, count)
                self._rest = None if self._rest is None else self._rest - count
                place = None if self._rest == 0 else place
                yield text

    async def _make(self, stretch: Stretch) -> tuple[bytes, int]:
        async with self._reads:
            lines = await self._database.read(read_lines, stretch, until=self._until, form=self._form)
        return await asyncio.to_thread(finish, lines.text, self._form), lines.count

    async def close(self) -> None:
        """Read no more."""
        for task in self._made:
            task.cancel()
        if self._made:
            await asyncio.wait(self._made)


@dataclass(frozen=True, slots=True)
class Told:
    """What a live view tells: an entry, or how one ended, and the position behind it."""

    event: str
    """`entry` or `outcome`."""
    body: JsonObject
    position: str


class View:
    """The log as it grows, as far as one reader wants to see it and may."""

    def __init__(
        self,
        database: Database,
        subscription: Subscription,
        *,
        account_id: str | None,
        wanted: AuditFilter,
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._subscription = subscription
        self._account_id = account_id
        self._wanted = wanted
        self._leave = leave
        self._lens: Lens | None = None

    @property
    def position(self) -> str:
        """Where another view would go on."""
        return self._subscription.position

    async def next(self, *, within_s: float) -> Sequence[Told] | None:
        """What has come, perhaps nothing of it for this reader; None when the view is over.

        Rights are looked up anew, behind what has come: so nothing is shown to whoever has lost them, and nothing
        missed by whoever has just got them. The view ends when some were lost.
        """
        count = await self._subscription.wait(within_s=within_s)
        if self._subscription.is_over:
            return None
        lens = await self._database.read(load_lens, account_id=self._account_id, wanted=self._wanted)
        if self._lens is not None and lens.viewer.has_lost(self._lens.viewer):
            return None
        self._lens = lens
        told = [self._tell(lens, self._subscription.pop()) for _ in range(min(count, TOLD_AT_ONCE))]
        return [one for one in told if one is not None]

    def close(self) -> None:
        """Hear no more."""
        self._subscription.close()
        self._leave()

    def _tell(self, lens: Lens, row: Committed) -> Told | None:
        """An entry when it is decided, then how it ended; or when it ends, if it is only then what is wanted."""
        entry, ending = row.entry, row.outcome
        was_shown = lens.shows(entry)
        if ending is not None and was_shown:
            return Told("outcome", render_outcome(ending), self.position)
        endings = () if ending is None else (ending,)
        if was_shown or (endings and lens.shows(entry, endings)):
            return Told("entry", render(entry, endings, is_withheld=lens.is_withheld(entry)), self.position)
        return None


class LogReaders:
    """Those of this process."""

    def __init__(self, database: Database, tail: Tail) -> None:
        self._database = database
        self._tail = tail
        self.exports = Seats(EXPORTS_MAX, EXPORTS_OF_ACCOUNT_MAX)
        self.views = Seats(VIEWS_MAX, VIEWS_OF_ACCOUNT_MAX)
        self.replays = Seats(REPLAYS_MAX, REPLAYS_OF_ACCOUNT_MAX)

    async def view(self, *, account_id: str, wanted: AuditFilter, position: str | None) -> View:
        """A live view from now on, or from where another one was; raises Invalid, or Limited."""
        leave = self.views.take(account_id)
        try:
            subscription = await self._tail.subscribe(position)
        except BaseException:
            leave()
            raise
        return View(self._database, subscription, account_id=account_id, wanted=wanted, leave=leave)
