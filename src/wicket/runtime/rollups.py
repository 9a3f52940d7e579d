"""Follows the log and keeps the sums over it, from which statistics are read.

One stretch at a time is read and summed, then added in short transactions. Any number of processes may do so:
what one has counted the others leave alone, and one that sees another at work waits until it stands still.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from wicket.core.errors import Unavailable
from wicket.store.audit.counting import read_stretch
from wicket.store.audit.rollups import Overtaken, Stretch, apply_stretch, read_positions
from wicket.store.db import Database, Kind

INTERVAL_S: Final = 2.0
ROWS_MIN: Final = 50
ROWS_MAX: Final = 20_000
SUMS_MAX: Final = {Kind.SQLITE: 3_000, Kind.POSTGRESQL: 20_000}
"""That one transaction changes: on SQLite others wait meanwhile, and must not for longer than 20 ms."""

_log = structlog.get_logger()


class Rollups:
    """One a process; start it, and stop it."""

    def __init__(
        self, database: Database, *, interval_s: float = INTERVAL_S, sums_max: int | None = None
    ) -> None:
        self._database = database
        self._interval_s = interval_s
        self._sums_max = sums_max or SUMS_MAX[database.kind]
        self._rows_max = ROWS_MIN
        """How many rows to read at once: as many as lead to few enough sums."""
        self._seen: str | None = None
        """Where the sums ended when this process last looked."""
        self._counting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._counting = asyncio.create_task(self._count_again_and_again())

    async def stop(self) -> None:
        """Stop counting; the next start goes on from there."""
        if self._counting is not None:
            self._counting.cancel()
            with suppress(asyncio.CancelledError):
                await self._counting

    async def catch_up(self) -> None:
        """Count until the end of the log was seen."""
        while await self.count():
            pass

    async def count(self) -> bool:
        """Count the next stretch of the log; whether there may be more behind it."""
        stretch = await self._next_stretch()
        if stretch is None:
            return False
        is_small = stretch.size <= self._sums_max
        try:
            for parts in [stretch.parts] if is_small else [[part] for part in sorted(stretch.parts)]:
                await self._database.change(apply_stretch, stretch, parts, agents=())
        except Overtaken:
            return True
        self._seen = stretch.after
        return not stretch.is_end

    async def _next_stretch(self) -> Stretch | None:
        """A stretch of the log with few enough sums in each part."""
        while True:
            stretch = await self._database.read(read_stretch, rows_max=self._rows_max)
            if stretch is None:
                return None
            most = stretch.size if stretch.size <= self._sums_max else stretch.largest
            is_small = most <= self._sums_max or self._rows_max <= ROWS_MIN
            if not stretch.is_end or not is_small:
                factor = min(0.8 * self._sums_max / max(most, 1), 4.0)
                self._rows_max = max(min(int(self._rows_max * factor), ROWS_MAX), ROWS_MIN)
            if is_small:
                return stretch

    async def _count_again_and_again(self) -> None:
        loop, is_told = asyncio.get_running_loop(), False
        while True:
            rest_s = self._interval_s
            began = loop.time()
            try:
                if not await self._is_another_at_work() and await self.count():
                    rest_s = min(loop.time() - began, rest_s)  # behind: go on, but leave others as much time
                is_told = False
            except Unavailable as error:
                if not is_told:
                    _log.warning("the sums over the log cannot be kept now", error=str(error))
                is_told = True
            except Exception:  # noqa: BLE001 - the top of the task: statistics would stand still without it
                _log.exception("the sums over the log cannot be kept now")
            await asyncio.sleep(rest_s)

    async def _is_another_at_work(self) -> bool:
        """Whether the sums have moved since this process last looked."""
        positions = await self._database.read(read_positions)
        seen, self._seen = self._seen, positions[0]
        return positions[0] != seen
