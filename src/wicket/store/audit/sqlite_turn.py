"""One transaction of the recorder on SQLite: what it reads under the gate, and what it leaves behind.

Each step of a statement lets go of Python's global lock and has to wait for it again, for milliseconds while the
event loop is busy. So there are few steps: what is read comes as one row of JSON, and the rows of a table are
written by one statement, which is filled up with rows that are not stored.

Binding is dear for all but plain `str`, `int` and `bytearray`: for anything else, None and bytes too, the driver
looks for an adapter first.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from itertools import chain, repeat
from secrets import token_hex
from types import TracebackType
from typing import Final, NamedTuple, Self

import orjson
import sqlalchemy as sa

from wicket.core.entities import EntityKey
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
from wicket.store.gate import WriteGate
from wicket.store.lookups import Found

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
INTERN_NAME: Final = "INSERT INTO names (kind, name) VALUES (?, ?) ON CONFLICT DO NOTHING"
READ_NAME: Final = "SELECT id FROM names WHERE kind = ? AND name = ?"


class SqliteFailures:
    """Raises LedgerFailed for what SQLite or the file system could not do."""

    __slots__ = ("_in_doubt", "_what")

    def __init__(self, what: str, *, in_doubt: bool = False) -> None:
        self._what = what
        self._in_doubt = in_doubt

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, library.Error | sa.exc.DBAPIError | OSError):
            raise LedgerFailed(f"{self._what}: {error}", in_doubt=self._in_doubt) from error


BEGINNING: Final = SqliteFailures("beginning")
READING: Final = SqliteFailures("reading")
APPENDING: Final = SqliteFailures("appending")
COMMITTING: Final = SqliteFailures("committing", in_doubt=True)


class Loads(NamedTuple):
    """What is read over the turn's own connection when a call is decided inside it."""

    world: Callable[[str], World | None]
    entities: Callable[[str, Collection[EntityKey]], Found]


class SqliteTurn:
    """See `wicket.store.audit.ledger.Turn`."""

    def __init__(
        self,
        raw: library.Connection,
        gate: WriteGate,
        chain: Chain,
        names: statements.Names,
        loads: Loads,
        wanted: tuple[Collection[str], Collection[SessionSeed]],
        *,
        idle_us: int,
    ) -> None:
        """`wanted` are the agents and the sessions to read when it is our turn."""
        self._raw = raw
        self._gate = gate
        self._chain = chain
        self._names = names
        self._loads = loads
        self._wanted = wanted
        self._idle_us = idle_us
        self.revisions: Mapping[str, int] = {}
        self.sessions: Mapping[str, SessionRow] = {}

    async def __aenter__(self) -> Self:
        self._gate.take()
        try:
            with BEGINNING:
                self._raw.execute("BEGIN IMMEDIATE")
            with READING:
                self._read(*self._wanted)
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        """What was not committed is undone."""
        try:
            if self._raw.in_transaction:
                with SqliteFailures("rolling back"):
                    self._raw.execute("ROLLBACK")
        finally:
            self._gate.leave()

    def _read(self, agents: Collection[str], seeds: Collection[SessionSeed]) -> None:
        slots: list[Json] = [seed.slot for seed in seeds]
        asked = (render_json_text([*agents]), render_json_text(slots))
        revisions, found = self._raw.execute(READ, asked).fetchall()[0]
        self.revisions = dict(orjson.loads(revisions))
        sessions = {columns[1]: SessionRow(*columns) for columns in orjson.loads(found)}
        for seed in seeds:
            row = sessions.get(seed.slot)
            if row is not None and is_idle(row, seed, self._idle_us):
                self._raw.execute(END_SESSION, (row.last_activity_at + self._idle_us, row.agent_id, row.id))
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
        with SqliteFailures("loading a world"):
            return self._loads.world(agent_id)

    async def load_entities(self, agent_id: str, keys: Collection[EntityKey]) -> Found:
        with SqliteFailures("looking up entities"):
            return self._loads.entities(agent_id, keys)

    async def commit(self, rows: Sequence[Row], sessions: Sequence[SessionFacts]) -> None:
        with APPENDING:
            linked = self._chain.link(rows)
            names = self._intern(linked)
            insert(self._raw, self._chain.writer, linked, self._names.with_new(names))
            if sessions:
                _write(
                    self._raw,
                    _update_sessions,
                    [(s.facts, s.last_activity_at, s.row.agent_id, s.row.id) for s in sessions],
                )
        with COMMITTING:
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
    if linked.entries:
        _write(raw, _insert_entries, statements.entry_rows(writer, linked, names))
        _write(raw, _insert_policies, statements.policy_rows(linked))
    if linked.outcomes:
        _write(raw, _insert_outcomes, statements.outcome_rows(writer, linked))
    if linked.events:
        _write(raw, _insert_events, statements.event_rows(writer, linked))


def _write(
    raw: library.Connection,
    statement: Callable[[int], str],
    rows: Sequence[Sequence[statements.Value]],
) -> None:
    for begin in range(0, len(rows), CHUNK_MAX):
        chunk = rows[begin : begin + CHUNK_MAX]
        size = 1 << (len(chunk) - 1).bit_length()
        values = list(chain.from_iterable(chunk))
        values += repeat(0, (size - len(chunk)) * len(chunk[0]))
        raw.execute(statement(size), values)


def _inserting(table: str, columns: Collection[str]) -> Callable[[int], str]:
    """The first column of every table is never zero, so a row whose first value is zero is not one."""
    into = f"INSERT INTO {table} ({', '.join(columns)})"

    @cache
    def statement(rows: int) -> str:
        if rows == 1:
            return f"{into} {_values(1, len(columns))}"
        return f"{into} SELECT * FROM ({_values(rows, len(columns))}) WHERE column1 <> 0"  # noqa: S608 - our own names

    return statement


_insert_entries: Final = _inserting("audit", statements.AUDIT_COLUMNS)
_insert_policies: Final = _inserting("audit_policies", statements.POLICY_COLUMNS)
_insert_outcomes: Final = _inserting("outcomes", statements.OUTCOME_COLUMNS)
_insert_events: Final = _inserting("events", statements.EVENT_COLUMNS)


@cache
def _update_sessions(rows: int) -> str:
    """Takes facts, last activity, agent and id of each."""
    return (
        "UPDATE tool_sessions SET facts = column1, version = version + 1, last_activity_at = column2"  # noqa: S608
        f" FROM ({_values(rows, 4)}) WHERE agent_id = column3 AND tool_sessions.id = column4"
    )


def _values(rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([row] * rows)}"
