"""A stretch of the log, counted: what it adds to the sums that rollups.py describes.

Rows that are counted alike come from the database as one, so that a busy log is counted there and not here.
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
from wicket.store.audit.following import FINISHED, Position, render_position
from wicket.store.audit.render import current_outcome
from wicket.store.audit.rollups import (
    BUCKETS_A_DOUBLING,
    CALL,
    DAY,
    DAY_US,
    DECISION,
    HOUR,
    HOUR_US,
    LEAST_MS,
    PARTS,
    POLICY,
    RECORD,
    TIME,
    UPSTREAM,
    WRITERS_MAX,
    Row,
    Stretch,
    bucket_of,
    parse,
    part_of,
    read_positions,
)

FAILED: Final = frozenset(
    {Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT, Outcome.CANCELLED, Outcome.INTERRUPTED, Outcome.EXPIRED}
)

AnyRow: TypeAlias = sa.Row[*tuple[Any, ...]]
_Place: TypeAlias = tuple[str, int, str]
"""(grain, at, subject)."""
_What: TypeAlias = tuple[str, str, bool]
"""(kind, key, denied)."""
_Sums: TypeAlias = dict[_What, list[int]]
"""-> [calls, failed]."""


def read_stretch(tx: sa.Connection, *, rows_max: int) -> Stretch | None:
    """What comes behind the sums, so many rows at most; None when nothing does. Run it in one snapshot.

    Where some parts have what others have not, it is what these lack, however many rows.
    """
    positions = read_positions(tx)
    first, last = positions[0], positions[PARTS - 1]
    before = parse(last)
    if first == last:
        ranges, after, is_end = _plan(tx, before, rows_max)
        rendered = render_position(after)
        if after == before:
            return None
    else:
        rendered, after, is_end = first, parse(first), False
        ranges = _between(before, after)
    adding = _Adding()
    several: set[str] = set()
    for one in ranges:
        _add_entries(tx, one, adding)
        several |= _add_outcomes(tx, one, adding)
    _add_differences(tx, several, before, after, adding)
    parts = adding.parts()
    lacking = {part: parts[part] for part, position in positions.items() if position == last}
    return Stretch(last, rendered, lacking, is_end)


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


def _between(before: Position, after: Position) -> list[_Range]:
    """The links that are behind one position and not behind the other."""
    writers = sorted({*before.seqs, *range(before.known + 1, after.known + 1)})
    ends = {writer: min(after.seq_of(writer), FINISHED - 1) for writer in writers}
    return [_Range(writer, before.seq_of(writer), ends[writer]) for writer in writers]


@dataclass(frozen=True, slots=True)
class _Places:
    """The sums that the calls of one member in one hour are part of."""

    calls: list[_Sums]
    policies: list[_Sums]
    times: list[_Sums]


class _Adding:
    """Sums in the making."""

    def __init__(self) -> None:
        self._sums: dict[_Place, _Sums] = {}
        self._places: dict[tuple[str, str, int], _Places] = {}

    def call(self, row: AnyRow, calls: int, failed: int) -> None:
        what = (CALL, f"{row.service}:{row.tool}:{row.reason_code}", bool(row.denied))
        for sums in self._of(row).calls:
            _add(sums, what, calls, failed)

    def policies(self, row: AnyRow, calls: int) -> None:
        for policy_id in _ids_in(row.policies or "[]"):
            what = (POLICY, f"{row.service}:{policy_id}", bool(row.denied))
            for sums in self._of(row).policies:
                _add(sums, what, calls)

    def time(self, row: AnyRow, stage: str, bucket: int | None, calls: int) -> None:
        if bucket is not None:
            what = (TIME, f"{stage}:{bucket}", False)
            for sums in self._of(row).times:
                _add(sums, what, calls)

    def parts(self) -> list[list[Row]]:
        """For the table, in the order of its key."""
        parts: list[list[Row]] = [[] for _ in range(PARTS)]
        for place, sums in sorted(self._sums.items()):
            part = parts[part_of(place[0], place[2])]
            part.extend(
                (*place, *what, calls, failed)
                for what, (calls, failed) in sorted(sums.items())
                if calls or failed
            )
        return parts

    def _of(self, row: AnyRow) -> _Places:
        """Where a call of this member in this hour is added to."""
        found = self._places.get((row.agent_id, row.member_id, row.hour))
        if found is None:
            hour = row.hour * HOUR_US
            day = hour - hour % DAY_US
            agent_hour, agent_day = ((HOUR, hour, row.agent_id), (DAY, day, row.agent_id))
            owner = [(HOUR, hour, row.owner_id), (DAY, day, row.owner_id)] if row.owner_id else []
            member = [(HOUR, hour, row.member_id)]
            is_open = row.trust_mode == TrustMode.UNTRUSTED
            found = self._places[row.agent_id, row.member_id, row.hour] = _Places(
                calls=self._at(agent_hour, agent_day, *owner, *member),
                policies=self._at(agent_hour, agent_day, *owner, *(member if is_open else ())),
                times=self._at(agent_day, *owner),
            )
        return found

    def _at(self, *places: _Place) -> list[_Sums]:
        return [self._sums.setdefault(place, {}) for place in places]


def _add(sums: _Sums, what: _What, calls: int, failed: int = 0) -> None:
    found = sums.get(what)
    if found is None:
        sums[what] = [calls, failed]
    else:
        found[0] += calls
        found[1] += failed


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

    opened: str
    """What is joined to read the JSON text `{0}`, whose members and their types are `{1}`."""
    member: str
    """A member of it, `{0}` the text and `{1}` the name."""
    floor: str
    """The greatest integer not above a number that is above -1000."""

    def entries(self) -> sa.TextClause:
        members = '"decisionMs" float8, "matchedPolicies" json'
        return sa.text(
            f"SELECT {_PLACE}, {self._bucket('a.body', 'decisionMs')} AS decision,"  # noqa: S608 - our own names
            f" CAST({self.member.format('a.body', 'matchedPolicies')} AS text) AS policies, count(*) AS calls"
            f" FROM audit AS a{self.opened.format('a.body', members)} LEFT JOIN agents AS g ON g.id = a.agent_id"
            f" WHERE {_OF_A_CHAIN.format('a')} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"
        )

    def outcomes(self) -> sa.TextClause:
        """How entries ended that ended but once."""
        members = '"recordMs" float8, "upstreamMs" float8, count int4'
        return sa.text(
            f"SELECT {_PLACE}, o.outcome, {self._bucket('o.body', 'recordMs')} AS record,"  # noqa: S608
            f" {self._bucket('o.body', 'upstreamMs')} AS upstream,"
            f" coalesce({self.member.format('o.body', 'count')}, 1) AS stands_for, count(*) AS calls"
            f" FROM outcomes AS o{self.opened.format('o.body', members)} JOIN audit AS a ON a.id = o.entry_id"
            " LEFT JOIN agents AS g ON g.id = a.agent_id"
            f" WHERE {_OF_A_CHAIN.format('o')} AND {_ENDINGS} = 1"
            " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13"
        )

    def _bucket(self, text: str, name: str) -> str:
        """`bucket_of` a number."""
        ms = self.member.format(text, name)
        return self.floor.format(f"{BUCKETS_A_DOUBLING} * ln(abs({ms}) + {LEAST_MS}) / {math.log(2)}")


_WORDS: Final = {
    # SQLAlchemy puts a function of Python in the place of SQLite's own floor().
    "sqlite": _Words("", "({0} ->> '{1}')", "(CAST({0} + 1000 AS integer) - 1000)"),
    # PostgreSQL stumbles over escapes that mean no character it can hold, wherever in the text they are.
    "postgresql": _Words(
        " CROSS JOIN LATERAL json_to_record(CAST(replace({0}, '\\u', '/u') AS json)) AS j({1})",
        'j."{1}"',
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
