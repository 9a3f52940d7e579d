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

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from wicket.core.model import Outcome, TrustMode
from wicket.store import tables
from wicket.store.audit.following import Position, parse_position, render_position
from wicket.store.audit.render import current_outcome

HOUR_US: Final = 3_600 * 1_000_000
DAY_US: Final = 24 * HOUR_US
HOUR, DAY = "hour", "day"
CALL, POLICY, TIME = "call", "policy", "time"
DECISION, RECORD, UPSTREAM = "decision", "record", "upstream"
BUCKETS_A_DOUBLING: Final = 8
LEAST_MS: Final = 0.001
FAILED: Final = frozenset(
    {Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT, Outcome.CANCELLED, Outcome.INTERRUPTED, Outcome.EXPIRED}
)
WRITERS_MAX: Final = 500
"""Chains that one stretch begins to read."""
CHUNK_ROWS: Final = 256
"""Rows in one INSERT on SQLite, where each statement may have to wait for Python's lock."""

AnyRow: TypeAlias = sa.Row[*tuple[Any, ...]]
Key: TypeAlias = tuple[str, int, str, str, str, bool]
"""(grain, at, subject, kind, key, denied), as the table has them."""
Sums: TypeAlias = Mapping[Key, Sequence[int]]
"""Key -> (calls, failed)."""

START: Final = Position(0, {})


class Overtaken(Exception):
    """Somebody else has counted this stretch meanwhile."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a part of the log adds to the sums."""

    before: str | None
    """The position as it was read; None when nothing was ever counted."""
    after: str
    sums: Sums
    is_end: bool
    """Whether there was nothing more."""


def read_position(tx: sa.Connection) -> tuple[str | None, Position]:
    """How far the sums go."""
    text = tx.execute(sa.select(tables.rollup_state.c.position)).scalar_one_or_none()
    return text, START if text is None else parse_position(text)


def read_stretch(tx: sa.Connection, *, rows_max: int) -> Stretch | None:
    """What comes behind the sums, so many rows at most; None when nothing does. Run it in one snapshot."""
    text, position = read_position(tx)
    ranges, after, is_end = _plan(tx, position, rows_max)
    rendered = render_position(after)
    if rendered == text or (text is None and after == START):
        return None
    adding = _Adding()
    several: set[str] = set()
    for one in ranges:
        _add_entries(tx, one, adding)
        several |= _add_outcomes(tx, one, adding)
    _add_differences(tx, several, position, after, adding)
    return Stretch(text, rendered, adding.sums, is_end)


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
    rows = [(*key, calls, failed) for key, (calls, failed) in sorted(stretch.sums.items()) if calls or failed]
    if rows:
        _upsert(tx, rows)


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


@dataclass(frozen=True, slots=True)
class _Range:
    """Links of one chain: those behind `after`, up to `until`."""

    writer: int
    after: int
    until: int

    @property
    def parameters(self) -> Mapping[str, int]:
        return {"writer": self.writer, "after": self.after, "until": self.until}


_SEQS: Final = " UNION ALL ".join(  # each by itself, so that it takes one step down the index
    f"SELECT (SELECT {end}(seq) FROM {table} WHERE writer = :writer AND seq > :after) AS seq"  # noqa: S608
    for table in ("audit", "outcomes")
    for end in ("min", "max")
)
_NEXT_AND_LAST: Final = sa.text(f"SELECT min(seq), max(seq) FROM ({_SEQS}) AS ends")  # noqa: S608 - our own names


def _plan(tx: sa.Connection, position: Position, rows_max: int) -> tuple[list[_Range], Position, bool]:
    """The links to count, the position behind them, and whether that is the end of the log.

    Numbers of one chain become visible in order, so what is there up to a number is all there will be.
    """
    writers_max = len(position.seqs) + WRITERS_MAX
    writers = tables.writers.c
    to_read = tx.execute(
        sa.select(writers.id, writers.ended_at)
        .where(sa.or_(writers.id > position.known, writers.id.in_(position.seqs)))
        .order_by(writers.id)
        .limit(writers_max)
    ).all()
    ranges, seqs, known, left = list[_Range](), dict(position.seqs), position.known, rows_max
    for writer, ended_at in to_read:
        if left <= 0:
            break
        after = position.seq_of(writer)
        first, last = tx.execute(_NEXT_AND_LAST, {"writer": writer, "after": after}).one()
        known, seqs[writer] = max(known, writer), after
        if first is not None:
            seqs[writer] = until = min(last, first - 1 + left)
            ranges.append(_Range(writer, after, until))
            left -= until - first + 1
        if ended_at is not None and (first is None or seqs[writer] == last):
            del seqs[writer]
    return ranges, Position(known, seqs), left > 0 and len(to_read) < writers_max


