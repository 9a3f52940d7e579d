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

The more of the log is counted at once, the more of it falls into the same sums; but a transaction must not change
many of them. So the sums are in parts, by grain and subject, each with its position: a long stretch is added part by
part, part 0 first, and nobody begins another one before the last part has followed it.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias
from zlib import crc32

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

PARTS: Final = 8
Row: TypeAlias = tuple[str, int, str, str, str, bool, int, int]
"""(grain, at, subject, kind, key, denied, calls, failed), as the table has them."""
START: Final = Position(0, {})


class Overtaken(Exception):
    """Somebody else has counted this stretch meanwhile."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a piece of the log adds to the sums."""

    before: str
    """The position that it begins at, as it was read."""
    after: str
    parts: Mapping[int, Sequence[Row]]
    """Those that do not have it yet; the rows in the order of the table's key."""
    is_end: bool
    """Whether there was nothing more."""

    @property
    def size(self) -> int:
        return sum(map(len, self.parts.values()))

    @property
    def largest(self) -> int:
        """Rows of the largest part."""
        return max(map(len, self.parts.values()), default=0)


def part_of(grain: str, subject: str) -> int:
    """Which part the sums of a subject are in; the same for ever."""
    return crc32(f"{grain}{subject}".encode()) % PARTS


def read_positions(tx: sa.Connection) -> Mapping[int, str]:
    """How far each part goes."""
    state = tables.rollup_state.c
    return {row.id: row.position for row in tx.execute(sa.select(state.id, state.position))} or dict.fromkeys(
        range(PARTS), ""
    )


def parse(text: str) -> Position:
    """A position as it is stored."""
    return parse_position(text) if text else START


def apply_stretch(tx: sa.Connection, stretch: Stretch, parts: Collection[int]) -> None:
    """Add some parts of it, and move their positions; raises Overtaken, which undoes it."""
    state = tables.rollup_state
    if tx.dialect.name == "postgresql":
        # Sums and position are lost together or not at all, and then made again: nobody need wait for the disk.
        tx.exec_driver_sql("SET LOCAL synchronous_commit = off")
    if not stretch.before:
        values = ", ".join(f"({part}, '')" for part in range(PARTS))
        tx.exec_driver_sql(f"INSERT INTO rollup_state (id, position) VALUES {values} ON CONFLICT DO NOTHING")  # noqa: S608
    moved = tx.execute(
        sa.update(state)
        .where(state.c.id.in_(parts), state.c.position == stretch.before)
        .values(position=stretch.after)
    )
    if moved.rowcount != len(parts):
        raise Overtaken
    rows = [row for part in sorted(parts) for row in stretch.parts[part]]
    if rows:
        _upsert(tx, rows)


def find_lag_us(tx: sa.Connection, *, now_us: int) -> int:
    """How old the oldest link is that was not counted yet; 0 when all were."""
    positions = read_positions(tx)
    position = parse(positions[PARTS - 1])  # the last to follow
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
