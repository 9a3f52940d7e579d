"""One transaction of the recorder on SQLite: what it reads under the gate, and what it leaves behind.

Each step of a statement lets go of Python's global lock and has to wait for it again, for milliseconds while the
event loop is busy. So there are few steps: what is read comes as one row of JSON, and the rows of a table are
inserted by one statement, which is filled up with rows that are not stored.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from secrets import token_hex
from typing import Final

import sqlalchemy as sa

from wicket.core.jsonrpc import render_json_text
from wicket.core.model import Json
from wicket.core.world import World
from wicket.store.audit import statements
from wicket.store.audit.entry import Chain, Linked, Row
from wicket.store.audit.ledger import (
    FRESH_FACTS,
    LedgerFailed,
    SessionFacts,
    SessionRow,
    SessionSeed,
    is_idle,
)
from wicket.store.db.sqlite import library

CHUNK_MAX: Final = 64
"""Rows in one INSERT at most. Sizes are powers of two, so that few statements are prepared, each but once."""

READ: Final = (
    "SELECT (SELECT json_group_array(json_array(id, revision)) FROM agents"
    " WHERE id IN (SELECT value FROM json_each(?)) AND deleted_at IS NULL),"
    " (SELECT json_group_array(json_array(id, slot, agent_id, version, facts, last_activity_at)) FROM tool_sessions"
    " WHERE slot IN (SELECT value FROM json_each(?)) AND ended_at IS NULL)"
)
END_SESSION: Final = (
    "UPDATE tool_sessions SET ended_at = ?, ended_reason = 'inactivity' WHERE agent_id = ? AND id = ?"
)
INSERT_SESSION: Final = (
    "INSERT INTO tool_sessions (agent_id, id, slot, member_id, key_id, external_id, client_name, client_version,"
    " facts, version, created_at, last_activity_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)"
)
UPDATE_SESSIONS: Final = (
    "UPDATE tool_sessions SET facts = json_extract(value, '$[0]'), version = version + 1,"
    " last_activity_at = json_extract(value, '$[1]') FROM json_each(?)"
    " WHERE agent_id = json_extract(value, '$[2]') AND tool_sessions.id = json_extract(value, '$[3]')"
)
INTERN_NAME: Final = "INSERT INTO names (kind, name) VALUES (?, ?) ON CONFLICT DO NOTHING"
READ_NAME: Final = "SELECT id FROM names WHERE kind = ? AND name = ?"


class SqliteTurn:
    """See `wicket.store.audit.ledger.Turn`. Made inside BEGIN IMMEDIATE."""

    def __init__(
        self,
        raw: library.Connection,
        chain: Chain,
        names: statements.Names,
        load_world: Callable[[str], World | None],
    ) -> None:
        self._raw = raw
        self._chain = chain
        self._names = names
        self._load_world = load_world
        self.revisions: Mapping[str, int] = {}
        self.sessions: Mapping[str, SessionRow] = {}

    def read(self, agents: Collection[str], seeds: Collection[SessionSeed], *, idle_us: int) -> None:
        slots = [seed.slot for seed in seeds]
        revisions, found = self._raw.execute(
            READ, (render_json_text([*agents]), render_json_text([*slots]))
        ).fetchall()[0]
        self.revisions = dict(json.loads(revisions))
        sessions = {row.slot: row for row in (SessionRow(*columns) for columns in json.loads(found))}
        for seed in seeds:
            row = sessions.get(seed.slot)
            if row is not None and is_idle(row, seed, idle_us):
                self._raw.execute(END_SESSION, (row.last_activity_at + idle_us, row.agent_id, row.id))
                row = None
            if row is None:
                sessions[seed.slot] = self._begin_session(seed)
        self.sessions = sessions

    def _begin_session(self, seed: SessionSeed) -> SessionRow:
        row = SessionRow(f"ts_{token_hex(12)}", seed.slot, seed.agent_id, 1, FRESH_FACTS, seed.now_us)
        described = (seed.member_id, seed.key_id, seed.external_id, seed.client_name, seed.client_version)
        self._raw.execute(
            INSERT_SESSION, (row.agent_id, row.id, row.slot, *described, row.facts, seed.now_us, seed.now_us)
        )
        return row

    async def load_world(self, agent_id: str) -> World | None:
        with sqlite_failures("loading a world"):
            return self._load_world(agent_id)

    async def commit(self, rows: Sequence[Row], sessions: Sequence[SessionFacts]) -> None:
        with sqlite_failures("appending"):
            linked = self._chain.link(rows)
            names = self._intern(linked)
            insert(self._raw, self._chain.writer, linked, self._names.with_new(names))
            if sessions:
                facts: list[Json] = [
                    [s.facts, s.last_activity_at, s.row.agent_id, s.row.id] for s in sessions
                ]
                self._raw.execute(UPDATE_SESSIONS, (render_json_text(facts),))
        with sqlite_failures("committing", in_doubt=True):
            self._raw.execute("COMMIT")
        self._chain.advance(linked)
        self._names.remember(names)

    def _intern(self, linked: Linked) -> Mapping[tuple[str, str], int]:
        new: dict[tuple[str, str], int] = {}
        for name in self._names.missing(statements.names_in(entry for _, _, entry in linked.entries)):
            self._raw.execute(INTERN_NAME, name)
            new[name] = self._raw.execute(READ_NAME, name).fetchall()[0][0]
        return new


def insert(raw: library.Connection, writer: int, linked: Linked, names: statements.NameIds) -> None:
    """Store rows that have their places in a chain."""
    _insert(raw, "audit", statements.AUDIT_COLUMNS, statements.entry_rows(writer, linked, names))
    _insert(raw, "audit_policies", statements.POLICY_COLUMNS, statements.policy_rows(linked))
    _insert(raw, "outcomes", statements.OUTCOME_COLUMNS, statements.outcome_rows(writer, linked))
    _insert(raw, "events", statements.EVENT_COLUMNS, statements.event_rows(writer, linked))


def _insert(
    raw: library.Connection, table: str, columns: Collection[str], rows: Sequence[Sequence[statements.Value]]
) -> None:
    for begin in range(0, len(rows), CHUNK_MAX):
        chunk = rows[begin : begin + CHUNK_MAX]
        size = 1 << (len(chunk) - 1).bit_length()
        values = list(chain.from_iterable(chunk))
        values += [None] * ((size - len(chunk)) * len(columns))
        raw.execute(_insert_many(table, tuple(columns), size), values)


@cache
def _insert_many(table: str, columns: Sequence[str], rows: int) -> str:
    """The first column of every table is never null, so a row whose first value is null is not one."""
    row = f"({', '.join('?' * len(columns))})"
    values = f"VALUES {', '.join([row] * rows)}"
    if rows > 1:
        values = f"SELECT * FROM ({values}) WHERE column1 IS NOT NULL"  # noqa: S608 - our own names
    return f"INSERT INTO {table} ({', '.join(columns)}) {values}"


@contextmanager
def sqlite_failures(what: str, *, in_doubt: bool = False) -> Iterator[None]:
    """Raise LedgerFailed for what SQLite or the file system could not do."""
    try:
        yield
    except (library.Error, sa.exc.DBAPIError, OSError) as error:
        raise LedgerFailed(f"{what}: {error}", in_doubt=in_doubt) from error
