import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from tests.databases import Location
from tests.evidence import SEED, asked, note
from tests.runtime.recorder.support import (
    AGENT,
    allow,
    append_calls,
    create_agent,
    deny,
    ledger_at,
    load_world,
)
from wicket.core.model import Outcome
from wicket.store import tables
from wicket.store.audit.entry import OutcomeRow
from wicket.store.audit.ledger import gap
from wicket.store.audit.verify import VerifyReport, verify
from wicket.store.changes import record_change
from wicket.store.db import Database

MUTATIONS = asked("WICKET_TEST_MUTATIONS", 60)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOG = {"audit": tables.audit, "outcomes": tables.outcomes, "events": tables.events}


def change_something(tx: sa.Connection) -> None:
    record_change(tx, kind="policy_saved", agent_id=AGENT, actor_id=None, body={"a": 1}, now=NOW)


@pytest.fixture
async def log(location: Location, database: Database) -> Database:
    """Two writers and the changes. Writer 1: a start, three entries, two outcomes, a gap; 2 began after that."""
    await database.change(create_agent, agents=[])
    world = await database.read(load_world, AGENT)
    assert world is not None
    for _ in range(3):
        await database.change(change_something, agents=[AGENT])
    first, second = ledger_at(location), ledger_at(location)
    await first.open(1)
    ids = await append_calls(first, world, [allow, deny, allow])
    async with first.turn([], []) as turn:
        outcomes = [
            OutcomeRow(ids[0], Outcome.OK, 5, '{"durationMs":1.5}'),
            OutcomeRow(ids[2], Outcome.TIMEOUT, 6),
        ]
        await turn.commit([*outcomes, gap(7, count=2, from_us=3, to_us=4)], [])
    await second.open(8)
    await append_calls(second, world, [deny])
    await second.close(9)
    await first.close(10)
    return database


class Undone(Exception):
    """Carries what was found out of a transaction that must not last."""

    def __init__(self, report: VerifyReport) -> None:
        super().__init__()
        self.report = report


async def verify_after(database: Database, statements: Sequence[str | sa.Executable]) -> VerifyReport:
    """What verifying finds once the rows were tampered with; they are put back afterwards."""

    def tamper(tx: sa.Connection) -> None:
        for statement in statements:
            tx.execute(sa.text(statement) if isinstance(statement, str) else statement)
        raise Undone(verify(tx))

    with pytest.raises(Undone) as undone:
        await database.change(tamper, agents=[])
    return undone.value.report


async def test_an_untouched_log_is_good(log: Database) -> None:
    report = await log.read(verify)
    assert report == VerifyReport(ok=True, first_bad=None, rows=3 + 8 + 3, writers=3)


async def test_an_empty_log_is_good(database: Database) -> None:
    assert await database.read(verify) == VerifyReport(ok=True, first_bad=None, rows=0, writers=1)


@dataclass(frozen=True)
class Case:
    statements: Sequence[str]
    writer: int
    seq: int
    table: str
    flaw: str


