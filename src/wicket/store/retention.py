"""Letting go of the oldest part of the log, so that the rest can still be checked.

What goes is a prefix of each chain: its rows up to the first that is not older than the cutoff. A signed statement
says where each chain begins from then on, and is committed before the first row is deleted; another one says that
the last one is gone. Between the two, rows of the prefix may be there or not. The chain of changes is kept whole,
and so is the last row of a chain that still grows, and a call that a living writer has not seen the end of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
import sqlalchemy as sa

from wicket.core.checkpoints import Head, Pruned, Signer, Statement, StatementKind
from wicket.core.ids import uuid7
from wicket.store import tables
from wicket.store.audit.citations import cited_in
from wicket.store.audit.entry import EventKind
from wicket.store.audit.partitions import drop_partition, list_months, partition_of
from wicket.store.changes import record_change
from wicket.store.checkpoints import announce_key, append, find_last, head_of, lock_statements
from wicket.store.instants import from_us, to_us

WINDOW_ROWS: Final = 20_000
"""Numbers of a chain that are looked at in one read."""
_A, _O, _E = tables.audit.c, tables.outcomes.c, tables.events.c
_LOG: Final = (tables.audit, tables.outcomes, tables.events)


def cutoff_of(now: datetime, days: int) -> datetime:
    """The beginning of a day, UTC: what is older has been kept for so many whole days."""
    return datetime(now.year, now.month, now.day, tzinfo=UTC) - timedelta(days=days)


def find_unfinished(tx: sa.Connection) -> Pruned | None:
    """A pruning that was announced and not finished; raises ValueError when the statement is damaged."""
    last = find_last(tx, kind=StatementKind.PRUNED)
    return last.says if last is not None and isinstance(last.says, Pruned) and not last.says.is_done else None


@dataclass(frozen=True, slots=True)
class Chain:
    """One that may have something to prune."""

    writer: int
    begins_after: int
    """The row before its first one."""
    last: int
    is_living: bool


def list_chains(tx: sa.Connection, *, cutoff: datetime) -> Sequence[Chain]:
    """The chains with a row that is old enough, as far as their first ones tell."""
    chains = []
    for writer in tx.execute(sa.select(tables.writers).order_by(tables.writers.c.id)):
        first, last = _first_seq(tx, writer.id), head_of(tx, writer.id)
        if first is not None and last is not None and writer.started_at < to_us(cutoff):
            chains.append(Chain(writer.id, first - 1, last[0], writer.ended_at is None))
    return chains


def _first_seq(tx: sa.Connection, writer: int) -> int | None:
    least = (
        tx.execute(sa.select(sa.func.min(table.c.seq)).where(table.c.writer == writer)).scalar_one()
        for table in _LOG
    )
    return min((seq for seq in least if seq is not None), default=None)


def find_bound(tx: sa.Connection, chain: Chain, *, after: int, cutoff: datetime) -> tuple[int, bool]:
    """How far the prefix goes within the next window behind `after`, and whether it may go on behind that."""
    last = chain.last - 1 if chain.is_living else chain.last
    until = min(after + WINDOW_ROWS, last)
    cutoff_us = to_us(cutoff)
    is_open = sa.and_(_A.denied.is_(False), ~sa.exists().where(_O.entry_id == _A.id))
    is_young: Mapping[sa.Table, sa.ColumnElement[bool]] = {
        tables.audit: sa.or_(_A.decided_at >= cutoff_us, is_open)
        if chain.is_living
        else _A.decided_at >= cutoff_us,
        tables.outcomes: _O.ended_at >= cutoff_us,
        tables.events: _E.at >= cutoff_us,
    }
    for table, condition in is_young.items():
        seq = table.c.seq
        within = (table.c.writer == chain.writer, seq > after, seq <= until)
        kept = tx.execute(
            sa.select(seq).where(*within, condition).order_by(seq).limit(1)
        ).scalar_one_or_none()
        until = until if kept is None else kept - 1
    return until, until == after + WINDOW_ROWS


def begin(
    tx: sa.Connection, bounds: Mapping[int, int], *, cutoff: datetime, signer: Signer, now: datetime
) -> Pruned:
    """Say, signed, where chains begin from now on; what another process has begun meanwhile is finished first."""
    last = lock_statements(tx)
    unfinished = find_unfinished(tx)
    if unfinished is not None:
        return unfinished
    heads = {writer: (seq, _hash_of(tx, writer, seq)) for writer, seq in bounds.items()}
    rows = sum(seq - (_first_seq(tx, writer) or seq + 1) + 1 for writer, seq in bounds.items())
    pruned = Pruned(heads, cutoff_us=to_us(cutoff), rows=rows, is_done=False)
    announce_key(tx, last, signer=signer, now=now)
    append(tx, pruned, last=last, signer=signer, now=now)
    return pruned


def _hash_of(tx: sa.Connection, writer: int, seq: int) -> str:
    for table in _LOG:
        found = tx.execute(
            sa.select(table.c.hash).where(table.c.writer == writer, table.c.seq == seq)
        ).scalar_one_or_none()
        if found is not None:
            return bytes(found).hex()
    raise ValueError(f"row {seq} of writer {writer} is missing")


def delete_some(tx: sa.Connection, writer: int, bound: Head, *, rows: int) -> int:
    """Delete the oldest rows of a chain up to its bound, about `rows` of them; how many were deleted."""
    first = _first_seq(tx, writer)
    if first is None or first > bound[0]:
        return 0
    until = min(first + rows - 1, bound[0])
    within = sa.and_(_A.writer == writer, _A.seq >= first, _A.seq <= until)
    _delete_citations(tx, within)
    deleted = tx.execute(sa.delete(tables.audit).where(within)).rowcount
    for table in (tables.outcomes, tables.events):
        columns = table.c
        some = (columns.writer == writer, columns.seq >= first, columns.seq <= until)
        deleted += tx.execute(sa.delete(table).where(*some)).rowcount
    return deleted


_PAIRS: Final = {
    "sqlite": "SELECT value ->> 0, value ->> 1 FROM json_each(:pairs)",
    "postgresql": "SELECT value ->> 0, value ->> 1 FROM json_array_elements(CAST(:pairs AS json))",
}


def _delete_citations(tx: sa.Connection, within: sa.ColumnElement[bool]) -> None:
    pairs = [
        (policy["id"], row.id)
        for row in tx.execute(sa.select(_A.id, _A.body).where(within))
        for policy in cited_in(row.body)
    ]
    if pairs:
        tx.execute(
            sa.text(
                f"DELETE FROM audit_policies WHERE (policy_id, entry_id) IN ({_PAIRS[tx.dialect.name]})"  # noqa: S608
            ),
            {"pairs": orjson.dumps(pairs).decode()},
        )


def list_whole_months(tx: sa.Connection, bounds: Mapping[int, Head], *, cutoff_us: int) -> Sequence[datetime]:
    """The months, on PostgreSQL, whose entries are all to be pruned."""
    return [
        month
        for month, end_id in list_months(tx)
        if end_id <= uuid7(cutoff_us, bytes(8)) and _is_within(tx, partition_of("audit", month), bounds)
    ]


def drop_month(tx: sa.Connection, month: datetime, bounds: Mapping[int, Head]) -> None:
    """Drop what belongs to its entries; how they ended may have been written into a later part of a chain."""
    drop_partition(tx, "audit", month)
    drop_partition(tx, "audit_policies", month)
    if _is_within(tx, partition_of("outcomes", month), bounds):
        drop_partition(tx, "outcomes", month)


def _is_within(tx: sa.Connection, name: str, bounds: Mapping[int, Head]) -> bool:
    """Whether all rows of a partition are, by leaps through its index; one that is not there has none."""
    if tx.execute(sa.select(sa.func.to_regclass(name))).scalar_one() is None:
        return False
    partition = sa.table(name, sa.column("writer", sa.Integer), sa.column("seq", sa.BigInteger))
    writer, seq = partition.c.writer, partition.c.seq
    last = -1
    while True:
        last = tx.execute(sa.select(sa.func.min(writer)).where(writer > last)).scalar_one()
        if last is None:
            return True
        greatest = tx.execute(sa.select(sa.func.max(seq)).where(writer == last)).scalar_one()
        if greatest is not None and greatest > bounds.get(last, (0, ""))[0]:
            return False


def finish(tx: sa.Connection, *, signer: Signer, now: datetime) -> Statement | None:
    """Say, signed, that nothing of it is left, in a change that everybody can read; None when it has been said."""
    last = lock_statements(tx)
    pruned = find_unfinished(tx)
    if pruned is None:
        return None
    done = Pruned(pruned.bounds, pruned.cutoff_us, pruned.rows, is_done=True)
    announce_key(tx, last, signer=signer, now=now)
    statement = append(tx, done, last=last, signer=signer, now=now)
    record_change(
        tx,
        kind=EventKind.AUDIT_PRUNED,
        agent_id=None,
        actor_id=None,
        body={
            "before": from_us(pruned.cutoff_us).date().isoformat(),
            "rows": pruned.rows,
            "chains": len(pruned.bounds),
            "statement": statement.number,
        },
        now=now,
    )
    return statement
