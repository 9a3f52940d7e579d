"""The thread that writes the log: takes what waits, commits it, hands it back, and begins again.

It runs an event loop of its own, so that one piece of code serves both databases. There is no linger: the next
transaction begins as soon as the last one is durable, with whatever has come meanwhile. Work arrives through
deques, whose ends may be used from two threads at once.

After any failure the ledger is closed and a new one opened, which is a new writer with a new chain.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog
import uvloop

from wicket.core.errors import Unavailable
from wicket.core.model import Outcome
from wicket.runtime.recorder.batch import Docket, seeds_of
from wicket.runtime.recorder.values import Clocks, Limits
from wicket.runtime.recorder.work import FactsCache, Gap, State, Work
from wicket.store.audit.entry import OutcomeRow, Row
from wicket.store.audit.ledger import Ledger, LedgerFailed, gap

NOTES_MAX = 500
"""Outcomes in one transaction, so that it stays short."""
SWEEPS_AT_START_MAX = 8
SWEEP_PAUSE_S = 0.02

_log = structlog.get_logger()


class Writer:
    """Owned by the recorder, which calls everything here on its event loop."""

    def __init__(
        self,
        *,
        open_ledger: Callable[[], Ledger],
        hand_back: Callable[[list[Work]], None],
        cache: FactsCache,
        clocks: Clocks,
        limits: Limits,
    ) -> None:
        self._open_ledger = open_ledger
        self._hand_back = hand_back
        self._cache = cache
        self._clocks = clocks
        self._limits = limits
        self._works: deque[Work] = deque()
        self._notes: deque[OutcomeRow] = deque(maxlen=limits.outcomes_max)
        self._notes_due = False
        self._doubts: list[Work] = []
        self._gap = Gap()
        self._stopping = False
        self._resting = False
        self._ready = False
        self._pause_s = limits.retry_min_s
        self.registered: list[int] = []
        """The writers of the log that this one has been, oldest first: another one after each failure."""

    # On the recorder's event loop.

    async def start(self) -> None:
        """Begin writing; raises Unavailable when the log cannot be opened."""
        self._home = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._home.create_future()
        self._ended: asyncio.Future[None] = self._home.create_future()
        self._thread = threading.Thread(target=self._run, name="wicket-recorder", daemon=True)
        self._thread.start()
        await self._opened

    def submit(self, work: Work) -> bool:
        """Hand over a decision; False when too many wait."""
        if len(self._works) >= self._limits.queue_max:
            return False
        self._works.append(work)
        self._wake()
        return True

    def note(self, row: OutcomeRow) -> None:
        """Write an outcome with one of the next transactions."""
        self._notes.append(row)

    def miss(self, at_us: int) -> None:
        """Count a call that was refused because it could not be recorded."""
        self._gap.add(at_us)
        self._wake()

    def flush(self) -> None:
        """Write the outcomes that wait, even when no entry comes to share a transaction with."""
        if self._notes:
            self._notes_due = True
            self._wake()

    async def stop(self) -> None:
        """Write everything that waits, end the chain, end the thread; gives up after `drain_s`."""
        self._stopping = True
        if self._ended.done():
            return
        with suppress(RuntimeError):  # the thread ended meanwhile
            self._loop.call_soon_threadsafe(self._stop_now)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain_s):
                await self._ended

    def _wake(self) -> None:
        # Set to rest before it looks at the queue, looked at after we have filled it: one of us sees the other.
        if self._resting:
            self._resting = False
            with suppress(RuntimeError):  # stopped
                self._loop.call_soon_threadsafe(self._rise)

    # In the thread.

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._live())
        finally:
            self._tell(lambda: _resolve(self._ended))

    def _tell(self, call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the recorder's event loop is closed: nobody waits any more
            self._home.call_soon_threadsafe(call)

    def _rise(self) -> None:
        if not self._rest_over.done():
            self._rest_over.set_result(None)

    def _stop_now(self) -> None:
        self._rise()
        self._stop_asked.set()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rest_over: asyncio.Future[None] = self._loop.create_future()
        self._stop_asked = asyncio.Event()
        while not await self._write_with_one_ledger():
            if self._stopping or not self._ready:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s):
                    await self._stop_asked.wait()
            self._drop_abandoned()
            self._pause_s = min(2 * self._pause_s, self._limits.retry_max_s)

    async def _write_with_one_ledger(self) -> bool:
        """Write until told to stop (True) or until the ledger fails (False)."""
        ledger = self._open_ledger()
        stopped_at_us = None
        try:
            await ledger.open(self._clocks.wall_us())
            self.registered.append(ledger.writer)
            await self._settle_doubts(ledger)
            await self._sweep_at_start(ledger)
            self._now_ready()
            await self._serve(ledger)
            stopped_at_us = self._clocks.wall_us()
        except Exception as error:  # noqa: BLE001 - the top of the thread: whatever happens, it opens a new ledger
            _log.warning(
                "the audit log cannot be written", error=str(error), exc_info=not _is_expected(error)
            )
            self._not_ready(error)
        finally:
            with suppress(LedgerFailed):
                await ledger.close(stopped_at_us)
        return stopped_at_us is not None

    def _now_ready(self) -> None:
        self._ready = True
        self._tell(lambda: _resolve(self._opened))

    def _not_ready(self, error: Exception) -> None:
        failure = Unavailable("the audit log cannot be opened: see what the database says, and try again")
        failure.__cause__ = error
        self._tell(lambda: _resolve(self._opened, failure))

    async def _sweep_at_start(self, ledger: Ledger) -> None:
        for _ in range(SWEEPS_AT_START_MAX):
            if not await ledger.sweep(self._clocks.wall_us()):
                break

    async def _settle_doubts(self, ledger: Ledger) -> None:
        """Find out what became of a COMMIT that was under way when the last ledger failed."""
        if not self._doubts:
            return
        found = await ledger.find_entries([work.attempt.entry_id for work in self._doubts])
        for work in self._doubts:
            if work.attempt.entry_id not in found:
                self._gap.add(work.at_us)
            elif work.judged.decision.allowed:
                self.note(OutcomeRow(work.attempt.entry_id, Outcome.REFUSED.value, self._clocks.wall_us()))
        self._doubts.clear()
        self._notes_due = True

    async def _serve(self, ledger: Ledger) -> None:
        sweep_at = self._loop.time() + self._limits.sweep_every_s
        while True:
            works = self._take_works()
            missed = self._gap.take()
            if works or missed or self._notes_due or (self._stopping and self._notes):
                await self._write(ledger, works, missed)
            elif self._stopping:
                return
            elif self._loop.time() < sweep_at:
                await self._rest(sweep_at)
            if self._loop.time() >= sweep_at:
                more = await ledger.sweep(self._clocks.wall_us())
                sweep_at = self._loop.time() + (SWEEP_PAUSE_S if more else self._limits.sweep_every_s)

    async def _rest(self, until: float) -> None:
        self._rest_over = self._loop.create_future()
        self._resting = True
        if not (self._works or self._gap.count or self._notes_due or self._stopping):
            timer = self._loop.call_at(until, self._rise)
            await self._rest_over
            timer.cancel()
        self._resting = False

    def _take_works(self) -> list[Work]:
        works: list[Work] = []
        while self._works and len(works) < self._limits.batch_max:
            work = self._works.popleft()
            if work.abandoned:
                self._gap.add(work.at_us)
            else:
                works.append(work)
        return works

    def _drop_abandoned(self) -> None:
        """Make room while nothing can be written."""
        for _ in range(len(self._works)):
            work = self._works.popleft()
            if work.abandoned:
                self._gap.add(work.at_us)
            else:
                self._works.append(work)

    async def _write(self, ledger: Ledger, works: list[Work], missed: tuple[int, int, int] | None) -> None:
        notes = [self._notes.popleft() for _ in range(min(len(self._notes), NOTES_MAX))]
        self._notes_due = bool(self._notes)
        rows: list[Row] = [*notes]
        try:
            if missed is not None:
                count, from_us, to_us = missed
                rows.append(gap(self._clocks.wall_us(), count=count, from_us=from_us, to_us=to_us))
            await self._commit(ledger, works, rows)
        except BaseException as error:
            self._notes.extendleft(reversed(notes))
            if missed is not None:
                count, from_us, to_us = missed
                self._gap.add(from_us, to_us, count=count)
            self._give_back(works, in_doubt=isinstance(error, LedgerFailed) and error.in_doubt)
            raise
        self._pause_s = (
            self._limits.retry_min_s
        )  # whatever fails next has nothing to do with what failed before
        self._tell(lambda: self._hand_back(works))

    async def _commit(self, ledger: Ledger, works: list[Work], rows: list[Row]) -> None:
        agents = {work.attempt.agent_id for work in works}
        async with ledger.turn(agents, seeds_of(works)) as turn:
            docket = Docket(turn, self._cache)
            await docket.settle(works)
            if docket.entries or rows:
                boottime_ns = self._clocks.boottime_ns()
                await turn.commit([*docket.entries, *rows], docket.sessions())
                docket.committed(boottime_ns)
        for work in works:
            if work.state is State.FAILED:
                self._gap.add(work.at_us)

    def _give_back(self, works: list[Work], *, in_doubt: bool) -> None:
        """The transaction failed, and with it all of these."""
        for work in works:
            if not in_doubt or work.state is State.STALE:
                self._gap.add(work.at_us)
            else:
                self._doubts.append(work)
            work.state = State.FAILED
        self._tell(lambda: self._hand_back(works))


def _resolve(future: asyncio.Future[None], failure: Exception | None = None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)


def _is_expected(error: Exception) -> bool:
    return isinstance(error, LedgerFailed)
