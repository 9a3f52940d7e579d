"""The log on PostgreSQL: one direct connection, whose advisory lock says that this writer lives."""

import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from wicket.core.entities import EntityKey
from wicket.core.model import Outcome
from wicket.core.world import World
from wicket.store.audit import statements
from wicket.store.audit.entry import Chain, OutcomeRow, Row
from wicket.store.audit.ledger import SWEEP_ROWS_MAX, LedgerFailed, LoadWorld, SessionSeed, started, stopped
from wicket.store.audit.postgres_turn import Loads, PostgresTurn, commit, insert, postgres_failures
from wicket.store.db.postgres import RawConnection, connection_over
from wicket.store.lookups import Found, load_entities

CONNECT_TIMEOUT_S: Final = 5.0
COMMAND_TIMEOUT_S: Final = 10.0
BEGIN_AGAIN_MAX: Final = 5
REGISTRY_LOCK: Final = (8, 0)
ALIVE_LOCK: Final = 41
"""First half of the session lock that a living writer holds; the second is its id."""
SETTINGS: Final = {
    "application_name": "wicket-recorder",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "500ms",
    "statement_timeout": "5s",
}

LOCK_REGISTRY: Final = f"BEGIN; SELECT pg_advisory_xact_lock({REGISTRY_LOCK[0]}, {REGISTRY_LOCK[1]})"
REGISTER: Final = "INSERT INTO writers (host, pid, started_at) VALUES ($1, $2, $3) RETURNING id"
LIVE: Final = f"SELECT pg_try_advisory_lock({ALIVE_LOCK}, $1)"
FIND_DEAD: Final = (
    "SELECT id FROM writers WHERE ended_at IS NULL AND id <> $1"  # noqa: S608 - our own number
    f" AND pg_try_advisory_xact_lock({ALIVE_LOCK}, id) ORDER BY id"
)
IS_OPEN: Final = "SELECT id FROM writers WHERE id = $1 AND ended_at IS NULL FOR UPDATE"
END_WRITER: Final = "UPDATE writers SET ended_at = $1 WHERE id = $2"
LAST_ENTRY: Final = "SELECT coalesce(max(seq), 0) FROM audit WHERE writer = $1"
FIND_OPEN: Final = (
    "SELECT id FROM audit WHERE writer = $1 AND seq > $2 AND seq <= $3 AND NOT denied"
    " AND NOT EXISTS (SELECT FROM outcomes WHERE entry_id = audit.id) ORDER BY seq"
)
FIND_ENTRIES: Final = "SELECT id FROM audit WHERE id = ANY($1::text[])"


