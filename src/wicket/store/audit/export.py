"""The log written out: batches of entries in short reads, and batches made into CSV or lines of JSON.

An export shows the log as it stood when it began. It reads a batch at a time, each in a transaction of its own and
behind the entry that the one before ended with; what was committed later, by whichever writer, is beyond the position
at the beginning and left out. So whoever reads slowly holds nothing open, and neither repeats nor misses anything.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import sqlalchemy as sa

from wicket.core.model import Json, JsonObject
from wicket.store.audit.fields import FIELDS, ExportFormat
from wicket.store.audit.filters import AuditFilter
from wicket.store.audit.following import Position
from wicket.store.audit.lanes import Lane, Place, Search, find_ids
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
"""Some three megabytes of rows: an export holds two batches, and what one of them was made into."""
LOOKED_AT: Final = 5_000
"""Entries that a batch is looked for in, where not all of them match."""
STRUCTURED: Final = tuple(
    place
    for place, name in enumerate(FIELDS)
    if name in {"toolArgs", "matchedPolicyIds", "matchedPolicyNames", "matchedPolicies", "resources"}
)
"""Where cells are lists and objects, written as JSON."""
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
    if len(search.lanes) == 1 and lane.id is audit.id and not place.skip:
        rows, resume = _walk(tx, search, lane, place, most)
    else:
        found = find_ids(tx, search, place, limit=most)
        rows = _fetch(tx, SELECT_ENTRIES.where(audit.id.in_(found.ids)).order_by(audit.id.desc()))
        resume = found.resume
    entries = [row for row in rows if row[2] <= until.seq_of(row[1])]
    is_dense = search.only_lane is not None and not lane.conditions
    return Batch(entries, _endings(tx, entries, until, is_dense=is_dense), viewer, resume)


def _walk(
    tx: sa.Connection, search: Search, lane: Lane, place: Place, most: int
) -> tuple[Sequence[EntryRow], Place | None]:
    """Straight along an index. Where that brings more than what matches, only so much of it is looked at."""
    along = search.conditions(lane, place.before)
    last = None
    if search.is_checked:
        ids = sa.select(lane.id).where(*along).order_by(lane.id.desc())
        last = tx.execute(ids.limit(1).offset(LOOKED_AT - 1)).scalar()
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


def render_head(form: ExportFormat) -> bytes:
    """What stands before the first entry."""
    return (",".join(FIELDS) + "\r\n").encode() if form is ExportFormat.CSV else b""


def render_batch(batch: Batch, form: ExportFormat) -> bytes:
    """The entries, each on a line of its own, whatever was recorded."""
    return _csv(batch) if form is ExportFormat.CSV else _jsonl(batch)


def _jsonl(batch: Batch) -> bytes:
    return escape_controls(b"".join([dump(entry) + b"\n" for entry in batch.objects()]))


def _csv(batch: Batch) -> bytes:
    """Lines of RFC 4180, made from JSON: a list of texts and numbers is one, but for brackets and escaped quotes.

    Every text is quoted, so a quote behind a comma begins a cell: within one it has a backslash before it. What JSON
    escapes beside quotes and backslashes stays so, and with it each entry on its line.
    """
    try:
        lines = _lists_of(batch, orjson.dumps)
    except TypeError:  # half of a surrogate pair
        lines = _lists_of(batch, dump)
    text = escape_controls(b"\r\n".join([*lines, b""]))
    if _SUSPECT.search(text):
        text = _FORMULA.sub(b",\"'", text)
    return text.replace(b"\\\\", b"\0").replace(b'\\"', b'""').replace(b"\0", b"\\")


def _lists_of(batch: Batch, dump: Callable[[Json], bytes]) -> list[bytes]:
    lines = []
    for values in batch.values():
        cells: list[Json] = ["" if value is None else value for value in values]
        for place in STRUCTURED:
            cells[place] = dump(cells[place]).decode()
        lines.append(dump(cells)[1:-1])
    return lines
