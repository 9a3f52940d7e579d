"""What the audit log says, read from the database as the tables have it."""

import json
from dataclasses import dataclass

import sqlalchemy as sa

from wicket.store import tables
from wicket.store.db import Database


@dataclass(frozen=True)
class Logged:
    """One entry of the log."""

    id: str
    writer: int
    seq: int
    allowed: bool
    reason: str
    session_id: str | None
    revision: int
    number: int
    """Of the call, see `crowd`; 0 without one."""
    outcomes: tuple[str, ...]


async def read_log(database: Database) -> list[Logged]:
    """Every entry, in the order of each writer's chain."""
    return await database.read(_entries)


async def open_entries(database: Database) -> int:
    """How many allowed calls have no outcome."""
    return await database.read(_open)


async def read_heads(database: Database) -> dict[int, int]:
    """Writer -> the last place of its chain that holds an entry."""
    return await database.read(_heads)


def _heads(tx: sa.Connection) -> dict[int, int]:
    audit, writers = tables.audit.c, tables.writers.c
    last = sa.select(sa.func.max(audit.seq)).where(audit.writer == writers.id).scalar_subquery()
    return {row.id: row.seq or 0 for row in tx.execute(sa.select(writers.id, last.label("seq")))}


def _entries(tx: sa.Connection) -> list[Logged]:
    outcomes: dict[str, tuple[str, ...]] = {}
    for row in tx.execute(
        sa.select(tables.outcomes).order_by(tables.outcomes.c.writer, tables.outcomes.c.seq)
    ):
        outcomes[row.entry_id] = (*outcomes.get(row.entry_id, ()), row.outcome)
    entries = sa.select(tables.audit).order_by(tables.audit.c.writer, tables.audit.c.seq)
    return [_entry(row, outcomes.get(row.id, ())) for row in tx.execute(entries)]


def _entry(row: sa.Row[*tuple[object, ...]], outcomes: tuple[str, ...]) -> Logged:
    entry = row._mapping
    body = json.loads(str(entry["body"]))
    return Logged(
        id=str(entry["id"]),
        writer=int(str(entry["writer"])),
        seq=int(str(entry["seq"])),
        allowed=not entry["denied"],
        reason=str(entry["reason_code"]),
        session_id=None if entry["session_id"] is None else str(entry["session_id"]),
        revision=body["revision"],
        number=int(owner) if (owner := body["toolArgs"].get("owner", "")).isdecimal() else 0,
        outcomes=outcomes,
    )


def _open(tx: sa.Connection) -> int:
    known = sa.select(tables.outcomes.c.entry_id).where(tables.outcomes.c.entry_id == tables.audit.c.id)
    wanted = sa.select(sa.func.count()).where(tables.audit.c.denied.is_(False), ~known.exists())
    return int(tx.execute(wanted.select_from(tables.audit)).scalar_one())
