"""The database behind four questions, on both engines."""

import asyncio
import re
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.util import await_only

from tests.databases import Location, PostgresServer
from wicket.core.errors import Conflict, Invalid, Unavailable
from wicket.store import tables
from wicket.store.db import (
    ALL_AGENTS,
    Database,
    Kind,
    PostgresDatabase,
    SqliteDatabase,
    bucket_of,
    check_sqlite,
    is_current,
    open_database,
    upgrade,
)
from wicket.store.gate import WriteGate


def plant_agent(tx: sa.Connection, agent_id: str, **columns: object) -> None:
    tx.execute(
        sa.insert(tables.agents).values(
            {
                "id": agent_id,
                "owner_id": "owner",
                "name": agent_id,
                "name_folded": agent_id,
                "trust_mode": "trusted",
                "status": "active",
                "tags": "[]",
                "settings": "{}",
                "revision": 1,
                "created_at": 0,
                **columns,
            }
        )
    )


def count_agents(tx: sa.Connection) -> int:
    return tx.execute(sa.select(sa.func.count()).select_from(tables.agents)).scalar_one()


def is_no_partition(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or re.search(r"_(default|\d{4}_\d{2})$", name or "") is None


def differences(tx: sa.Connection) -> list[object]:
    context = MigrationContext.configure(tx, opts={"compare_type": True, "include_name": is_no_partition})
    return list(compare_metadata(context, tables.METADATA))


def readable_by_others(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.is_file() and path.stat().st_mode & 0o077]


@pytest.mark.promise("P16")
async def test_the_migrations_make_the_tables(database: Database) -> None:
    assert await database.read(differences) == []


async def test_upgrading_again_changes_nothing(database: Database) -> None:
    await database.change(plant_agent, "a", agents=[])
    await upgrade(database)
    assert await database.read(count_agents) == 1


async def test_an_empty_database_knows_that_it_is_not_current(tmp_path: Path) -> None:
    database = await open_database(sqlite_path=tmp_path / "wicket.db")
    assert not await is_current(database)
    await upgrade(database)
    assert await is_current(database)
    await database.close()


async def test_an_empty_database_is_upgraded_by_several_at_once(tmp_path: Path) -> None:
    opened = [await open_database(sqlite_path=tmp_path / "wicket.db") for _ in range(3)]
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for database in opened:
            group.create_task(upgrade(database))
    assert await opened[0].read(differences) == []
    for database in opened:
        await database.close()


@pytest.mark.postgres
async def test_an_empty_postgresql_is_upgraded_by_several_at_once(postgres_server: PostgresServer) -> None:
    url = await postgres_server.create(migrated=False)
    opened = [await open_database(sqlite_path=Path(), url=url) for _ in range(3)]
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for database in opened:
            group.create_task(upgrade(database))
    assert await opened[0].read(differences) == []
    for database in opened:
        await database.close()
    await postgres_server.drop(url)


async def test_a_change_moves_the_revision_of_the_agents_it_names(database: Database) -> None:
    for agent_id in ("a", "b"):
        await database.change(plant_agent, agent_id, agents=[])
    assert await database.change(count_agents, agents=["a"]) == 2
    assert (await database.revision("a"), await database.revision("b")) == (2, 1)


async def test_a_change_of_all_agents_moves_every_revision(database: Database) -> None:
    for agent_id in ("a", "b"):
        await database.change(plant_agent, agent_id, agents=[])
    await database.change(count_agents, agents=ALL_AGENTS)
    assert (await database.revision("a"), await database.revision("b")) == (2, 2)


async def test_an_agent_that_is_not_there_has_no_revision(database: Database) -> None:
    await database.change(plant_agent, "gone", deleted_at=1, agents=[])
    assert (await database.revision("never"), await database.revision("gone")) == (None, None)


async def test_many_who_ask_at_once_all_get_their_agents_revision(database: Database) -> None:
    await database.change(plant_agent, "a", agents=[])
    await database.change(plant_agent, "b", revision=7, agents=[])
    assert await asyncio.gather(*(database.revision(x) for x in "abcab")) == [1, 7, None, 1, 7]


@pytest.mark.promise("P13")
async def test_what_fails_is_undone_and_moves_no_revision(database: Database) -> None:
    def plant_and_fail(tx: sa.Connection) -> None:
        plant_agent(tx, "b")
        raise Invalid("no", field="name")

    await database.change(plant_agent, "a", agents=[])
    with pytest.raises(Invalid):
        await database.change(plant_and_fail, agents=["a"])
    assert await database.read(count_agents) == 1
    assert await database.revision("a") == 1


@pytest.mark.promise("P13")
async def test_a_read_sees_one_state_while_others_change_it(location: Location) -> None:
    reader, writer = await location.open(), await location.open()
    await writer.change(plant_agent, "a", agents=[])
    seen, changed = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def change_meanwhile() -> None:
        await asyncio.to_thread(seen.wait, 5)
        await writer.change(plant_agent, "b", agents=[])
        changed.set()

    def count_before_and_after(tx: sa.Connection) -> tuple[int, int]:
        before = count_agents(tx)
        seen.set()
        if reader.kind == Kind.SQLITE:
            asyncio.run_coroutine_threadsafe(changed.wait(), loop).result(5)
        else:
            await_only(changed.wait())
        return before, count_agents(tx)

    async with asyncio.timeout(20):
        _, counts = await asyncio.gather(change_meanwhile(), reader.read(count_before_and_after))
    assert counts == (1, 1)
    assert await reader.read(count_agents) == 2
    await reader.close()
    await writer.close()


async def test_a_read_cannot_write(database: Database) -> None:
    def plant(tx: sa.Connection) -> None:
        plant_agent(tx, "a")

    with pytest.raises(Unavailable):
        await database.read(plant)
    assert await database.read(count_agents) == 0


@pytest.mark.promise("P13")
async def test_changes_of_two_openers_lose_nothing(location: Location) -> None:
    first, second = await location.open(), await location.open()
    await first.change(plant_agent, "a", agents=[])
    async with asyncio.timeout(30):
        await asyncio.gather(*(opened.change(count_agents, agents=["a"]) for opened in (first, second) * 20))
    assert await second.revision("a") == 41
    await first.close()
    await second.close()


async def test_a_database_without_tables_is_unavailable(tmp_path: Path) -> None:
    database = await open_database(sqlite_path=tmp_path / "empty.db")
    with pytest.raises(Unavailable):
        await database.revision("a")
    with pytest.raises(Unavailable):
        await database.read(count_agents)
    await database.close()


async def test_a_change_that_gets_no_turn_in_time_never_happens(tmp_path: Path) -> None:
    patient = await SqliteDatabase.open(tmp_path / "wicket.db")
    impatient = SqliteDatabase(tmp_path / "wicket.db", change_wait_s=0.05)
    await upgrade(patient)
    with WriteGate(tmp_path / "wicket.db") as gate, gate.turn():
        with pytest.raises(Unavailable):
            await impatient.change(plant_agent, "given up", agents=[])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await patient.change(plant_agent, "cancelled", agents=[])
    for database in (patient, impatient):
        await database.change(count_agents, agents=[])
        assert await database.read(count_agents) == 0
        await database.close()


async def test_a_full_disk_is_unavailable_until_there_is_room_again(tmp_path: Path) -> None:
    def limit_pages(tx: sa.Connection, pages: int) -> None:
        tx.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    database = await open_database(sqlite_path=tmp_path / "wicket.db")
    await upgrade(database)
    await database.change(limit_pages, 1, agents=[])
    with pytest.raises(Unavailable):
        await database.change(plant_agent, "a", tags=f'["{"x" * 100_000}"]', agents=[])
    await database.change(limit_pages, 1_000_000, agents=[])
    await database.change(plant_agent, "b", agents=[])
    assert await database.read(count_agents) == 1
    await database.close()


async def test_a_database_of_a_newer_version_is_refused(location: Location) -> None:
    database = await location.open()
    await database.change(
        lambda tx: tx.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'") and None, agents=[]
    )
    with pytest.raises(Conflict) as refused:
        await upgrade(database)
    assert refused.value.code == "database_newer"
    await database.change(
        lambda tx: tx.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'") and None, agents=[]
    )
    await database.close()


async def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await open_database(sqlite_path=tmp_path / "nowhere" / "wicket.db")


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    database = await open_database(sqlite_path=tmp_path / "wicket.db")
    await upgrade(database)
    assert readable_by_others(tmp_path) == []
    await database.close()


def test_an_old_sqlite_serves_one_worker_only() -> None:
    check_sqlite(workers=1, version=(3, 40, 1))
    check_sqlite(workers=4, version=(3, 51, 3))
    with pytest.raises(Invalid):
        check_sqlite(workers=2, version=(3, 51, 2))


@pytest.mark.postgres
async def test_a_postgresql_that_loses_commits_is_refused(postgres_server: PostgresServer) -> None:
    url = await postgres_server.create(migrated=False)
    with pytest.raises(Invalid, match="synchronous_commit"):
        await open_database(sqlite_path=Path(), url=f"{url}&options=-csynchronous_commit%3Doff")
    await postgres_server.drop(url)


@pytest.mark.postgres
async def test_a_postgresql_that_cannot_be_reached_is_unavailable(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    no_database = postgres_server.url.replace("/postgres?", "/nothing?")
    for url in (no_database, f"postgresql://nobody@/nothing?host={tmp_path}"):
        with pytest.raises(Unavailable):
            await open_database(sqlite_path=tmp_path, url=url)


async def test_an_address_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        await open_database(sqlite_path=tmp_path, url="postgresql://host:port/x")
    assert refused.value.field == "WICKET_DATABASE_URL"


@pytest.mark.postgres
async def test_a_change_waits_two_seconds_for_a_bucket_and_no_longer(postgres_server: PostgresServer) -> None:
    url = await postgres_server.create()
    holder, waiter = await PostgresDatabase.open(url), await PostgresDatabase.open(url)
    async with asyncio.timeout(20), holder._changing.begin() as connection:
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared(7, {bucket_of('a')})")
        with pytest.raises(Unavailable):
            await waiter.change(count_agents, agents=["a"])
    assert await waiter.change(count_agents, agents=["a"]) == 0
    await holder.close()
    await waiter.close()
    await postgres_server.drop(url)


def test_buckets_never_move() -> None:
    assert [bucket_of(x) for x in ("a", "b", "6f9619ff-8b86-d011-b42d-00c04fc964ff")] == [3, 57, 22]


def test_both_databases_are_databases() -> None:
    both: list[type[Database]] = [SqliteDatabase, PostgresDatabase]
    assert {database.kind for database in both}
