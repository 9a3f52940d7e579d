"""A log that is attested by checkpoints, and what somebody who can write the database does to it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.databases import Location
from tests.runtime.recorder.support import (
    AGENT,
    allow,
    append_calls,
    create_agent,
    deny,
    ledger_at,
    load_world,
)
from wicket.core.checkpoints import Signer, digest_of, fingerprint_of, parse_statement, render_statement
from wicket.core.model import Outcome
from wicket.store import tables
from wicket.store.audit.attested import Trust
from wicket.store.audit.entry import OutcomeRow
from wicket.store.audit.verify import VerifyReport, verify
from wicket.store.changes import record_change
from wicket.store.checkpoints import draft_checkpoint, write_checkpoint
from wicket.store.db import Database

SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(b"s" * 32))
FORGER = Signer(Ed25519PrivateKey.from_private_bytes(b"f" * 32))
KNOWN = Trust(frozenset({SIGNER.public_key}))
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOG = {"audit": tables.audit, "outcomes": tables.outcomes, "events": tables.events}

Statements = Sequence[str | sa.Executable]


async def checkpoint(database: Database, *, signer: Signer = SIGNER, minute: int = 0) -> None:
    draft = await database.read(draft_checkpoint)
    now = NOW + timedelta(minutes=minute)
    assert await database.change(write_checkpoint, draft, signer=signer, now=now, agents=())


def change_something(tx: sa.Connection) -> None:
    record_change(tx, kind="policy_saved", agent_id=AGENT, actor_id=None, body={"a": 1}, now=NOW)


async def leave_an_attested_log(location: Location, database: Database) -> None:
    """Two writers and the changes, four checkpoints; the last covers all but the last row of writer 0.

    Writer 1 ended between the second and the third, writer 2 lives until after the third.
    """
    await database.change(create_agent, agents=[])
    world = await database.read(load_world, AGENT)
    assert world is not None
    first, second = ledger_at(location), ledger_at(location)
    await first.open(1)
    ids = await append_calls(first, world, [allow, deny, allow])
    await checkpoint(database, minute=0)
    await second.open(2)
    async with first.turn([], []) as turn:
        await turn.commit([OutcomeRow(ids[0], Outcome.OK, 5), OutcomeRow(ids[2], Outcome.TIMEOUT, 6)], [])
    await append_calls(second, world, [deny, allow])
    await checkpoint(database, minute=5)
    await first.close(10)
    await database.change(change_something, agents=[AGENT])
    await append_calls(second, world, [allow])
    await checkpoint(database, minute=10)
    await second.close(11)
    await checkpoint(database, minute=15)
    await database.change(change_something, agents=[AGENT])


def outside_of(tx: sa.Connection) -> dict[int, str]:
    """What a sink has kept: number -> digest."""
    bodies = tx.execute(sa.select(tables.checkpoints.c.body)).scalars()
    return {parse_statement(body).number: digest_of(body) for body in bodies}


class Undone(Exception):
    """Carries what was found out of a transaction that must not last."""

    def __init__(self, report: VerifyReport) -> None:
        super().__init__()
        self.report = report


async def verify_after(database: Database, statements: Statements, trust: Trust = KNOWN) -> VerifyReport:
    """What verifying finds once somebody ran these; everything is put back afterwards."""

    def tamper(tx: sa.Connection) -> None:
        for statement in statements:
            tx.execute(sa.text(statement) if isinstance(statement, str) else statement)
        raise Undone(verify(tx, trust))

    try:
        await database.change(tamper, agents=[])
    except Undone as undone:
        return undone.report
    raise AssertionError("it was not undone")


@dataclass(frozen=True)
class Attack:
    """What was done, and where it can be seen first: writer and number of a row, or of a checkpoint (writer -1)."""

    what: str
    statements: Statements
    writer: int
    seq: int


@dataclass(frozen=True)
class Kept:
    """A statement as it is in the database."""

    id: int
    number: int
    body: str
    signature: bytes


def statements_of(tx: sa.Connection) -> list[Kept]:
    rows = tx.execute(sa.select(tables.checkpoints).order_by(tables.checkpoints.c.id))
    return [Kept(row.id, parse_statement(row.body).number, row.body, bytes(row.signature)) for row in rows]


def row_of(kept: Kept) -> sa.ColumnElement[bool]:
    return tables.checkpoints.c.id == kept.id


def body_changed(kept: Sequence[Kept], chance: random.Random) -> Attack:
    one = chance.choice(kept)
    place = chance.randrange(len(one.body))
    body = one.body[:place] + chance.choice("abc0}") + one.body[place + chance.randrange(2) :]
    if body == one.body:
        body += " "
    return Attack(
        "body changed", [sa.update(tables.checkpoints).where(row_of(one)).values(body=body)], -1, one.number
    )


def column_changed(kept: Sequence[Kept], chance: random.Random) -> Attack:
    one = chance.choice(kept)
    columns = tables.checkpoints.c
    values: dict[str, object] = chance.choice(
        [
            {"at": columns.at + chance.randrange(1, 10**9)},
            {"kind": "pruned"},
            {"key": chance.randbytes(16).hex()},
            {"signature": chance.randbytes(64)},
            {"signature": one.signature[:-1] + bytes([one.signature[-1] ^ 1])},
        ]
    )
    return Attack(
        "column changed", [sa.update(tables.checkpoints).where(row_of(one)).values(values)], -1, one.number
    )


def forged(kept: Sequence[Kept], chance: random.Random) -> Attack:
    """Signed anew, by a key of one's own, as of any other content."""
    one = chance.choice(kept)
    told = parse_statement(one.body)
    body = render_statement(
        type(told)(told.number, told.at_us + 1, told.previous, FORGER.public_key, told.says)
    )
    values = {
        "body": body,
        "at": told.at_us + 1,
        "key": fingerprint_of(FORGER.public_key),
        "signature": FORGER.sign(body),
    }
    # The next one names the digest of what was there; only the last has none behind it.
    seen = one.number if one is kept[-1] else one.number + 1
    return Attack("forged", [sa.update(tables.checkpoints).where(row_of(one)).values(values)], -1, seen)