SWAP = (
    "UPDATE {0} SET seq = 99 WHERE writer = 1 AND seq = {1}",
    "UPDATE {0} SET seq = {1} WHERE writer = 1 AND seq = {2}",
    "UPDATE {0} SET seq = {2} WHERE writer = 1 AND seq = 99",
)
CASES = {
    "an entry changed": Case(["UPDATE audit SET reason_code = 'x' WHERE seq = 3"], 1, 3, "audit", "changed"),
    "an entry allowed": Case(
        ["UPDATE audit SET denied = NOT denied WHERE writer = 1 AND seq = 3"], 1, 3, "audit", "changed"
    ),
    "an entry's request": Case(
        ["UPDATE audit SET body = replace(body, '321', '1')"], 1, 2, "audit", "changed"
    ),
    "a hash": Case(["UPDATE audit SET hash = (SELECT max(hash) FROM events)"], 1, 2, "audit", "changed"),
    "a tool renamed": Case(
        ["UPDATE names SET name = 'get_file' WHERE kind = 'tool'"], 1, 2, "audit", "changed"
    ),
    "a name deleted": Case(["DELETE FROM names WHERE kind = 'agent'"], 1, 2, "audit", "changed"),
    "an entry deleted": Case(["DELETE FROM audit WHERE writer = 1 AND seq = 3"], 1, 3, "log", "missing"),
    "entries swapped": Case([s.format("audit", 2, 3) for s in SWAP], 1, 2, "audit", "changed"),
    "an outcome changed": Case(["UPDATE outcomes SET outcome = 'ok'"], 1, 6, "outcomes", "changed"),
    "an outcome's duration": Case(["UPDATE outcomes SET body = '{}'"], 1, 5, "outcomes", "changed"),
    "an outcome deleted": Case(["DELETE FROM outcomes WHERE seq = 5"], 1, 5, "log", "missing"),
    "an outcome inserted": Case(
        [
            "INSERT INTO outcomes SELECT writer, 3, entry_id, outcome, ended_at, body, hash FROM outcomes WHERE seq = 5"
        ],
        1,
        3,
        "outcomes",
        "inserted",
    ),
    "an outcome appended": Case(
        [
            "INSERT INTO outcomes SELECT writer, 9, entry_id, outcome, ended_at, body, hash FROM outcomes WHERE seq = 5"
        ],
        1,
        9,
        "outcomes",
        "changed",
    ),
    "outcomes swapped": Case([s.format("outcomes", 5, 6) for s in SWAP], 1, 5, "outcomes", "changed"),
    "a gap closed": Case(["DELETE FROM events WHERE kind = 'gap'"], 1, 7, "log", "missing"),
    "a gap reduced": Case(["UPDATE events SET body = '{}' WHERE kind = 'gap'"], 1, 7, "events", "changed"),
    "a start deleted": Case(["DELETE FROM events WHERE writer = 2 AND seq = 1"], 2, 1, "events", "missing"),
    "a start that names nothing": Case(
        ["UPDATE events SET body = '{\"heads\":{}}' WHERE writer = 2 AND seq = 1"], 2, 1, "events", "changed"
    ),
    "a change deleted": Case(["DELETE FROM events WHERE writer = 0 AND seq = 2"], 0, 2, "log", "missing"),
    "the last change cut off": Case(
        ["DELETE FROM events WHERE writer = 0 AND seq = 3"], 0, 3, "log", "missing"
    ),
    "the last change undone": Case(
        [
            "DELETE FROM events WHERE writer = 0 AND seq = 3",
            "UPDATE change_chain SET seq = 2, hash = (SELECT hash FROM events WHERE writer = 0 AND seq = 2)",
        ],
        0,
        3,
        "log",
        "missing",
    ),
    "a chain cut off behind a head that was named": Case(
        [
            "DELETE FROM events WHERE writer = 1 AND seq > 5",
            "DELETE FROM outcomes WHERE writer = 1 AND seq > 5",
        ],
        1,
        6,
        "log",
        "missing",
    ),
    "a chain deleted with its writer": Case(
        [
            "DELETE FROM audit_policies WHERE entry_id IN (SELECT id FROM audit WHERE writer = 1)",
            *(f"DELETE FROM {table} WHERE writer = 1" for table in LOG),
            "DELETE FROM writers WHERE id = 1",
        ],
        1,
        1,
        "writers",
        "missing",
    ),
    "a writer deleted": Case(["DELETE FROM writers WHERE id = 2"], 2, 1, "writers", "missing"),
    "a citation deleted": Case(
        ["DELETE FROM audit_policies WHERE policy_id = 'p-2'"], 1, 3, "audit_policies", "missing"
    ),
    "a citation inserted": Case(
        ["INSERT INTO audit_policies (policy_id, entry_id) SELECT 'p-9', id FROM audit WHERE seq = 3"],
        0,
        0,
        "audit_policies",
        "inserted",
    ),
    "a policy's version changed": Case(
        ["UPDATE policy_versions SET document = replace(document, 'forbid', 'permit')"],
        1,
        3,
        "policy_versions",
        "changed",
    ),
    "a policy's version deleted": Case(["DELETE FROM policy_versions"], 1, 2, "policy_versions", "missing"),
}


@pytest.mark.promise("P4")
@pytest.mark.parametrize("name", CASES)
async def test_the_first_bad_row_is_named(log: Database, name: str) -> None:
    case = CASES[name]
    found = (await verify_after(log, case.statements)).first_bad
    assert found is not None
    assert (found.writer, found.seq, found.table, found.what.partition(":")[0]) == (
        case.writer,
        case.seq,
        case.table,
        case.flaw,
    )


def places_in(tx: sa.Connection, table: sa.Table) -> list[tuple[int, int]]:
    return [(row.writer, row.seq) for row in tx.execute(sa.select(table.c.writer, table.c.seq))]


@dataclass(frozen=True)
class Mutation:
    """What somebody did to the log, and the first place where it can show."""

    what: str
    statements: Sequence[str | sa.Executable]
    writer: int
    seq: int


