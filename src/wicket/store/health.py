"""What a database says about itself, for whoever wants to know whether it keeps what it has acknowledged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from wicket.store import tables
from wicket.store.audit.entry import CHANGES_WRITER
from wicket.store.db import Database, Kind
from wicket.store.instants import from_us

SYNCHRONOUS_FULL: Final = 2
GROWING: Final = frozenset({"audit", "audit_policies", "outcomes", "events", "tool_sessions"})


@dataclass(frozen=True, slots=True)
class Health:
    kind: Kind
    version: str
    is_durable: bool
    durability: str
    """The settings that decide it, as people know them."""
    clock: datetime | None
    """The database server's; None where it has none of its own."""
    last_change_at: datetime | None
    """When the newest change was made, by the clock of whoever made it."""
    log_rows: int
    """How long the log is, by the numbers of its rows."""


async def examine(database: Database) -> Health:
    """Ask; raises Unavailable when it does not answer."""
    return await database.read(_EXAMINERS[database.kind])


async def find_damage(database: Database) -> str | None:
    """What is wrong with the tables that decisions are made from, in SQLite's own words; None: nothing is.

    The log is left out: it grows, and verifying it finds more.
    """
    return await database.read(_find_damage) if database.kind is Kind.SQLITE else None


def _find_damage(tx: sa.Connection) -> str | None:
    for table in tables.METADATA.tables:
        if table not in GROWING:
            said = str(tx.exec_driver_sql(f"PRAGMA quick_check('{table}')").scalars().first())
            if said != "ok":
                return said.splitlines()[-1]
    return None


def _sqlite(tx: sa.Connection) -> Health:
    version = tx.exec_driver_sql("SELECT sqlite_version()").scalar_one()
    journal = tx.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    synchronous = tx.exec_driver_sql("PRAGMA synchronous").scalar_one()
    return Health(
        kind=Kind.SQLITE,
        version=str(version),
        is_durable=journal == "wal" and synchronous >= SYNCHRONOUS_FULL,
        durability=f"journal_mode={journal}, synchronous={synchronous}",
        clock=None,
        last_change_at=_last_change(tx),
        log_rows=_log_rows(tx),
    )


def _postgres(tx: sa.Connection) -> Health:
    names = ("server_version", "synchronous_commit", "fsync", "synchronous_standby_names")
    version, commit, fsync, standbys = (
        str(tx.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names
    )
    return Health(
        kind=Kind.POSTGRESQL,
        version=version,
        is_durable=commit in {"on", "remote_apply"} and fsync == "on",
        durability=f"synchronous_commit={commit}, fsync={fsync}, synchronous_standby_names={standbys or '(none)'}",
        clock=tx.execute(sa.select(sa.func.clock_timestamp())).scalar_one(),
        last_change_at=_last_change(tx),
        log_rows=_log_rows(tx),
    )


def _last_change(tx: sa.Connection) -> datetime | None:
    head = sa.select(tables.change_chain.c.seq).scalar_subquery()
    at = tx.execute(
        sa.select(tables.events.c.at).where(
            tables.events.c.writer == CHANGES_WRITER, tables.events.c.seq == head
        )
    ).scalar_one_or_none()
    return None if at is None else from_us(at)


def _log_rows(tx: sa.Connection) -> int:
    """The sum of the chains' last numbers; each is one step in an index."""
    writers = [CHANGES_WRITER, *tx.execute(sa.select(tables.writers.c.id)).scalars()]
    return sum(
        max(
            tx.execute(sa.select(sa.func.max(table.c.seq)).where(table.c.writer == writer)).scalar_one() or 0
            for table in (tables.audit, tables.outcomes, tables.events)
        )
        for writer in writers
    )


_EXAMINERS: Mapping[Kind, Callable[[sa.Connection], Health]] = {
    Kind.SQLITE: _sqlite,
    Kind.POSTGRESQL: _postgres,
}