class PostgresLedger:
    """One writer of one PostgreSQL database. See `wicket.store.audit.ledger.Ledger`."""

    def __init__(self, dsn: str, *, load_world: LoadWorld, host: str, session_idle_s: int) -> None:
        self._dsn = dsn
        self._load_world = load_world
        self._host = host
        self._idle_us = session_idle_s * 1_000_000
        self._names = statements.Names()
        self._unswept: dict[int, int] = {}
        self._raw: RawConnection | None = None
        self._over: AsyncConnection | None = None

    async def open(self, now_us: int) -> None:
        with postgres_failures("connecting"):
            self._raw = raw = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings=SETTINGS,
            )
            await raw.execute(LOCK_REGISTRY)
            writer = await raw.fetchval(REGISTER, self._host, os.getpid(), now_us)
            # Held before the row can be seen: nobody ever finds this writer registered and not alive.
            if not await raw.fetchval(LIVE, writer):
                raise LedgerFailed(f"writer {writer} is alive already")
            self._chain = Chain(writer)
            heads = statements.heads_of([tuple(row) for row in await raw.fetch(statements.HEADS)])
            await self._append([started(now_us, heads)])

    @property
    def writer(self) -> int:
        return self._chain.writer

    @property
    def _connection(self) -> RawConnection:
        if self._raw is None:
            raise LedgerFailed("the ledger is not open")
        return self._raw

    async def _loaded(self, agent_id: str) -> World | None:
        return await (await self._reader()).run_sync(self._load_world, agent_id)

    async def _looked_up(self, agent_id: str, keys: Collection[EntityKey]) -> Found:
        return await (await self._reader()).run_sync(load_entities, agent_id, keys)

    async def _reader(self) -> AsyncConnection:
        if self._over is None:
            self._over = await connection_over(self._connection)
        return self._over

    @asynccontextmanager
    async def turn(
        self, agents: Collection[str], seeds: Collection[SessionSeed]
    ) -> AsyncIterator[PostgresTurn]:
        async with self._rolled_back():
            yield await self._begin(agents, seeds)

    async def _begin(self, agents: Collection[str], seeds: Collection[SessionSeed]) -> PostgresTurn:
        raw = self._connection
        for _ in range(BEGIN_AGAIN_MAX):
            turn = PostgresTurn(raw, self._chain, self._names, Loads(self._loaded, self._looked_up))
            with postgres_failures("beginning"):
                if await turn.begin(agents, seeds, idle_us=self._idle_us):
                    return turn
                await raw.execute("ROLLBACK")
        raise LedgerFailed("sessions begin and end faster than we can lock them")

    @asynccontextmanager
    async def _rolled_back(self) -> AsyncIterator[None]:
        """What was begun inside and did not reach COMMIT is undone."""
        raw = self._connection
        try:
            yield
        finally:
            with postgres_failures("rolling back"):
                if not raw.is_closed() and raw.is_in_transaction():
                    await raw.execute("ROLLBACK")

    async def find_entries(self, entry_ids: Collection[str]) -> set[str]:
        with postgres_failures("reading"):
            return {row[0] for row in await self._connection.fetch(FIND_ENTRIES, list(entry_ids))}

    async def sweep(self, now_us: int) -> bool:
        raw = self._connection
        with postgres_failures("sweeping"):
            async with self._rolled_back():
                await raw.execute("BEGIN")
                dead = [row[0] for row in await raw.fetch(FIND_DEAD, self.writer)]
                self._unswept = {writer: seq for writer, seq in self._unswept.items() if writer in dead}
                # Asked again under the lock: the list may have been read before another sweeper was done.
                if not dead or not await raw.fetchval(IS_OPEN, dead[0]):
                    return False
                await self._sweep_stretch(dead[0], now_us)
        return True

    async def _sweep_stretch(self, writer: int, now_us: int) -> None:
        """Look at the newest links of a dead writer that were not looked at yet."""
        raw = self._connection
        end = self._unswept.get(writer)
        if end is None:
            end = await raw.fetchval(LAST_ENTRY, writer)
        begin = max(end - SWEEP_ROWS_MAX, 0)
        left = await raw.fetch(FIND_OPEN, writer, begin, end)
        if not begin:
            await raw.execute(END_WRITER, now_us, writer)
        await self._append([OutcomeRow(row[0], Outcome.INTERRUPTED, now_us) for row in left])
        self._unswept[writer] = begin

    async def _append(self, rows: list[Row]) -> None:
        """Append and COMMIT rows that name nothing."""
        linked = self._chain.link(rows)
        await insert(self._connection, self.writer, linked, {})
        await commit(self._connection)
        self._chain.advance(linked)

    async def close(self, stopped_at_us: int | None) -> None:
        raw, self._raw = self._raw, None
        if raw is None:
            return
        try:
            if stopped_at_us is not None:
                with postgres_failures("closing"):
                    await raw.execute("BEGIN")
                    await raw.execute(END_WRITER, stopped_at_us, self.writer)
                    linked = self._chain.link([stopped(stopped_at_us)])
                    await insert(raw, self.writer, linked, {})
                    await commit(raw)
        finally:
            await self._hang_up(raw)

    async def _hang_up(self, raw: RawConnection) -> None:
        if self._over is not None:
            with postgres_failures("closing"):
                await self._over.invalidate()
                await self._over.close()
        raw.terminate()