def removed(kept: Sequence[Kept], chance: random.Random) -> Attack:
    one = chance.choice(kept[:-1])
    return Attack("removed", [sa.delete(tables.checkpoints).where(row_of(one))], -1, one.number)


def all_removed(kept: Sequence[Kept], _chance: random.Random) -> Attack:
    return Attack("all removed", [sa.delete(tables.checkpoints)], -1, kept[0].number)


def swapped(kept: Sequence[Kept], chance: random.Random) -> Attack:
    one, other = sorted(chance.sample(list(kept), 2), key=lambda each: each.number)
    move = sa.update(tables.checkpoints)
    statements = [
        move.where(row_of(one)).values(id=-1),
        move.where(row_of(other)).values(id=one.id),
        move.where(tables.checkpoints.c.id == -1).values(id=other.id),
    ]
    return Attack("swapped", statements, -1, one.number)


def repeated(kept: Sequence[Kept], chance: random.Random) -> Attack:
    one = chance.choice(kept)
    columns = [column for column in tables.checkpoints.c if column.name != "id"]
    copy = sa.select(sa.literal(kept[-1].id + 1), *columns).where(row_of(one))
    names = ["id", *(column.name for column in columns)]
    return Attack(
        "repeated", [sa.insert(tables.checkpoints).from_select(names, copy)], -1, kept[-1].number + 1
    )


def tail_cut(writer: int, last: int, chance: random.Random) -> Attack:
    """The end of a chain deleted, with what points to it; checkpoints name rows that are gone."""
    first = chance.randrange(1, last + 1)
    cited = sa.select(tables.audit.c.id).where(tables.audit.c.writer == writer, tables.audit.c.seq >= first)
    statements: list[str | sa.Executable] = [
        sa.delete(tables.audit_policies).where(tables.audit_policies.c.entry_id.in_(cited))
    ]
    statements += [
        sa.delete(table).where(table.c.writer == writer, table.c.seq >= first) for table in LOG.values()
    ]
    return Attack("tail cut", statements, writer, first)


ON_STATEMENTS: list[Callable[[Sequence[Kept], random.Random], Attack]] = [
    body_changed,
    column_changed,
    forged,
    removed,
    all_removed,
    swapped,
    repeated,
]
