"""Puts the big log into a database, past the recorder: in large transactions, without waiting for the disk."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from tests.bench.big_log import BATCH_ROWS, DAYS, Calls, World, insert_world, make_world
from tests.databases import Location
from wicket.store import tables
from wicket.store.audit import statements
from wicket.store.audit.entry import Chain, Linked, Row
from wicket.store.audit.ledger import started, stopped
from wicket.store.audit.partitions import PARTITIONED, create_partition, months_from
from wicket.store.audit.sqlite_turn import insert as insert_into_sqlite
from wicket.store.db import Kind, upgrade
from wicket.store.db.sqlite import connect_raw
from wicket.store.instants import to_us

SEED = 20_261_123
STARTS, WORKERS = 6, 2
"""So many starts of so many processes at once."""
INDEXED = (tables.audit, tables.outcomes)
COPIED: tuple[tuple[str, Mapping[str, str], Callable[..., list[tuple[statements.Value, ...]]]], ...] = (
    ("audit", statements.AUDIT_COLUMNS, statements.entry_rows),
    (
        "audit_policies",
        statements.POLICY_COLUMNS,
        lambda _writer, linked, _names: statements.policy_rows(linked),
    ),
    (
        "outcomes",
        statements.OUTCOME_COLUMNS,
        lambda writer, linked, _names: statements.outcome_rows(writer, linked),
    ),
    (
        "events",
        statements.EVENT_COLUMNS,
        lambda writer, linked, _names: statements.event_rows(writer, linked),
    ),
)

Put = Callable[[int, Linked], Awaitable[None]]


async def fill(location: Location, rows: int) -> World:
    """Make the schema and so many entries, the newest of just now."""
    now = datetime.now(UTC)
    begin = now - timedelta(days=DAYS)
    world = make_world(SEED)
    database = await location.open()
    await upgrade(database)
    putting = _putting_into_postgres if database.kind is Kind.POSTGRESQL else _putting_into_sqlite
    names = await database.run_alone(lambda tx: _prepare(tx, world, begin))
    await database.close()
    chains = _Chains()
    async with putting(location, names) as put:
        await chains.write(Calls(world, begin, rows), max(rows // BATCH_ROWS // STARTS, 1), put)
    database = await location.open()
    await database.run_alone(lambda tx: _finish(tx, chains, to_us(now)))
    await database.close()
    return world


def _prepare(tx: sa.Connection, world: World, begin: datetime) -> statements.NameIds:
    """Everything but the log. PostgreSQL's indexes are made when it is full: it sorts faster than it inserts."""
    if tx.dialect.name == "postgresql":
        for month in months_from(begin, DAYS // 28 + 1):
            for name in PARTITIONED:
                tx.exec_driver_sql(create_partition(name, month))
        for index in (index for table in INDEXED for index in table.indexes):
            index.drop(tx)
    insert_world(tx, world, to_us(begin))
    wanted = sorted(
        {(statements.AGENT, agent.name) for agent in world.agents}
        | {(statements.SERVICE, service) for agent in world.agents for service in agent.services}
        | {(statements.TOOL, tool) for agent in world.agents for _, tool in agent.tools}
    )
    tx.execute(sa.insert(tables.names), [{"kind": kind, "name": name} for kind, name in wanted])
    return {(row.kind, row.name): row.id for row in tx.execute(sa.select(tables.names))}


def _finish(tx: sa.Connection, chains: "_Chains", now_us: int) -> None:
    tx.execute(
        sa.insert(tables.writers),
        [
            {"id": writer, "host": "bench", "pid": writer, "started_at": at, "ended_at": now_us}
            for writer, at in chains.started_at.items()
        ],
    )
    if tx.dialect.name == "postgresql":
        last = max(chains.started_at)
        tx.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('writers', 'id'), {last})")
        return
    tx.exec_driver_sql("ANALYZE")


class _Chains:
    """Two processes that write by turns, stopped and started again a few times."""

    def __init__(self) -> None:
        self.started_at: dict[int, int] = {}
        self._chains: list[Chain] = []
        self._living: list[Chain] = []

    async def write(self, calls: Calls, batches_a_start: int, put: Put) -> None:
        at = 0
        for number, rows in enumerate(calls.batches()):
            at = calls.at_us
            if number % batches_a_start == 0 and len(self._chains) < STARTS * WORKERS:
                await self._stop(at, put)
                for _ in range(WORKERS):
                    await self._start(at, put)
            await self._append(self._living[number % WORKERS], rows, put)
        await self._stop(at, put)

    async def _start(self, at: int, put: Put) -> None:
        heads = {chain.writer: (chain.seq, chain.hash) for chain in self._chains}
        chain = Chain(len(self._chains) + 1)
        self._chains.append(chain)
        self._living.append(chain)
        self.started_at[chain.writer] = at
        await self._append(chain, [started(at, heads)], put)

    async def _stop(self, at: int, put: Put) -> None:
        for chain in self._living:
            await self._append(chain, [stopped(at)], put)
        self._living = []

    async def _append(self, chain: Chain, rows: list[Row], put: Put) -> None:
        linked = chain.link(rows)
        await put(chain.writer, linked)
        chain.advance(linked)


@asynccontextmanager
async def _putting_into_sqlite(location: Location, names: statements.NameIds) -> AsyncIterator[Put]:
    raw = connect_raw(location.sqlite_path)
    for pragma in ("synchronous=OFF", "journal_mode=OFF", "cache_size=-1000000", "locking_mode=EXCLUSIVE"):
        raw.execute(f"PRAGMA {pragma}").fetchall()
    raw.execute("BEGIN")

    async def put(writer: int, linked: Linked) -> None:
        insert_into_sqlite(raw, writer, linked, names)

    yield put
    raw.execute("COMMIT")
    raw.execute("PRAGMA journal_mode=WAL").fetchall()
    raw.close()


@asynccontextmanager
async def _putting_into_postgres(location: Location, names: statements.NameIds) -> AsyncIterator[Put]:
    raw = await asyncpg.connect(location.url)
    await raw.execute("SET synchronous_commit = off")

    async def put(writer: int, linked: Linked) -> None:
        for table, columns, rows_of in COPIED:
            if rows := rows_of(writer, linked, names):
                await raw.copy_records_to_table(table, records=rows, columns=list(columns))

    yield put
    await raw.execute("SET maintenance_work_mem = '1GB'")
    for index in (index for table in INDEXED for index in table.indexes):
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        await raw.execute(str(CreateIndex(index).compile(dialect=dialect)))
    await raw.execute("ANALYZE")
    await raw.close()
