"""The log by months, on PostgreSQL; and that what was recorded before there were months is still there."""

from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from tests.databases import PostgresServer
from wicket.core.ids import uuid7
from wicket.runtime.retention import make_months
from wicket.store import tables
from wicket.store.audit.partitions import PARTITIONED, bounds_of, ensure_partitions, partition_of
from wicket.store.db import Database, Kind, open_database, upgrade
from wicket.store.db.schema import MIGRATIONS
from wicket.store.instants import to_us

FAR = datetime(2031, 11, 15, tzinfo=UTC)
ROW = {
    "writer": 1,
    "seq": 1,
    "agent_id": "a",
    "agent_name": 1,
    "service": 2,
    "tool": 3,
    "member_id": "m",
    "key_id": "k",
    "denied": True,
    "reason_code": "no_permit_matched",
    "caller_ip": "::1",
    "resource": "r",
    "reason": "because",
    "body": "{}",
    "hash": b"h",
}


def entry_at(instant: datetime) -> dict[str, object]:
    return {"id": uuid7(to_us(instant), bytes(8)), "decided_at": to_us(instant), **ROW}


def place_of(tx: sa.Connection, entry_id: str) -> str:
    statement = sa.text("SELECT tableoid::regclass::text FROM audit WHERE id = :id")
    found: str = tx.execute(statement, {"id": entry_id}).scalar_one()
    return found


def insert_entry(tx: sa.Connection, instant: datetime) -> str:
    entry = entry_at(instant)
    tx.execute(sa.insert(tables.audit).values(entry))
    return str(entry["id"])


def find_entries(tx: sa.Connection, entry_ids: list[str]) -> set[str]:
    ids = tables.audit.c.id
    return set(tx.execute(sa.select(ids).where(ids.in_(entry_ids))).scalars())


async def test_months_begin_where_the_least_id_of_their_first_instant_is() -> None:
    first, end = bounds_of(datetime(2031, 12, 9, tzinfo=UTC))
    assert first < uuid7(to_us(datetime(2031, 12, 1, tzinfo=UTC)), b"\x01" * 8) < end
    assert uuid7(to_us(datetime(2032, 1, 1, tzinfo=UTC)) - 1, b"\xff" * 8) < end
    assert uuid7(to_us(datetime(2031, 12, 1, tzinfo=UTC)) - 1, b"\xff" * 8) < first


async def test_an_entry_goes_to_its_month_or_stays_in_the_default_partition(database: Database) -> None:
    stray = await database.change(insert_entry, datetime(2032, 1, 3, tzinfo=UTC), agents=())
    await database.change(ensure_partitions, now=FAR, agents=())
    await database.change(ensure_partitions, now=FAR, agents=())  # nothing is left to do
    kept = await database.change(insert_entry, FAR, agents=())
    if database.kind is Kind.POSTGRESQL:
        assert await database.read(place_of, kept) == partition_of("audit", FAR) == "audit_2031_11"
        assert await database.read(place_of, stray) == "audit_default"
    assert await database.read(find_entries, [stray, kept]) == {stray, kept}


@pytest.mark.postgres
async def test_a_start_waits_for_whoever_reads_the_log(postgres_server: PostgresServer) -> None:
    url = await postgres_server.create()
    opened = await open_database(sqlite_path=Path(), url=url)
    reader = await asyncpg.connect(url)
    await reader.execute("BEGIN; SELECT count(*) FROM audit")
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 2:
            await reader.execute("ROLLBACK")

    await make_months(opened, now=FAR, pause=pause)
    kept = await opened.change(insert_entry, FAR, agents=())
    assert await opened.read(place_of, kept) == partition_of("audit", FAR)
    assert len(paused) == 2
    await reader.close()
    await opened.close()
    await postgres_server.drop(url)


def _stop_at_first_version(tx: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = tx
    command.upgrade(config, "0001")


def _record_some(tx: sa.Connection) -> None:
    for month in (3, 7):
        entry = entry_at(datetime(2026, month, 2, tzinfo=UTC)) | {"seq": month}
        tx.execute(sa.insert(tables.audit).values(entry))
        tx.execute(sa.insert(tables.audit_policies).values(policy_id="p", entry_id=entry["id"]))
        tx.execute(
            sa.insert(tables.outcomes).values(
                writer=1, seq=month + 1, entry_id=entry["id"], outcome="ok", ended_at=1, body="{}", hash=b"h"
            )
        )


def _all_of_the_log(tx: sa.Connection) -> list[list[tuple[object, ...]]]:
    named = (tables.METADATA.tables[name] for name in PARTITIONED)
    return [[tuple(row) for row in tx.execute(sa.select(table).order_by(*table.c))] for table in named]


async def _before_and_after(opened: Database) -> tuple[object, object]:
    """The log of the first version, and what the newest makes of it."""
    await opened.run_alone(_stop_at_first_version)
    await opened.run_alone(_record_some)
    before = await opened.read(_all_of_the_log)
    await upgrade(opened)
    after = await opened.read(_all_of_the_log)
    await opened.close()
    return before, after


async def test_a_log_from_before_there_were_months_is_kept_on_sqlite(tmp_path: Path) -> None:
    before, after = await _before_and_after(await open_database(sqlite_path=tmp_path / "wicket.db"))
    assert after == before


@pytest.mark.postgres
async def test_a_log_from_before_there_were_months_is_kept_on_postgresql(
    postgres_server: PostgresServer,
) -> None:
    url = await postgres_server.create(migrated=False)
    before, after = await _before_and_after(await open_database(sqlite_path=Path(), url=url))
    await postgres_server.drop(url)
    assert after == before
