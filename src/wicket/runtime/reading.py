"""Readers of the log who stay: exports of any length, and live views. So many at a time, none holding anything open."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from wicket.core.errors import Limited
from wicket.core.model import JsonObject
from wicket.runtime.tail import Subscription, Tail
from wicket.store.audit.export import BATCH_ROWS, Lines, finish, next_span, read_lines, render_head
from wicket.store.audit.fields import ExportFormat
from wicket.store.audit.filters import AuditFilter
from wicket.store.audit.following import Committed, position_now
from wicket.store.audit.lanes import Place
from wicket.store.audit.matching import Lens, load_lens
from wicket.store.audit.render import render, render_outcome
from wicket.store.db import Database

EXPORTS_MAX: Final = 8
EXPORTS_OF_ACCOUNT_MAX: Final = 3
VIEWS_MAX: Final = 200
VIEWS_OF_ACCOUNT_MAX: Final = 10
TOLD_AT_ONCE: Final = 100
CHUNK_BYTES: Final = 256 * 1024
"""Of an export, handed on together."""
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
    """The entries that match, newest first, as the log stands now: `most` of them after the first `offset`.

    While one batch is made ready, in a thread, the next is read.
    """
    until = await database.read(position_now)
    rest, span = most, BATCH_ROWS

    def read(place: Place) -> "asyncio.Task[Lines]":
        return asyncio.create_task(
            database.read(
                read_lines,
                account_id=account_id,
                wanted=wanted,
                until=until,
                place=place,
                form=form,
                span=span,
                most=rest,
            )
        )

    yield render_head(form)
    reading: asyncio.Task[Lines] | None = read(Place(skip=offset))
    try:
        while reading is not None:
            batch = await reading
            rest = None if rest is None else rest - batch.count
            span = next_span(span, batch.count)
            reading = None if batch.resume is None or rest == 0 else read(batch.resume)
            text = memoryview(await asyncio.to_thread(finish, batch.text, form))
            for begin in range(0, len(text), CHUNK_BYTES):
                yield bytes(text[begin : begin + CHUNK_BYTES])
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.wait({reading})


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

    async def view(self, *, account_id: str, wanted: AuditFilter, position: str | None) -> View:
        """A live view from now on, or from where another one was; raises Invalid, or Limited."""
        leave = self.views.take(account_id)
        try:
            subscription = await self._tail.subscribe(position)
        except BaseException:
            leave()
            raise
        return View(self._database, subscription, account_id=account_id, wanted=wanted, leave=leave)
