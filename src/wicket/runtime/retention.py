"""Keeps the log in shape by the calendar: partitions are made ahead, and what has been kept long enough goes.

One process at a time prunes, in short turns with rests between, so that nobody's call waits for it. It may be killed
anywhere: whoever is next goes on with what was announced.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Final

import structlog

from wicket.core.checkpoints import Pruned, Signer
from wicket.core.errors import Unavailable
from wicket.store import retention
from wicket.store.audit.partitions import ensure_partitions
from wicket.store.db import Database, Kind
from wicket.store.duties import Duty, on_duty

EVERY_S: Final = 3600.0
RETRY_S: Final = 60.0
MONTHS_TRIED: Final = 20
MONTHS_PAUSE_S: Final = 0.5
ROWS_MIN: Final = 200
ROWS_MAX: Final = 1_000
TURN_S: Final = 0.02
"""How long a transaction that deletes should take: the recorder waits for it on SQLite."""
REST_FACTOR: Final = 2.0
"""Of each turn's time, before the next."""

_log = structlog.get_logger()


async def make_months(
    database: Database, *, now: datetime, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Make the partitions of the log that a start needs; raises Unavailable.

    Each try waits but briefly for whoever reads the log, since all who write it wait meanwhile; so there are many.
    """
    for _ in range(MONTHS_TRIED - 1):
        try:
            await database.change(ensure_partitions, now=now, agents=())
        except Unavailable:
            await pause(MONTHS_PAUSE_S)
        else:
            return
    await database.change(ensure_partitions, now=now, agents=())


class Retention:
    """One a process; start it, and stop it. With 0 days everything is kept."""

    def __init__(
        self,
        database: Database,
        signer: Signer,
        *,
        days: int,
        now: Callable[[], datetime],
        rows_max: int = ROWS_MAX,
    ) -> None:
        self._database = database
        self._signer = signer
        self._days = days
        self._now = now
        self._rows_max = rows_max
        self._working: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._working = asyncio.create_task(self._look_again_and_again())

    async def stop(self) -> None:
        """Stop after the turn that is under way; the next start goes on from there."""
        if self._working is not None:
            self._working.cancel()
            with suppress(asyncio.CancelledError):
                await self._working

    async def run(self) -> None:
        """Do what is due now; raises Unavailable."""
        if self._database.kind is Kind.POSTGRESQL:
            await self._database.change(ensure_partitions, now=self._now(), agents=())
        pruned = await self._database.read(retention.find_unfinished)
        if pruned is None and self._days == 0:
            return
        async with on_duty(self._database, Duty.PRUNING) as is_ours:
            if is_ours:
                pruned = pruned or await self._begin()
                if pruned is not None:
                    await self._delete(pruned)

    async def _begin(self) -> Pruned | None:
        """Announce what is to go, if anything is."""
        cutoff = retention.cutoff_of(self._now(), self._days)
        bounds: dict[int, int] = {}
        for chain in await self._database.read(retention.list_chains, cutoff=cutoff):
            bound, goes_on = chain.begins_after, True
            while goes_on:
                bound, goes_on = await self._database.read(
                    retention.find_bound, chain, after=bound, cutoff=cutoff
                )
            if bound > chain.begins_after:
                bounds[chain.writer] = bound
        if not bounds:
            return None
        return await self._database.change(
            retention.begin, bounds, cutoff=cutoff, signer=self._signer, now=self._now(), agents=()
        )

    async def _delete(self, pruned: Pruned) -> None:
        if self._database.kind is Kind.POSTGRESQL:
            await self._drop_months(pruned)
        for writer, bound in pruned.bounds.items():
            await self._delete_chain(writer, bound)
        await self._database.change(retention.finish, signer=self._signer, now=self._now(), agents=())
        _log.info("the log was pruned", rows=pruned.rows, chains=len(pruned.bounds))

    async def _drop_months(self, pruned: Pruned) -> None:
        months = await self._database.read(
            retention.list_whole_months, pruned.bounds, cutoff_us=pruned.cutoff_us
        )
        for month in months:
            await self._database.change(retention.drop_month, month, pruned.bounds, agents=())

    async def _delete_chain(self, writer: int, bound: tuple[int, str]) -> None:
        loop = asyncio.get_running_loop()
        rows = min(ROWS_MIN, self._rows_max)
        while True:
            began = loop.time()
            if not await self._database.change(retention.delete_some, writer, bound, rows=rows, agents=()):
                return
            took = loop.time() - began
            fitting = int(rows * min(TURN_S / max(took, 1e-6), 2.0))
            rows = min(max(fitting, ROWS_MIN), self._rows_max)
            await asyncio.sleep(REST_FACTOR * took)

    async def _look_again_and_again(self) -> None:
        while True:
            wait_s = RETRY_S
            try:
                await self.run()
                wait_s = EVERY_S
            except Unavailable as error:
                _log.warning("the log could not be looked after", error=str(error))
            except ValueError as error:
                _log.error("the log is damaged: run `wicket audit verify`", error=str(error))
            except Exception:  # noqa: BLE001 - the top of the task: without it nothing would be pruned any more
                _log.exception("the log could not be looked after")
            await asyncio.sleep(wait_s)