class _Adding:
    """Sums in the making."""

    def __init__(self) -> None:
        self.sums: dict[Key, list[int]] = {}

    def call(self, row: AnyRow, calls: int, failed: int) -> None:
        key = f"{row.service}:{row.tool}:{row.reason_code}"
        self._add(
            (row.agent_id, row.owner_id), (HOUR, DAY), row, (CALL, key, bool(row.denied)), calls, failed
        )
        self._add((row.member_id,), (HOUR,), row, (CALL, key, bool(row.denied)), calls, failed)

    def policies(self, row: AnyRow, calls: int) -> None:
        for policy_id in _ids_in(row.policies or "[]"):
            what = (POLICY, f"{row.service}:{policy_id}", bool(row.denied))
            self._add((row.agent_id, row.owner_id), (HOUR, DAY), row, what, calls)
            if row.trust_mode == TrustMode.UNTRUSTED:
                self._add((row.member_id,), (HOUR,), row, what, calls)

    def time(self, row: AnyRow, stage: str, bucket: int | None, calls: int) -> None:
        if bucket is not None:
            what = (TIME, f"{stage}:{bucket}", False)
            self._add((row.owner_id,), (HOUR, DAY), row, what, calls)
            self._add((row.agent_id,), (DAY,), row, what, calls)

    def _add(
        self,
        subjects: Sequence[str | None],
        grains: Sequence[str],
        row: AnyRow,
        what: tuple[str, str, bool],
        calls: int,
        failed: int = 0,
    ) -> None:
        at = row.hour * HOUR_US
        for grain in grains:
            start = at if grain == HOUR else at - at % DAY_US
            for subject in subjects:
                if subject is not None:
                    self._add_one((grain, start, subject, *what), calls, failed)

    def _add_one(self, key: Key, calls: int, failed: int) -> None:
        sums = self.sums.get(key)
        if sums is None:
            self.sums[key] = [calls, failed]
        else:
            sums[0] += calls
            sums[1] += failed


@lru_cache(1_024)
def _ids_in(policies: str) -> frozenset[str]:
    return frozenset(policy["id"] for policy in json.loads(policies))


# Whose call it was, when, and which: what the sums of an entry are found by.
_PLACE: Final = (
    f"a.agent_id, a.member_id, g.owner_id, g.trust_mode, a.decided_at / {HOUR_US} AS hour,"
    " a.service, a.tool, a.reason_code, a.denied"
)
_OF_A_CHAIN: Final = "{0}.writer = :writer AND {0}.seq > :after AND {0}.seq <= :until"
_ENDINGS: Final = "(SELECT count(*) FROM outcomes AS x WHERE x.entry_id = o.entry_id)"


@dataclass(frozen=True, slots=True)
class _Words:
    """How one database is asked. Rows that are counted alike come as one: the database groups them."""

    number: str
    """A number out of a JSON text, `{0}` the text and `{1}` its name."""
    member: str
    """A value out of a JSON text, as JSON text."""
    floor: str
    """The greatest integer not above a number that is above -1000."""

    def entries(self) -> sa.TextClause:
        decision = self._bucket("a.body", "decisionMs")
        return sa.text(
            f"SELECT {_PLACE}, {decision} AS decision,"  # noqa: S608 - our own names
            f" {self.member.format('a.body', 'matchedPolicies')} AS policies, count(*) AS calls"
            " FROM audit AS a LEFT JOIN agents AS g ON g.id = a.agent_id"
            f" WHERE {_OF_A_CHAIN.format('a')} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"
        )

    def outcomes(self) -> sa.TextClause:
        """How entries ended that ended but once."""
        stands_for = self.number.format("o.body", "count")
        return sa.text(
            f"SELECT {_PLACE}, o.outcome, {self._bucket('o.body', 'recordMs')} AS record,"  # noqa: S608
            f" {self._bucket('o.body', 'upstreamMs')} AS upstream,"
            f" coalesce(CAST({stands_for} AS integer), 1) AS stands_for, count(*) AS calls"
            " FROM outcomes AS o JOIN audit AS a ON a.id = o.entry_id"
            " LEFT JOIN agents AS g ON g.id = a.agent_id"
            f" WHERE {_OF_A_CHAIN.format('o')} AND {_ENDINGS} = 1"
            " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13"
        )

    def _bucket(self, text: str, name: str) -> str:
        """`bucket_of` a number."""
        ms = self.number.format(text, name)
        return self.floor.format(f"{BUCKETS_A_DOUBLING} * ln(abs({ms}) + {LEAST_MS}) / {math.log(2)}")


