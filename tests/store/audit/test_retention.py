"""The oldest part of the log goes, and what is left can still be checked: before, meanwhile and after."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.databases import Location
from tests.runtime.recorder.support import ledger_at, rows
from tests.store.audit.attacks import verify_after
from tests.store.audit.old_log import DAYS, KNOWN, NOW, SIGNER, OldLog, day, old_log
from wicket.runtime.checkpoints import Checkpoints
from wicket.runtime.retention import Retention
from wicket.store import retention
from wicket.store.audit.filters import AuditFilter
from wicket.store.audit.flaws import STATEMENTS, Bad
from wicket.store.audit.following import position_now, read_after
from wicket.store.audit.partitions import PARTITIONED, ensure_partitions, partition_of
from wicket.store.audit.query import list_entries
from wicket.store.audit.verify import verify
from wicket.store.db import Database, Kind
from wicket.store.duties import Duty, on_duty
from wicket.store.instants import to_us

REPOSITORY = Path(__file__).parents[3]
ENTRIES = sa.text("SELECT id FROM audit ORDER BY id")
ROWS = sa.text(
    "SELECT writer, seq FROM audit UNION SELECT writer, seq FROM outcomes UNION SELECT writer, seq FROM events"
)


@pytest.fixture
async def log(location: Location, database: Database) -> AsyncIterator[OldLog]:
    async with old_log(location, database) as past:
        await Checkpoints(database, SIGNER, every_s=300, now=lambda: NOW).write()
        yield past


def retention_of(database: Database, *, days: int = DAYS, rows_max: int = 3) -> Retention:
    return Retention(database, SIGNER, days=days, now=lambda: NOW, rows_max=rows_max)


async def ids_in(database: Database) -> list[str]:
    return [row["id"] for row in await rows(database, ENTRIES)]


async def chains_in(database: Database) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for row in await rows(database, ROWS):
        found.setdefault(row["writer"], []).append(row["seq"])
    return {writer: sorted(seqs) for writer, seqs in sorted(found.items())}


async def test_the_oldest_part_of_each_chain_goes_up_to_the_first_row_that_is_not_old(
    log: OldLog, database: Database
) -> None:
    before = await chains_in(database)
    await retention_of(database).run()
    assert await ids_in(database) == sorted(log.kept)
    after = await chains_in(database)
    # Chain 1 had ended and is gone; 2 begins with its first row of March, although a later row bears an older
    # instant; 3 begins with the call that it has not seen the end of; the changes are whole, with two more.
    assert 1 not in after
    assert after[2] == before[2][6:]
    assert after[3] == before[3][5:]
    assert after[0] == [*before[0], before[0][-1] + 1]


async def test_what_is_left_verifies_and_everybody_can_read_what_is_gone(
    log: OldLog, database: Database
) -> None:
    whole = await database.read(verify, KNOWN)
    await retention_of(database).run()
    report = await database.read(verify, KNOWN)
    assert (report.ok, report.first_bad) == (True, None)
    assert report.writers == whole.writers
    bounds = {writer: seq for writer, (seq, _) in report.attested.bounds.items()}
    assert bounds == {1: 10, 2: 6, 3: 5}
    assert report.rows == whole.rows - sum(bounds.values()) + 1
    assert log.open in await ids_in(database)
    events = await rows(database, sa.text("SELECT body FROM events WHERE kind = 'audit_pruned'"))
    assert [event["body"] for event in events] == [
        '{"before":"2025-03-02","chains":3,"rows":21,"statement":3}'
    ]


async def test_nothing_goes_twice_and_nothing_goes_without_days(log: OldLog, database: Database) -> None:
    await retention_of(database, days=0).run()
    assert await ids_in(database) == sorted(log.gone + log.kept)
    for _ in range(2):
        await retention_of(database).run()
    statements = await rows(database, sa.text("SELECT kind FROM checkpoints ORDER BY id"))
    assert [row["kind"] for row in statements] == ["checkpoint", "pruned", "pruned"]


async def test_the_log_verifies_after_each_turn_and_whoever_is_next_goes_on(
    log: OldLog, database: Database
) -> None:
    bounds = {1: 10, 2: 6, 3: 5}
    cutoff = retention.cutoff_of(NOW, DAYS)
    pruned = await database.change(retention.begin, bounds, cutoff=cutoff, signer=SIGNER, now=NOW, agents=())
    assert (await database.read(verify, KNOWN)).ok
    for writer in (2, 1):
        await database.change(retention.delete_some, writer, pruned.bounds[writer], rows=4, agents=())
        assert (await database.read(verify, KNOWN)).first_bad is None
    # Another process begins with another cutoff, and finishes what was announced instead.
    again = await database.change(retention.begin, {1: 2}, cutoff=cutoff, signer=SIGNER, now=NOW, agents=())
    assert again == pruned
    await retention_of(database, days=0).run()
    assert await ids_in(database) == sorted(log.kept)
    assert (await database.read(verify, KNOWN)).first_bad is None
    assert await database.change(retention.finish, signer=SIGNER, now=NOW, agents=()) is None


async def test_one_process_at_a_time_prunes(log: OldLog, database: Database) -> None:
    async with on_duty(database, Duty.PRUNING) as is_ours:
        assert is_ours
        async with on_duty(database, Duty.SENDING) as is_other:
            assert is_other
        await retention_of(database).run()
        assert await ids_in(database) == sorted(log.gone + log.kept)
    await retention_of(database).run()
    assert await ids_in(database) == sorted(log.kept)


async def test_lists_and_positions_go_on_over_what_is_gone(log: OldLog, database: Database) -> None:
    behind_one = (await database.read(read_after, (await database.read(position_now)))).position
    from_the_start = type(behind_one)(0, {})
    await retention_of(database).run()
    page = await database.read(list_entries, account_id=None, wanted=AuditFilter())
    assert [item["id"] for item in page.items] == sorted(log.kept, reverse=True)
    entry_ids = [
        row.entry.id for row in (await database.read(read_after, from_the_start)).rows if row.outcome is None
    ]
    assert sorted(entry_ids) == sorted(log.kept)
    (new,) = await log.living.calls(NOW, denied=1, allowed=0)
    fresh = await database.read(read_after, behind_one)
    assert [row.entry.id for row in fresh.rows] == [new]


async def test_the_next_writers_start_and_the_next_pruning_build_on_it(
    log: OldLog, location: Location, database: Database
) -> None:
    await retention_of(database).run()
    await log.living.end([log.open], NOW)
    late = ledger_at(location)
    await late.open(to_us(NOW))
    await late.close(to_us(NOW))
    later = NOW + timedelta(days=60)
    await Checkpoints(database, SIGNER, every_s=300, now=lambda: later).write()
    await Retention(database, SIGNER, days=DAYS, now=lambda: later).run()
    report = await database.read(verify, KNOWN)
    assert (report.ok, report.first_bad) == (True, None)
    assert await ids_in(database) == []
    # A chain that still grows keeps its last row, by which a new writer names it.
    assert {writer: len(seqs) for writer, seqs in (await chains_in(database)).items() if writer} == {3: 1}


CASES = {
    "a row put back before the bound": (
        [("INSERT INTO events (writer, seq, at, kind, body, hash) SELECT 1, 4, at, kind, body, hash"
            " FROM events WHERE writer = 0 AND seq = 1")],
        Bad(1, 4, "events", "inserted: the chain begins behind it"),
    ),
    "one row more than was announced": (
        ["DELETE FROM events WHERE writer = 2 AND seq = 7", "DELETE FROM outcomes WHERE writer = 2 AND seq = 7",
         "DELETE FROM audit_policies WHERE entry_id IN (SELECT id FROM audit WHERE writer = 2 AND seq = 7)",
         "DELETE FROM audit WHERE writer = 2 AND seq = 7"],
        Bad(2, 7, "log", "missing"),
    ),
    "the marker that says that it is done": (
        ["DELETE FROM checkpoints WHERE id = (SELECT max(id) FROM checkpoints)"], None,
    ),
    "every marker": (
        ["DELETE FROM checkpoints WHERE kind = 'pruned'"],
        Bad(1, 1, "events", "missing: a chain begins with the start of its writer"),
    ),
    "a marker that says more": (
        ["""UPDATE checkpoints SET body = replace(body, '"2"\\:[6', '"2"\\:[7')"""],
        Bad(0, 2, STATEMENTS, "changed: its signature is not good"),
    ),
}  # fmt: skip


@pytest.mark.promise("P4")
async def test_only_what_was_announced_may_be_missing(log: OldLog, database: Database) -> None:
    assert len(log.gone) == 11
    await retention_of(database).run()
    found = {
        name: (await verify_after(database, statements, KNOWN)).first_bad
        for name, (statements, _) in CASES.items()
    }
    assert found == {name: bad for name, (_, bad) in CASES.items()}


async def test_whole_months_are_dropped_where_there_are_partitions(log: OldLog, database: Database) -> None:
    def partitions(tx: sa.Connection) -> set[str]:
        names = [partition_of(table, day(month, 1)) for table in PARTITIONED for month in (1, 2, 3)]
        found = tx.execute(
            sa.text("SELECT relname FROM pg_class WHERE relname = ANY(:names)"), {"names": names}
        )
        return set(found.scalars())

    await retention_of(database).run()
    assert await ids_in(database) == sorted(log.kept)
    if database.kind is Kind.POSTGRESQL:
        # January is gone; in February there is the open call.
        kept = {partition_of(table, day(month, 1)) for table in PARTITIONED for month in (2, 3)}
        assert await database.read(partitions) == kept


async def test_partitions_are_made_ahead_month_by_month(location: Location, database: Database) -> None:
    ledger = ledger_at(location)
    await ledger.open(1)
    await ledger.close(2)
    now = day(1, 31, 23)

    def exists(tx: sa.Connection, month: int) -> bool:
        if tx.dialect.name != "postgresql":
            return True
        name = partition_of("audit", day(month, 1))
        return tx.execute(sa.select(sa.func.to_regclass(name))).scalar_one() is not None

    def drop(tx: sa.Connection) -> None:
        if tx.dialect.name == "postgresql":
            for month in (1, 2, 3, 4):
                for table in PARTITIONED:
                    tx.execute(sa.text(f"DROP TABLE IF EXISTS {partition_of(table, day(month, 1))}"))

    await database.change(drop, agents=())
    upkeep = Retention(database, SIGNER, days=0, now=lambda: now)
    await upkeep.run()
    assert [await database.read(exists, month) for month in (1, 2, 3)] == [True] * 3
    assert await database.read(exists, 4) is (database.kind is Kind.SQLITE)
    now += timedelta(hours=2)
    await upkeep.run()
    assert await database.read(exists, 4)
    await database.change(ensure_partitions, now=now, agents=())


@pytest.mark.slow
@pytest.mark.promise("P4")
async def test_a_pruning_that_is_killed_anywhere_is_finished_by_whoever_is_next(
    log: OldLog, location: Location, database: Database
) -> None:
    for turns in (2, 3, 5, 7, 1):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.store.audit.dying"),
            *(str(location.sqlite_path), location.url or "", str(turns)),
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])},
        )
        assert await process.wait() == -9
        report = await database.read(verify, KNOWN)
        assert (report.ok, report.first_bad) == (True, None)
    assert len(await ids_in(database)) > len(log.kept)
    await retention_of(database).run()
    assert await ids_in(database) == sorted(log.kept)
    assert (await database.read(verify, KNOWN)).ok
