"""PostgreSQL: a small pool over asyncpg; changes lock the buckets of their agents before anything else."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Concatenate, Final, TypeAlias

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from wicket.core.errors import Invalid, Unavailable
from wicket.store import tables
from wicket.store.db.base import (
    CHANGES_WAITING_MAX,
    READS_WAITING_MAX,
    ChangedAgents,
    Kind,
    P,
    R,
    Waiting,
    buckets_of,
    bump_revisions,
    foreign_errors_made_ours,
)

POOL_SIZE: Final = 8
POOL_WAIT_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 5.0
COMMAND_TIMEOUT_S: Final = 35.0
"""For a server that answers no more at all; one that works ends a statement before, see `SESSION_SETTINGS`."""
LOCK_TIMEOUT: Final = "2s"
MIGRATION_LOCK_TIMEOUT: Final = "60s"
SESSION_SETTINGS: Final = {
    "application_name": "wicket",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "10s",
}
AGENT_LOCK: Final = 7
"""First half of the advisory locks on agents' buckets; the second is `bucket_of(agent_id)`."""
ALONE_LOCK: Final = (8, 1)
SETTING: Final = "WICKET_DATABASE_URL"
DURABLE: Final = frozenset({"on", "remote_apply"})

RawConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# One row a bucket, in the order of the array: a lock order that everybody keeps cannot deadlock.
_LOCK_BUCKETS = sa.text(
    "SELECT pg_advisory_xact_lock(:kind, bucket) FROM unnest(CAST(:buckets AS int[])) AS bucket"
).bindparams(kind=AGENT_LOCK)
_READ_REVISIONS = sa.select(tables.agents.c.id, tables.agents.c.revision).where(
    tables.agents.c.id.in_(sa.bindparam("ids", expanding=True)), tables.agents.c.deleted_at.is_(None)
)


async def connection_over(raw: RawConnection) -> AsyncConnection:
    """A SQLAlchemy connection over `raw`, whose owner begins and commits; keep it as long as `raw`.

    `await connection.run_sync(fn, ...)` runs a store function in whatever transaction `raw` is in.
    """

    async def creator() -> RawConnection:
        return raw

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=creator, poolclass=sa.StaticPool, isolation_level="AUTOCOMMIT"
    )
    return await engine.connect()


class PostgresDatabase:
    """One database by URL. Made by `open_database`."""

    kind = Kind.POSTGRESQL

    def __init__(self, dsn: str, *, command_timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        self.dsn = dsn
        self._command_timeout_s = command_timeout_s
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self.connect_raw,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=POOL_WAIT_S,
            pool_pre_ping=True,
        )
        self._engine = engine
        self._snapshots = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._changing = engine.execution_options(isolation_level="READ COMMITTED")
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._reads = Waiting(READS_WAITING_MAX)
        self._changes = Waiting(CHANGES_WAITING_MAX)
        self._revisions = _Revisions(self._read_revisions)

    @classmethod
    async def open(cls, dsn: str) -> "PostgresDatabase":
        """Connect, and refuse a server that would lose what it has acknowledged (Invalid says which setting)."""
        database = cls(dsn)
        try:
            with foreign_errors_made_ours():
                async with database._single.connect() as connection:
                    await _check_durable(connection)
        except BaseException:
            await database.close()
            raise
        return database

    async def connect_raw(self) -> RawConnection:
        """A driver connection of the caller's own."""
        try:
            return await asyncpg.connect(
                self.dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=self._command_timeout_s,
                server_settings=SESSION_SETTINGS,
            )
        except ValueError as error:
            raise Invalid(f"the address of the database makes no sense: {error}", field=SETTING) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise Unavailable(
                "the PostgreSQL server lets nobody in: check that it runs, and its log"
            ) from error

    async def read(
        self, fn: Callable[Concatenate[sa.Connection, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        with self._reads.one_more(), foreign_errors_made_ours():
            async with self._snapshots.begin() as connection:
                return await connection.run_sync(fn, *args, **kwargs)

    async def change(
        self, fn: Callable[..., R], /, *args: object, agents: ChangedAgents, **kwargs: object
    ) -> R:
        with self._changes.one_more(), foreign_errors_made_ours():
            async with self._changing.begin() as connection:
                await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                # A statement of its own: a snapshot taken before the lock is granted would be too old.
                await connection.execute(_LOCK_BUCKETS, {"buckets": buckets_of(agents)})
                result = await connection.run_sync(fn, *args, **kwargs)
                await connection.run_sync(bump_revisions, agents)
            return result

    async def change_urgently(
        self, fn: Callable[..., R], /, *args: object, agents: ChangedAgents, **kwargs: object
    ) -> R:
        return await self.change(fn, *args, agents=agents, **kwargs)  # the disk is the server's

    async def run_alone(self, fn: Callable[[sa.Connection], R], /) -> R:
        with foreign_errors_made_ours():
            async with self._changing.begin() as connection:
                await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{MIGRATION_LOCK_TIMEOUT}'")
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(*ALONE_LOCK)))
                return await connection.run_sync(fn)

    async def revision(self, agent_id: str) -> int | None:
        return await self._revisions.ask(agent_id)

    async def _read_revisions(self, agent_ids: Sequence[str]) -> Mapping[str, int]:
        with foreign_errors_made_ours():
            async with self._single.connect() as connection:
                rows = await connection.execute(_READ_REVISIONS, {"ids": agent_ids})
                return {row.id: row.revision for row in rows}

    async def close(self) -> None:
        await self._revisions.close()
        await self._engine.dispose()


class _Revisions:
    """One question at a time, whoever asks meanwhile shares the next.

    Nobody joins a question that is under way: it may have been answered before a change that the asker knows of.
    """

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]) -> None:
        self._read = read
        self._waiting: dict[str, asyncio.Future[int | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, agent_id: str) -> int | None:
        answer = self._waiting.get(agent_id)
        if answer is None:
            answer = self._waiting[agent_id] = asyncio.get_running_loop().create_future()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
        return await asyncio.shield(answer)

    async def _ask_all(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                revisions = await self._read(sorted(waiting))
            except Exception as error:  # noqa: BLE001 - whatever it is, those who asked must hear of it, and go on
                for answer in waiting.values():
                    answer.set_exception(error)
            else:
                for agent_id, answer in waiting.items():
                    answer.set_result(revisions.get(agent_id))
            finally:
                for answer in waiting.values():
                    answer.cancel()  # of those that have no answer yet

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})


async def _check_durable(connection: AsyncConnection) -> None:
    for setting in ("synchronous_commit", "fsync"):
        value = (await connection.exec_driver_sql(f"SHOW {setting}")).scalar_one()
        if value not in DURABLE:
            raise Invalid(
                f"PostgreSQL has `{setting} = {value}` and would lose what was recorded: set it to `on`",
                field=SETTING,
            )
    if (await connection.execute(sa.select(sa.func.pg_is_in_recovery()))).scalar_one():
        raise Invalid("the PostgreSQL server is a standby: name the primary", field=SETTING)