_WORDS: Final = {
    # SQLAlchemy puts a function of Python in the place of SQLite's own floor().
    "sqlite": _Words("({0} ->> '{1}')", "({0} -> '{1}')", "(CAST({0} + 1000 AS integer) - 1000)"),
    # PostgreSQL stumbles over escapes that mean no character it can hold, wherever in the text they are.
    "postgresql": _Words(
        "CAST(CAST(replace({0}, '\\u', '/u') AS json) ->> '{1}' AS double precision)",
        "CAST(CAST(replace({0}, '\\u', '/u') AS json) -> '{1}' AS text)",
        "CAST(floor({0}) AS integer)",
    ),
}
_ENTRIES: Final = {name: words.entries() for name, words in _WORDS.items()}
_OUTCOMES: Final = {name: words.outcomes() for name, words in _WORDS.items()}
_SEVERAL: Final = sa.text(
    "SELECT DISTINCT o.entry_id FROM outcomes AS o"  # noqa: S608 - our own names
    f" WHERE {_OF_A_CHAIN.format('o')} AND {_ENDINGS} > 1"
)
_ENTRY: Final = sa.text(
    f"SELECT {_PLACE} FROM audit AS a"  # noqa: S608 - our own names
    " LEFT JOIN agents AS g ON g.id = a.agent_id WHERE a.id = :id"
)

_ENDINGS_OF: Final = sa.select(
    *(tables.outcomes.c[name] for name in ("entry_id", "writer", "seq", "outcome", "ended_at", "body"))
)


def _add_entries(tx: sa.Connection, wanted: _Range, adding: _Adding) -> None:
    for row in tx.execute(_ENTRIES[tx.dialect.name], wanted.parameters):
        adding.call(row, row.calls, 0)
        adding.policies(row, row.calls)
        adding.time(row, DECISION, row.decision, row.calls)


def _add_outcomes(tx: sa.Connection, wanted: _Range, adding: _Adding) -> set[str]:
    """Add what the outcomes of entries that have but one say; answers the ids of the others."""
    for row in tx.execute(_OUTCOMES[tx.dialect.name], wanted.parameters):
        failed = row.calls if row.outcome in FAILED else 0
        adding.call(row, row.calls * (row.stands_for - 1), failed)
        adding.time(row, RECORD, row.record, row.calls)
        adding.time(row, UPSTREAM, row.upstream, row.calls)
    return set(tx.execute(_SEVERAL, wanted.parameters).scalars())


def _add_differences(
    tx: sa.Connection, entry_ids: Iterable[str], before: Position, after: Position, adding: _Adding
) -> None:
    """For entries that ended more than once: add what holds now and take away what was counted."""
    for entry_id in entry_ids:
        entry = tx.execute(_ENTRY, {"id": entry_id}).one_or_none()
        if entry is None:
            continue
        endings = tx.execute(_ENDINGS_OF.where(tables.outcomes.c.entry_id == entry_id)).all()
        _add_ending(entry, [row for row in endings if row.seq <= after.seq_of(row.writer)], 1, adding)
        _add_ending(entry, [row for row in endings if row.seq <= before.seq_of(row.writer)], -1, adding)


def _add_ending(entry: AnyRow, endings: Sequence[AnyRow], sign: int, adding: _Adding) -> None:
    outcome, body = current_outcome(endings)
    stands_for = int(str(body.get("count", 1)))
    adding.call(entry, sign * (stands_for - 1), sign if outcome in FAILED else 0)
    for stage, name in ((RECORD, "recordMs"), (UPSTREAM, "upstreamMs")):
        ms = body.get(name)
        if isinstance(ms, int | float):
            adding.time(entry, stage, bucket_of(ms), sign)


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


def _upsert(tx: sa.Connection, rows: Sequence[Sequence[str | int | bool]]) -> None:
    if tx.dialect.name == "postgresql":
        tx.execute(_UNNEST, dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
        return
    for begin in range(0, len(rows), CHUNK_ROWS):
        chunk = rows[begin : begin + CHUNK_ROWS]
        values = ", ".join([f"({', '.join('?' * len(_COLUMNS))})"] * len(chunk))
        tx.exec_driver_sql(
            f"{_INSERT} VALUES {values}{_ON_CONFLICT}", tuple(value for row in chunk for value in row)
        )
