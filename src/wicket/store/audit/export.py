"""The log written out: batches of entries in short reads, and batches made into CSV or lines of JSON.

An export shows the log as it stood when it began. It reads a batch at a time, each in a transaction of its own and
behind the entry that the one before ended with; what was committed later, by whichever writer, is beyond the position
at the beginning and left out. So whoever reads slowly holds nothing open, and neither repeats nor misses anything.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from wicket.core.model import Json, JsonObject
from wicket.store.audit.fields import FIELDS, STRUCTURED, ExportFormat
from wicket.store.audit.filters import AuditFilter
from wicket.store.audit.following import Position
from wicket.store.audit.lanes import Condition, Lane, Place, Search, find_ids
from wicket.store.audit.lines import make_lines
from wicket.store.audit.planning import plan
from wicket.store.audit.render import (
    SELECT_ENDINGS,
    SELECT_ENTRIES,
    EndingRow,
    EntryRow,
    audit,
    dump,
    escape_controls,
    outcomes,
    values_of,
)
from wicket.store.audit.viewer import Viewer, viewer_of

BATCH_ROWS: Final = 1_000
"""Some megabyte and a half of lines, of which an export holds three batches, and what some of them are made into."""
LOOKED_AT: Final = 5_000
"""Entries at most that a batch is looked for in, where not all of them match."""
LEFT_ROWS: Final = 200
"""Entries that are rendered here together, since the database has left them to us."""
_STRUCTURED: Final = tuple(place for place, name in enumerate(FIELDS) if name in STRUCTURED)
_FORMULA: Final = re.compile(rb',"(?=[=+\-@]|\\[tr])')
"""Before what a spreadsheet takes for the beginning of something to calculate."""
_SUSPECT: Final = re.compile(rb',"[=+\-@\\]')
"""The same and a little more, found faster."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries, newest first, with how they ended; not rendered yet."""

    entries: Sequence[EntryRow]
    endings: Mapping[str, Sequence[EndingRow]]
    viewer: Viewer
    resume: Place | None
    """Where the next batch begins; None: there is none."""

    def values(self) -> Iterator[tuple[Json, ...]]:
        """What stands in each of FIELDS, entry by entry."""
        for row in self.entries:
            is_withheld = self.viewer.is_withheld(row[4], row[8])
            yield values_of(row, self.endings.get(row[0], ()), is_withheld=is_withheld)

    def objects(self) -> Iterator[JsonObject]:
        """The entries as the API shows them."""
        return (dict(zip(FIELDS, values, strict=True)) for values in self.values())


def read_batch(
    tx: sa.Connection,
    *,
    account_id: str | None,
    wanted: AuditFilter,
    until: Position,
    place: Place,
    most: int = BATCH_ROWS,
) -> Batch:
    """The next entries that match, of those the account may see now; perhaps none, and yet more behind them."""
    viewer = viewer_of(tx, account_id=account_id)
    search = plan(tx, wanted, viewer, until=until)
    if search is None:
        return Batch((), {}, viewer, None)
    lane = search.lanes[0]
    if _is_straight(search) and not place.skip:
        rows, resume = _walk(tx, search, lane, place, most)
    else:
        found = find_ids(tx, search, place, limit=most)
        rows = _fetch(tx, SELECT_ENTRIES.where(audit.id.in_(found.ids)).order_by(audit.id.desc()))
        resume = found.resume
    entries = [row for row in rows if row[2] <= until.seq_of(row[1])]
    is_dense = search.only_lane is not None and not lane.conditions
    return Batch(entries, _endings(tx, entries, until, is_dense=is_dense), viewer, resume)


def _is_straight(search: Search) -> bool:
    """Whether there is but one index to walk along, and it leads to entries."""
    return len(search.lanes) == 1 and search.lanes[0].id is audit.id


def _edge(tx: sa.Connection, search: Search, lane: Lane, place: Place, span: int) -> str | None:
    """The last of the next so many entries along an index; None when there are fewer."""
    ids = sa.select(lane.id).where(*search.conditions(lane, place.before)).order_by(lane.id.desc())
    return tx.execute(ids.limit(1).offset(span - 1)).scalar()


def _walk(
    tx: sa.Connection, search: Search, lane: Lane, place: Place, most: int
) -> tuple[Sequence[EntryRow], Place | None]:
    """Straight along an index. Where that brings more than what matches, only so much of it is looked at."""
    along = search.conditions(lane, place.before)
    last = None
    if search.is_checked:
        last = _edge(tx, search, lane, place, LOOKED_AT)
        along += [] if last is None else [lane.id >= last]
    walk = SELECT_ENTRIES.where(*along, *search.checks).order_by(audit.id.desc()).limit(most)
    rows = _fetch(tx, walk)
    if len(rows) == most:
        last = rows[-1][0]
    if search.recheck is not None and rows:
        kept = set(search.recheck(tx, [row[0] for row in rows]))
        rows = [row for row in rows if row[0] in kept]
    return rows, None if last is None else Place(last)


def _endings(
    tx: sa.Connection, entries: Sequence[EntryRow], until: Position, *, is_dense: bool
) -> Mapping[str, Sequence[EndingRow]]:
    """How these have ended; `is_dense` when they are most of those between the first and the last."""
    if not entries:
        return {}
    ids = [row[0] for row in entries]
    of_these = outcomes.entry_id.between(ids[-1], ids[0]) if is_dense else outcomes.entry_id.in_(ids)
    found: dict[str, list[EndingRow]] = {}
    for row in _fetch(tx, SELECT_ENDINGS.where(of_these)):
        if row[2] <= until.seq_of(row[1]):
            found.setdefault(row[0], []).append(row)
    return found


