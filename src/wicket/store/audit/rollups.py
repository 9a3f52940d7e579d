"""Sums over the log, kept up as it grows: statistics are read from them, never from the log itself.

Each row of `audit_rollups` is a sum over one hour or day (UTC, by when the calls were decided) of one *subject*:
an agent, a member, or an account, which stands for all agents that it owns. What is summed is its `kind`:

    kind    key                         calls                                   failed
    call    service:tool:reason         decided calls; a coalesced refusal      of the allowed ones, those that
                                        counts as often as it stands for        came to nothing
    policy  service:policy id           entries that the policy decided         -
    time    stage:bucket                entries whose stage took so long        -

Services and tools are ids of interned names. Where calls are few, each makes sums of its own, so not everybody has
all of them: members have hours only, policies only where they may know them, and no times; agents have times by the
day.

How far in the log the sums go is a position, as of `following.py`, that moves in the same transaction: whoever
counts a stretch does so once, whichever process that is and whenever it dies. How a call ended comes later than the
call, and may come twice, since a late outcome supersedes `interrupted`: what is added then is the difference.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias

import sqlalchemy as sa

from wicket.store import tables
from wicket.store.audit.following import Position, parse_position

HOUR_US: Final = 3_600 * 1_000_000
DAY_US: Final = 24 * HOUR_US
HOUR, DAY = "hour", "day"
CALL, POLICY, TIME = "call", "policy", "time"
DECISION, RECORD, UPSTREAM = "decision", "record", "upstream"
BUCKETS_A_DOUBLING: Final = 8
LEAST_MS: Final = 0.001
WRITERS_MAX: Final = 500
"""Chains that one stretch begins to read."""
CHUNK_ROWS: Final = 256
"""Rows in one INSERT on SQLite, where each statement may have to wait for Python's lock."""

Row: TypeAlias = tuple[str, int, str, str, str, bool, int, int]
"""(grain, at, subject, kind, key, denied, calls, failed), as the table has them."""
START: Final = Position(0, {})


class Overtaken(Exception):
    """Somebody else has counted this stretch meanwhile."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a part of the log adds to the sums."""

    before: str | None
    """The position as it was read; None when nothing was ever counted."""
    after: str
    sums: Sequence[Row]
    is_end: bool
    """Whether there was nothing more."""


def read_position(tx: sa.Connection) -> tuple[str | None, Position]:
    """How far the sums go."""
    text = tx.execute(sa.select(tables.rollup_state.c.position)).scalar_one_or_none()
    return text, START if text is None else parse_position(text)


def apply_stretch(tx: sa.Connection, stretch: Stretch) -> None:
    """Add it, and move the position; raises Overtaken, which undoes it."""
    state = tables.rollup_state
    if tx.dialect.name == "postgresql":
        # Sums and position are lost together or not at all, and then made again: nobody need wait for the disk.
        tx.exec_driver_sql("SET LOCAL synchronous_commit = off")
    if stretch.before is None:
        moved = tx.exec_driver_sql(
            "INSERT INTO rollup_state (id, position) SELECT 1, '' WHERE NOT EXISTS (SELECT 1 FROM rollup_state)"
            " ON CONFLICT DO NOTHING"
        )
        if moved.rowcount != 1:
            raise Overtaken
    moved = tx.execute(
        sa.update(state).where(state.c.position == (stretch.before or "")).values(position=stretch.after)
    )
    if moved.rowcount != 1:
        raise Overtaken
    if stretch.sums:
        _upsert(tx, stretch.sums)


def find_lag_us(tx: sa.Connection, *, now_us: int) -> int:
    """How old the oldest link is that was not counted yet; 0 when all were."""
    _, position = read_position(tx)
    writers = tables.writers.c
    to_read = sa.select(writers.id).where(sa.or_(writers.id > position.known, writers.id.in_(position.seqs)))
    oldest = now_us
    for writer in tx.execute(to_read.order_by(writers.id).limit(WRITERS_MAX)).scalars().all():
        for table, at in (
            (tables.audit, tables.audit.c.decided_at),
            (tables.outcomes, tables.outcomes.c.ended_at),
        ):
            behind = sa.select(at).where(table.c.writer == writer, table.c.seq > position.seq_of(writer))
            first = tx.execute(behind.order_by(table.c.seq).limit(1)).scalar_one_or_none()
            oldest = oldest if first is None else min(oldest, first)
    return now_us - oldest


def bucket_of(ms: float) -> int:
    """The bucket of a duration: eight to each doubling, so that its bounds are nine per cent apart."""
    return math.floor(BUCKETS_A_DOUBLING * math.log(abs(ms) + LEAST_MS) / math.log(2))


def middle_of(bucket: int) -> float:
    """A duration in the middle of a bucket, in milliseconds."""
    return max(float(2 ** ((bucket + 0.5) / BUCKETS_A_DOUBLING)) - LEAST_MS, 0.0)


_COLUMNS: Final = {
    "grain": "text",
    "at": "int8",
    "subject": "text",
    "kind": "text",
    "key": "text",
    "denied": "bool",
    "calls": "int8",
    "failed": "int8",
}
_INSERT: Final = f"INSERT INTO audit_rollups AS r ({', '.join(_COLUMNS)})"
_ON_CONFLICT: Final = (
    " ON CONFLICT (grain, at, subject, kind, key, denied)"
    " DO UPDATE SET calls = r.calls + excluded.calls, failed = r.failed + excluded.failed"
)
_ARRAYS: Final = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _COLUMNS.items())
_UNNEST: Final = sa.text(f"{_INSERT} SELECT * FROM unnest({_ARRAYS}){_ON_CONFLICT}")  # noqa: S608 - our own names


def _upsert(tx: sa.Connection, rows: Sequence[Row]) -> None:
    if tx.dialect.name == "postgresql":
        tx.execute(_UNNEST, dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
        return
    for begin in range(0, len(rows), CHUNK_ROWS):
        chunk = rows[begin : begin + CHUNK_ROWS]
        values = ", ".join([f"({', '.join('?' * len(_COLUMNS))})"] * len(chunk))
        tx.exec_driver_sql(f"{_INSERT} VALUES {values}{_ON_CONFLICT}", tuple(chain.from_iterable(chunk)))