@pytest.mark.promise("P4")
async def test_whatever_is_done_to_the_log_is_found_at_its_first_bad_row(
    log: Database, location: Location
) -> None:
    chance = random.Random(asked(SEED, 4))
    places = [(table, place) for table in LOG.values() for place in sorted(await log.read(places_in, table))]
    missed, misplaced, kinds = [], [], Counter[str]()
    while kinds.total() < MUTATIONS:
        table, (writer, seq) = chance.choice(places)
        mutation = chance.choice(MUTATE)(table, writer, seq, chance, [place for _, place in places])
        if mutation is None:
            continue
        kinds[mutation.what] += 1
        found = (await verify_after(log, mutation.statements)).first_bad
        if found is None:
            missed.append(mutation)
        elif (found.writer, found.seq) != (mutation.writer, mutation.seq):
            misplaced.append((mutation, found))
    note(
        f"tampering-{'sqlite' if location.url is None else 'postgresql'}",
        kinds.total(),
        wrong={"not found": len(missed), "found elsewhere": len(misplaced)},
        **kinds,
    )
    assert missed == []
    assert misplaced == []
    assert set(kinds) == {"changed", "deleted", "inserted", "moved"}


def changed(
    table: sa.Table, writer: int, seq: int, chance: random.Random, _places: Sequence[tuple[int, int]]
) -> Mutation | None:
    """Another value of the column's own type."""
    column = chance.choice([c for c in table.columns if c.name not in {"writer", "seq"}])
    if isinstance(column.type, sa.Boolean):
        value: object = ~column
    elif isinstance(column.type, sa.Integer):
        value = column + chance.randrange(1, 9)
    elif isinstance(column.type, sa.LargeBinary):
        value = chance.randbytes(32)
    else:
        value = sa.func.coalesce(column, "") + chance.choice("abc ")
    return Mutation(
        "changed",
        [sa.update(table).where(table.c.writer == writer, table.c.seq == seq).values({column: value})],
        writer,
        seq,
    )


def deleted(
    table: sa.Table, writer: int, seq: int, _chance: random.Random, places: Sequence[tuple[int, int]]
) -> Mutation | None:
    """A row that others follow: what is cut off the end, only a head that was kept elsewhere shows."""
    if (writer, seq + 1) not in places:
        return None
    where = (table.c.writer == writer, table.c.seq == seq)
    cited = sa.delete(tables.audit_policies).where(
        tables.audit_policies.c.entry_id.in_(
            sa.select(tables.audit.c.id).where(tables.audit.c.writer == writer, tables.audit.c.seq == seq)
        )
    )
    # Whoever deletes an entry with what cites it leaves the hole alone.
    statements = [cited] if table is tables.audit else []
    return Mutation("deleted", [*statements, sa.delete(table).where(*where)], writer, seq)


def inserted(
    table: sa.Table, writer: int, seq: int, chance: random.Random, places: Sequence[tuple[int, int]]
) -> Mutation | None:
    """A copy of a row, behind the end of a chain, or beside a row of another table with the same number."""
    last = max(other for other_writer, other in places if other_writer == writer)
    at = chance.choice([last + 1, last + chance.randrange(2, 50)])
    columns: list[Any] = [
        sa.literal(at).label("seq") if column.name == "seq" else column for column in table.columns
    ]
    if table is tables.audit:
        columns[0] = sa.literal("a-copy").label("id")
    source = sa.select(*columns).where(table.c.writer == writer, table.c.seq == seq)
    return Mutation(
        "inserted", [sa.insert(table).from_select([c.name for c in table.columns], source)], writer, last + 1
    )


def moved(
    table: sa.Table, writer: int, seq: int, chance: random.Random, places: Sequence[tuple[int, int]]
) -> Mutation | None:
    """Two rows of a table change places, or a row takes the place of one that is gone."""
    seqs = sorted(s for w, s in places if w == writer)
    other = chance.choice(seqs)
    if other == seq:
        return None
    by_seq = table.c.writer == writer
    swap = [
        sa.update(table).where(by_seq, table.c.seq == seq).values(seq=-1),
        sa.update(table).where(by_seq, table.c.seq == other).values(seq=seq),
        sa.update(table).where(by_seq, table.c.seq == -1).values(seq=other),
    ]
    return Mutation("moved", swap, writer, min(seq, other))


MUTATE: list[
    Callable[
        [sa.Table, int, int, random.Random, Sequence[tuple[int, int]]],
        Mutation | None,
    ]
] = [changed, changed, deleted, inserted, moved]