def _fetch(tx: sa.Connection, statement: sa.Select[*tuple[Any, ...]]) -> Sequence[Sequence[Any]]:
    """Rows as the driver has them: what SQLAlchemy makes of each takes as long as reading it."""
    result = tx.execute(statement)
    rows: Sequence[Sequence[Any]] = result.cursor.fetchall()
    result.close()
    return rows


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where the next entries are: known long before they are read, so that more than one can be read at a time."""

    conditions: Sequence[Condition]
    """What the entries have in common."""
    viewer: Viewer
    resume: Place | None
    """Where the next stretch begins; None: there is none."""
    span: int


@dataclass(frozen=True, slots=True)
class Lines:
    """Entries, newest first, each a line of JSON; `finish` makes of them what is sent."""

    text: bytes
    count: int


def find_stretch(
    tx: sa.Connection,
    *,
    account_id: str | None,
    wanted: AuditFilter,
    until: Position,
    place: Place,
    span: int = BATCH_ROWS,
    most: int | None = None,
) -> Stretch | None:
    """The next `span` entries along an index, or the next that match, `most` at most when that is told."""
    viewer = viewer_of(tx, account_id=account_id)
    search = plan(tx, wanted, viewer, until=until)
    if search is None:
        return None
    if most is not None or not _is_straight(search) or search.recheck is not None or place.skip:
        found = find_ids(tx, search, place, limit=min(most or BATCH_ROWS, BATCH_ROWS))
        return Stretch([audit.id.in_(found.ids)], viewer, found.resume, span)
    lane = search.lanes[0]
    last = _edge(tx, search, lane, place, span)
    conditions = [*search.conditions(lane, place.before), *search.checks]
    if last is None:
        return Stretch(conditions, viewer, None, span)
    return Stretch([*conditions, lane.id >= last], viewer, Place(last), span)


def read_lines(tx: sa.Connection, stretch: Stretch, *, until: Position, form: ExportFormat) -> Lines:
    """The entries of a stretch, as far as they were there at the position: by the database where it can."""
    viewer = stretch.viewer
    text, count = make_lines(tx, stretch.conditions, viewer=viewer, until=until, form=form)
    mark = b"{" if form is ExportFormat.JSONL else b"["
    if count != text.startswith(mark) + text.count(b"\n" + mark):
        text = _with_others(tx, text.split(b"\n"), mark, until=until, viewer=viewer, form=form)
    return Lines(text, count)


def next_span(span: int, count: int) -> int:
    """In how many entries to look for the next batch, after so many of them matched."""
    return max(BATCH_ROWS, min(2 * span if 4 * count < span else BATCH_ROWS, LOOKED_AT))


def _with_others(
    tx: sa.Connection,
    lines: list[bytes],
    mark: bytes,
    *,
    until: Position,
    viewer: Viewer,
    form: ExportFormat,
) -> bytes:
    """The lines, with those that the database has left to us."""
    left = [number for number, line in enumerate(lines) if not line.startswith(mark)]
    for begin in range(0, len(left), LEFT_ROWS):
        some = left[begin : begin + LEFT_ROWS]
        ids = [lines[number].decode() for number in some]
        entries = _fetch(tx, SELECT_ENTRIES.where(audit.id.in_(ids)).order_by(audit.id.desc()))
        batch = Batch(entries, _endings(tx, entries, until, is_dense=False), viewer, None)
        for number, line in zip(some, lines_of(batch, form), strict=True):
            lines[number] = line
    return b"\n".join(lines)


def render_head(form: ExportFormat) -> bytes:
    """What stands before the first entry."""
    return (",".join(FIELDS) + "\r\n").encode() if form is ExportFormat.CSV else b""


def lines_of(batch: Batch, form: ExportFormat) -> Iterator[bytes]:
    """An entry a line: an object, or for CSV a list of cells, which are texts and numbers."""
    if form is ExportFormat.JSONL:
        yield from map(dump, batch.objects())
        return
    for values in batch.values():
        cells: list[Json] = ["" if value is None else value for value in values]
        for place in _STRUCTURED:
            cells[place] = dump(cells[place]).decode()
        yield dump(cells)


def finish(lines: bytes, form: ExportFormat) -> bytes:
    """What is sent of these lines: each entry stays on its line, whatever was recorded."""
    if not lines:
        return b""
    text = escape_controls(lines)
    return text + b"\n" if form is ExportFormat.JSONL else _csv(text)


def _csv(text: bytes) -> bytes:
    """Lines of RFC 4180, made from JSON: a list of texts and numbers is one, but for brackets and escaped quotes.

    Every text is quoted, so a quote behind a comma begins a cell: within one it has a backslash before it. What JSON
    escapes beside quotes and backslashes stays so, and with it each entry on its line.
    """
    text = text[1:-1].replace(b"]\n[", b"\r\n") + b"\r\n"
    if _SUSPECT.search(text):
        text = _FORMULA.sub(b",\"'", text)
    return text.replace(b"\\\\", b"\0").replace(b'\\"', b'""').replace(b"\0", b"\\")
