"""Reading on in the log from a position, so that nothing is missed and nothing comes twice.

A position is a vector: how far each writer's chain has been read. Numbers of one chain become visible in order,
whereas a number or a time across writers would skip what another one commits late. Writers that have ended and
were read to their end drop out of the vector; one with a greater id than any that was known is new.
"""

import heapq
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import compress, decompressobj
from zlib import error as BadDeflate  # noqa: N812 - a class, whatever its module calls it

import sqlalchemy as sa

from wicket.core.errors import Invalid
from wicket.store import tables
from wicket.store.audit.render import SELECT_ENDINGS, SELECT_ENTRIES, AnyRow

PAGE_ROWS: Final = 500
STRETCH_ROWS: Final = 5_000
"""Of writers that have ended, read at once."""
WRITERS_MAX: Final = 2**31
POSITION_BYTES_MAX: Final = 64 * 1024
PLAIN_BYTES_MAX: Final = 256
"""A position is rendered with every event: a short one is not worth being compressed."""
FINISHED: Final = 2**63
AGENTS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Position:
    """How far each chain has been read."""

    known: int
    """The greatest writer id that has been seen."""
    seqs: Mapping[int, int]
    """Of the known writers that may still write."""

    def seq_of(self, writer: int) -> int:
        return self.seqs.get(writer, 0 if writer > self.known else FINISHED)

    def after(self, writer: int, seq: int) -> "Position":
        """The position behind a row."""
        known = dict.fromkeys(range(self.known + 1, writer), 0)
        return Position(max(self.known, writer), {**self.seqs, **known, writer: seq})

    def covers(self, writer: sa.ColumnElement[int], seq: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
        """The condition that a row of a chain has been read."""
        is_known = sa.or_(writer <= self.known, writer.in_([one for one in self.seqs if one > self.known]))
        return sa.and_(is_known, *(sa.or_(writer != one, seq <= last) for one, last in self.seqs.items()))

    def merged(self, other: "Position") -> "Position":
        """As far as either has read."""
        furthest = {
            writer: max(self.seq_of(writer), other.seq_of(writer)) for writer in {**self.seqs, **other.seqs}
        }
        living = {writer: seq for writer, seq in furthest.items() if seq < FINISHED}
        return Position(max(self.known, other.known), living)

    def is_behind(self, other: "Position") -> bool:
        """Whether `other` has read anything that this one may not have."""
        return (
            other.known > self.known
            or any(self.seq_of(writer) < seq for writer, seq in other.seqs.items())
            or any(seq < other.seq_of(writer) for writer, seq in self.seqs.items())
        )


@dataclass(frozen=True, slots=True)
class Committed:
    """A row of the log: an entry when it was decided, or with `outcome` when it ended."""

    writer: int
    seq: int
    at: int
    """Microseconds since 1970, UTC."""
    entry: AnyRow
    """As of SELECT_ENTRIES."""
    outcome: AnyRow | None = None
    """As of SELECT_ENDINGS."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was read, and how far that goes."""

    rows: Sequence[Committed]
    position: Position
    is_end: bool
    """Whether there was nothing more."""


def position_now(tx: sa.Connection) -> Position:
    """Behind everything that is in the log."""
    writers = tables.writers.c
    living = tx.execute(sa.select(writers.id).where(writers.ended_at.is_(None))).scalars().all()
    known = tx.execute(sa.select(sa.func.coalesce(sa.func.max(writers.id), 0))).scalar_one()
    return Position(known, {writer: _last_seq(tx, writer) for writer in living})


def _last_seq(tx: sa.Connection, writer: int) -> int:
    last = 0
    for table in (tables.audit, tables.outcomes):
        seq: int | None = tx.execute(
            sa.select(sa.func.max(table.c.seq)).where(table.c.writer == writer)
        ).scalar_one()
        last = max(last, seq or 0)
    return last


def read_after(tx: sa.Connection, position: Position) -> Stretch:
    """What was committed behind `position`; run it in one snapshot.

    Writers that have ended come first, oldest first, and only so many rows of theirs at once: whoever comes back
    after long may have missed thousands of starts. Those that still write follow when nothing else is left.
    """
    writers = tables.writers.c
    to_read = tx.execute(
        sa.select(writers.id, writers.ended_at)
        .where(sa.or_(writers.id > position.known, writers.id.in_(position.seqs)))
        .order_by(writers.ended_at.is_(None), writers.id)
    ).all()
    seqs = {writer: position.seq_of(writer) for writer, ended_at in to_read if ended_at is None}
    unread = {writer: position.seq_of(writer) for writer, ended_at in to_read if ended_at is not None}
    streams, count, is_end = list[list[Committed]](), 0, True
    for writer, ended_at in to_read:
        if unread and count >= STRETCH_ROWS:
            break
        rows, seqs[writer], is_all = _read_writer(tx, writer, position.seq_of(writer))
        streams.append(rows)
        count, is_end = count + len(rows), is_end and is_all
        if ended_at is not None:
            del unread[writer]
        if ended_at is not None and is_all:
            del seqs[writer]
    # Of those that nothing was read of, the new ones are new again next time.
    begun = {writer: seq for writer, seq in unread.items() if writer <= position.known}
    ids = [position.known, *(writer for writer, _ in to_read)]
    known = max(ids) if len(begun) == len(unread) else min(unread.keys() - begun.keys()) - 1
    rows_in_order = list(heapq.merge(*streams, key=lambda row: row.at))
    return Stretch(rows_in_order, Position(known, seqs | begun), is_end and not unread)


def _read_writer(tx: sa.Connection, writer: int, after: int) -> tuple[list[Committed], int, bool]:
    """The next rows of a chain in their order, how far they go, and whether they are all."""
    audit, outcomes = tables.audit.c, tables.outcomes.c
    entries = tx.execute(
        SELECT_ENTRIES.where(audit.writer == writer, audit.seq > after).order_by(audit.seq).limit(PAGE_ROWS)
    ).all()
    endings = tx.execute(
        SELECT_ENDINGS.where(outcomes.writer == writer, outcomes.seq > after)
        .order_by(outcomes.seq)
        .limit(PAGE_ROWS)
    ).all()
    # Behind the end of a full page there may be rows that belong before the rest of the other page.
    full = [page[-1].seq for page in (entries, endings) if len(page) == PAGE_ROWS]
    until = min(full, default=FINISHED)
    endings = [row for row in endings if row.seq <= until]
    ended = _entries_of(tx, [row.entry_id for row in endings])
    rows = [Committed(writer, row.seq, row.decided_at, row) for row in entries if row.seq <= until]
    rows += [
        Committed(writer, row.seq, row.ended_at, ended[row.entry_id], row)
        for row in endings
        if row.entry_id in ended
    ]
    last = until if full else max((page[-1].seq for page in (entries, endings) if page), default=after)
    return sorted(rows, key=lambda row: row.seq), last, not full


def _entries_of(tx: sa.Connection, entry_ids: Collection[str]) -> Mapping[str, AnyRow]:
    if not entry_ids:
        return {}
    return {row.id: row for row in tx.execute(SELECT_ENTRIES.where(tables.audit.c.id.in_(set(entry_ids))))}


def read_revisions(tx: sa.Connection, agent_ids: Sequence[str]) -> Mapping[str, int]:
    """The revisions of those of the agents that are there."""
    agents = tables.agents.c
    found: dict[str, int] = {}
    for start in range(0, len(agent_ids), AGENTS_MAX):
        some = agent_ids[start : start + AGENTS_MAX]
        rows = tx.execute(
            sa.select(agents.id, agents.revision).where(agents.id.in_(some), agents.deleted_at.is_(None))
        )
        found |= {row.id: row.revision for row in rows}
    return found


def render_position(position: Position) -> str:
    """For outside: opaque, and short however many writers there are."""
    packed = json.dumps([position.known, sorted(position.seqs.items())], separators=(",", ":")).encode()
    if len(packed) > PLAIN_BYTES_MAX:
        packed = compress(packed)
    return urlsafe_b64encode(packed).rstrip(b"=").decode()


def parse_position(text: str) -> Position:
    """What `render_position` gave; raises Invalid for anything else."""
    try:
        packed = urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
        if not packed.startswith(b"["):
            packed = decompressobj().decompress(packed, POSITION_BYTES_MAX)
        known, seqs = json.loads(packed)
        return Position(
            _number(known, WRITERS_MAX),
            {_number(writer, WRITERS_MAX): _number(seq, FINISHED) for writer, seq in seqs},
        )
    except (BadBase64, BadDeflate, RecursionError, ValueError, TypeError) as error:
        raise Invalid(
            "`Last-Event-ID` is none of ours: leave it out to start now", field="Last-Event-ID"
        ) from error


def _number(value: Any, end: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < end:
        raise TypeError("a position is made of numbers")
    return value
