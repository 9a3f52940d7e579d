"""The rows of a chain as they are stored, in their order, ready to be checked: a stretch at a time."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from wicket.core.chain import Field
from wicket.store import tables
from wicket.store.audit.entry import Table

STRETCH: Final = 2_000
"""Numbers of rows that are read together."""
NAMES_CACHED_MAX: Final = 100_000
LOG_TABLES: Final = {Table.AUDIT: tables.audit, Table.OUTCOMES: tables.outcomes, Table.EVENTS: tables.events}

_A, _O, _E = tables.audit.c, tables.outcomes.c, tables.events.c
# In the order in which their hashes cover them, behind writer and seq: see `entry.py`.
_COLUMNS: Final = {
    Table.AUDIT: (
        *(_A.seq, _A.hash, _A.agent_name, _A.service, _A.tool),
        *(_A.id, _A.decided_at, _A.agent_id),
        *(_A.member_id, _A.key_id, _A.session_id, _A.denied, _A.reason_code, _A.caller_ip),
        *(_A.resource, _A.reason, _A.deny_message, _A.body),
    ),
    Table.OUTCOMES: (_O.seq, _O.hash, _O.entry_id, _O.outcome, _O.ended_at, _O.body),
    Table.EVENTS: (_E.seq, _E.hash, _E.at, _E.kind, _E.agent_id, _E.actor_id, _E.body),
}
_STRETCHES: Final = {
    kind: sa.select(*columns)
    .where(
        LOG_TABLES[kind].c.writer == sa.bindparam("of"),
        LOG_TABLES[kind].c.seq > sa.bindparam("after"),
        LOG_TABLES[kind].c.seq <= sa.bindparam("until"),
    )
    .order_by(LOG_TABLES[kind].c.seq)
    for kind, columns in _COLUMNS.items()
}


class Link(NamedTuple):
    """A row: its number, where it is, what its hash covers, and the hash."""

    seq: int
    table: Table
    fields: Sequence[Field]
    hash: bytes


class Links:
    """Reads rows, and knows the names that stand for numbers in them."""

    def __init__(self, tx: sa.Connection) -> None:
        self._tx = tx
        self._names: dict[int, str] = {}

    def stretches(self, writer: int, *, after: int) -> Iterator[list[Link]]:
        """The rows of a chain behind `after`, until there is no more; a hole is left to whoever checks."""
        begin = after
        while (least := self.least_after(writer, begin)) is not None:
            # What is behind a hole is read all the same, so that a row is named as missing.
            begin = max(begin, least - 1)
            yield self.read(writer, begin, begin + STRETCH)
            begin += STRETCH

    def between(self, writer: int, after: int, until: int) -> Iterator[Link]:
        """The rows with these numbers, however many are missing."""
        for links in self.stretches(writer, after=after):
            yield from (row for row in links if row.seq <= until)
            if links[-1].seq > until:
                return

    def read(self, writer: int, after: int, until: int) -> list[Link]:
        """The rows with these numbers, in their order."""
        asked = {"of": writer, "after": after, "until": until}
        entries, outcomes, events = (self._tx.execute(one, asked).all() for one in _STRETCHES.values())
        links = self._entries(writer, entries)
        links += [Link(row[0], Table.OUTCOMES, (writer, row[0], *row[2:]), bytes(row[1])) for row in outcomes]
        links += [Link(row[0], Table.EVENTS, (writer, row[0], *row[2:]), bytes(row[1])) for row in events]
        links.sort(key=_seq_of)
        return links

    def _entries(self, writer: int, rows: Sequence[sa.Row[Any]]) -> list[Link]:
        names = self._names_of({row[place] for row in rows for place in (2, 3, 4)})
        links = []
        for row in rows:
            seq, digest, agent, service, tool, *rest = tuple(row)
            named = (names.get(agent), names.get(service), names.get(tool))
            fields = (writer, seq, *rest[:3], *named, *rest[3:])
            links.append(Link(seq, Table.AUDIT, fields, bytes(digest)))
        return links

    def _names_of(self, ids: Collection[int]) -> dict[int, str]:
        missing = [name_id for name_id in ids if name_id not in self._names]
        if missing:
            if len(self._names) + len(missing) > NAMES_CACHED_MAX:
                self._names, missing = {}, list(ids)
            names = tables.names.c
            found = self._tx.execute(sa.select(names.id, names.name).where(names.id.in_(missing)))
            self._names.update((row.id, row.name) for row in found)
        return self._names

    def least_after(self, writer: int, after: int) -> int | None:
        """The number of the next row of a chain, wherever it is."""
        found = (self._least(table, writer, after) for table in LOG_TABLES.values())
        return min((seq for seq in found if seq is not None), default=None)

    def _least(self, table: sa.Table, writer: int, after: int) -> int | None:
        seq: int | None = self._tx.execute(
            sa.select(sa.func.min(table.c.seq)).where(table.c.writer == writer, table.c.seq > after)
        ).scalar_one()
        return seq


def _seq_of(link: Link) -> int:
    return link.seq


ENTRY_ID, ENTRY_AGENT, ENTRY_BODY = 2, 4, 17
"""Places in the fields of an entry."""
