"""Partitions of the log on PostgreSQL: a month of entries each, and what belongs to them.

An entry's id begins with the instant of its decision, so a range of ids is a stretch of time, and everything that
names an entry by its id is cut at the same places. Partitions are made ahead; what falls outside of them all, since
a clock stood wrong, is kept in the default ones. SQLite has no partitions and needs none.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from wicket.core.ids import uuid7
from wicket.store.instants import to_us

PARTITIONED: Final = ("audit", "audit_policies", "outcomes")
MONTHS_AHEAD: Final = 2
DECEMBER: Final = 12
LOCK_TIMEOUT: Final = "200ms"
"""Whoever wants to change the set of partitions waits for all who read the log, and the recorder for both."""
_MONTHS: Final = sa.text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = to_regclass('audit') ORDER BY c.relname"
)
_MONTH: Final = re.compile(r"audit_(\d{4})_(\d{2})", re.ASCII)


def ensure_partitions(tx: sa.Connection, *, now: datetime) -> None:
    """Make the partitions of this month and the next ones where they are missing."""
    if tx.dialect.name != "postgresql":
        return
    missing = [
        create_partition(table, month)
        for month in months_from(now, 1 + MONTHS_AHEAD)
        for table in PARTITIONED
        if not _exists(tx, partition_of(table, month)) and not _is_in_default(tx, table, month)
    ]
    if missing:
        _wait_briefly(tx)
    for statement in missing:
        tx.exec_driver_sql(statement)


def list_months(tx: sa.Connection) -> list[tuple[datetime, str]]:
    """The months that entries have a partition for, oldest first, each with the least id of the next; else none."""
    if tx.dialect.name != "postgresql":
        return []
    found = (_MONTH.fullmatch(name) for name in tx.execute(_MONTHS).scalars())
    months = (datetime(int(one[1]), int(one[2]), 1, tzinfo=UTC) for one in found if one is not None)
    return [(month, bounds_of(month)[1]) for month in months]


def drop_partition(tx: sa.Connection, table: str, month: datetime) -> None:
    """Drop a month of a table; raises OperationalError when somebody reads the log for too long."""
    _wait_briefly(tx)
    tx.exec_driver_sql(f"DROP TABLE IF EXISTS {partition_of(table, month)}")


def _wait_briefly(tx: sa.Connection) -> None:
    tx.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


def months_from(start: datetime, count: int) -> Iterator[datetime]:
    """The first instants of so many months, that of `start` first."""
    year, month = start.year, start.month
    for _ in range(count):
        yield datetime(year, month, 1, tzinfo=UTC)
        year, month = (year + 1, 1) if month == DECEMBER else (year, month + 1)


def partition_of(table: str, month: datetime) -> str:
    """Its name."""
    return f"{table}_{month:%Y_%m}"


def create_partition(table: str, month: datetime) -> str:
    """The statement that makes the partition of a month."""
    first, end = bounds_of(month)
    name = partition_of(table, month)
    return f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} FOR VALUES FROM ('{first}') TO ('{end}')"


def bounds_of(month: datetime) -> tuple[str, str]:
    """The least entry id of a month, and the least of the next."""
    first, end = (uuid7(to_us(instant), bytes(8)) for instant in months_from(month, 2))
    return first, end


def _exists(tx: sa.Connection, name: str) -> bool:
    return tx.execute(sa.select(sa.func.to_regclass(name))).scalar_one() is not None


def _is_in_default(tx: sa.Connection, table: str, month: datetime) -> bool:
    """Whether rows of the month came before its partition: they stay where they are."""
    column = "id" if table == "audit" else "entry_id"
    default = sa.table(f"{table}_default", sa.column(column))
    first, end = bounds_of(month)
    rows = sa.select(default.c[column]).where(default.c[column] >= first, default.c[column] < end).limit(1)
    return tx.execute(rows).first() is not None
