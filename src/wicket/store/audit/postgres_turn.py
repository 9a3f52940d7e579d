"""One transaction of the recorder on PostgreSQL, in four round trips when nothing is new.

Lock order: the agents' buckets ascending, then sessions by slot, then names. The buckets are a statement of
their own, before the read: a snapshot taken before the lock is granted would be too old.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from secrets import token_hex
from typing import Final, NamedTuple

import asyncpg
import sqlalchemy as sa

from wicket.core.entities import EntityKey
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
from wicket.store.db.base import buckets_of
from wicket.store.db.postgres import AGENT_LOCK, RawConnection
from wicket.store.lookups import Found

UPDATE_COLUMNS: Final = {"agent_id": "text", "id": "text", "facts": "text", "last_activity_at": "int8"}
SEED_COLUMNS: Final = {
    "agent_id": "text",
    "id": "text",
    "slot": "text",
    "member_id": "text",
    "key_id": "text",
    "external_id": "text",
    "client_name": "text",
    "client_version": "text",
    "created_at": "int8",
}


def _unnest(columns: Mapping[str, str], first: int) -> str:
    arrays = ", ".join(f"${first + i}::{kind}[]" for i, kind in enumerate(columns.values()))
    return f"unnest({arrays}) AS v({', '.join(columns)})"


def _insert(table: str, columns: Mapping[str, str], first: int) -> str:
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {_unnest(columns, first)}"  # noqa: S608 - our own names


def _append_all() -> str:
    """One statement for every row of a batch."""
    parts, first = [], 1
    for name, table, columns in (
        ("a", "audit", statements.AUDIT_COLUMNS),
        ("p", "audit_policies", statements.POLICY_COLUMNS),
        ("o", "outcomes", statements.OUTCOME_COLUMNS),
        ("e", "events", statements.EVENT_COLUMNS),
    ):
        parts.append(f"{name} AS ({_insert(table, columns, first)})")
        first += len(columns)
    return (
        f"WITH {', '.join(parts)} UPDATE tool_sessions s SET facts = v.facts, version = s.version + 1,"  # noqa: S608
        f" last_activity_at = v.last_activity_at FROM {_unnest(UPDATE_COLUMNS, first)}"
        " WHERE s.agent_id = v.agent_id AND s.id = v.id"
    )


APPEND: Final = _append_all()
READ: Final = (
    "SELECT 0 AS k, id, NULL AS slot, NULL AS agent_id, revision AS n, NULL AS facts, 0::int8 AS at FROM agents"
    " WHERE id = ANY($1::text[]) AND deleted_at IS NULL UNION ALL SELECT * FROM (SELECT 1, id, slot, agent_id, version,"
    " facts, last_activity_at FROM tool_sessions WHERE slot = ANY($2::text[]) AND ended_at IS NULL"
    " ORDER BY slot FOR UPDATE) s"
)
END_SESSIONS: Final = (
    "UPDATE tool_sessions s SET ended_at = last_activity_at + $2, ended_reason = 'inactivity'"
    " WHERE slot = ANY($1::text[]) AND ended_at IS NULL"
)
INSERT_SESSIONS: Final = (
    "INSERT INTO tool_sessions (agent_id, id, slot, member_id, key_id, external_id, client_name, client_version,"  # noqa: S608
    " facts, version, created_at, last_activity_at) SELECT agent_id, id, slot, member_id, key_id, external_id,"
    f" client_name, client_version, '{FRESH_FACTS}', 1, created_at, created_at FROM {_unnest(SEED_COLUMNS, 1)}"
    " ORDER BY slot ON CONFLICT (slot) WHERE ended_at IS NULL DO NOTHING RETURNING id, slot, agent_id, created_at"
)
INTERN_NAMES: Final = (
    "INSERT INTO names (kind, name) SELECT kind, name FROM unnest($1::text[], $2::text[]) AS v(kind, name)"
    " ORDER BY kind, name ON CONFLICT DO NOTHING"
)
READ_NAMES: Final = (
    "SELECT kind, name, id FROM names JOIN unnest($1::text[], $2::text[]) AS v(kind, name) USING (kind, name)"
)


class Loads(NamedTuple):
    """What is read over the turn's own connection when a call is decided inside it."""

    world: Callable[[str], Awaitable[World | None]]
    entities: Callable[[str, Collection[EntityKey]], Awaitable[Found]]


class PostgresTurn:
    """See `wicket.store.audit.ledger.Turn`."""

    def __init__(
        self,
        raw: RawConnection,
        chain: Chain,
        names: statements.Names,
        loads: Loads,
    ) -> None:
        self._raw = raw
        self._chain = chain
        self._names = names
        self._loads = loads
        self.revisions: dict[str, int] = {}
        self.sessions: dict[str, SessionRow] = {}

    async def begin(self, agents: Collection[str], seeds: Collection[SessionSeed], *, idle_us: int) -> bool:
        """Lock and read. False: somebody began one of our sessions meanwhile, so roll back and begin again."""
        locks = (
            f"SELECT pg_advisory_xact_lock_shared({AGENT_LOCK}, {bucket})" for bucket in buckets_of(agents)
        )
        await self._raw.execute("; ".join(("BEGIN", *locks)))
        rows = await self._raw.fetch(READ, sorted(agents), [seed.slot for seed in seeds])
        for kind, row_id, slot, agent_id, number, facts, at in rows:
            if kind == 0:
                self.revisions[row_id] = number
            else:
                self.sessions[slot] = SessionRow(row_id, slot, agent_id, number, facts, at)
        return await self._begin_sessions(seeds, idle_us)

    async def _begin_sessions(self, seeds: Collection[SessionSeed], idle_us: int) -> bool:
        idle = [
            s.slot for s in seeds if s.slot in self.sessions and is_idle(self.sessions[s.slot], s, idle_us)
        ]
        if idle:
            await self._raw.execute(END_SESSIONS, idle, idle_us)
            for slot in idle:
                del self.sessions[slot]
        fresh = [seed for seed in seeds if seed.slot not in self.sessions]
        if not fresh:
            return True
        inserted = await self._raw.fetch(
            INSERT_SESSIONS, *_columns([_seed_row(seed) for seed in fresh], SEED_COLUMNS)
        )
        for row_id, slot, agent_id, at in inserted:
            self.sessions[slot] = SessionRow(row_id, slot, agent_id, 1, FRESH_FACTS, at)
        return len(inserted) == len(fresh)

    async def load_world(self, agent_id: str) -> World | None:
        with postgres_failures("loading a world"):
            return await self._loads.world(agent_id)

    async def load_entities(self, agent_id: str, keys: Collection[EntityKey]) -> Found:
        with postgres_failures("looking up entities"):
            return await self._loads.entities(agent_id, keys)

    async def commit(self, rows: Sequence[Row], sessions: Sequence[SessionFacts]) -> None:
        with postgres_failures("appending"):
            linked = self._chain.link(rows)
            names = await self._intern(linked)
            await insert(self._raw, self._chain.writer, linked, self._names.with_new(names), sessions)
        await commit(self._raw)
        self._chain.advance(linked)
        self._names.remember(names)

    async def _intern(self, linked: Linked) -> Mapping[tuple[str, str], int]:
        missing = self._names.missing(statements.names_in(entry for _, _, entry in linked.entries))
        if not missing:
            return {}
        kinds, names = zip(*missing, strict=True)
        await self._raw.execute(INTERN_NAMES, kinds, names)
        found = await self._raw.fetch(READ_NAMES, kinds, names)
        return {(kind, name): name_id for kind, name, name_id in found}


async def insert(
    raw: RawConnection,
    writer: int,
    linked: Linked,
    names: statements.NameIds,
    sessions: Sequence[SessionFacts] = (),
) -> None:
    """Store rows that have their places in a chain, and sessions' facts."""
    await raw.execute(
        APPEND,
        *_columns(statements.entry_rows(writer, linked, names), statements.AUDIT_COLUMNS),
        *_columns(statements.policy_rows(linked), statements.POLICY_COLUMNS),
        *_columns(statements.outcome_rows(writer, linked), statements.OUTCOME_COLUMNS),
        *_columns(statements.event_rows(writer, linked), statements.EVENT_COLUMNS),
        *_columns(
            [(s.row.agent_id, s.row.id, s.facts, s.last_activity_at) for s in sessions], UPDATE_COLUMNS
        ),
    )


async def commit(raw: RawConnection) -> None:
    """COMMIT; afterwards the rows are durable, or LedgerFailed says whether that is in doubt."""
    with postgres_failures("committing", in_doubt=True):
        answer = await raw.execute("COMMIT")
    if answer != "COMMIT":
        raise LedgerFailed(f"committing: the server answered {answer}")


def _seed_row(seed: SessionSeed) -> tuple[statements.Value, ...]:
    return (
        seed.agent_id,
        f"ts_{token_hex(12)}",
        seed.slot,
        seed.member_id,
        seed.key_id,
        seed.external_id,
        seed.client_name,
        seed.client_version,
        seed.now_us,
    )


def _columns(
    rows: Sequence[Sequence[statements.Value]], columns: Collection[str]
) -> list[Sequence[statements.Value]]:
    """Rows turned into one array a column."""
    return list(zip(*rows, strict=True)) if rows else [[] for _ in columns]


@contextmanager
def postgres_failures(what: str, *, in_doubt: bool = False) -> Iterator[None]:
    """Raise LedgerFailed for what PostgreSQL or the network could not do."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, sa.exc.DBAPIError, OSError, TimeoutError) as error:
        raise LedgerFailed(f"{what}: {error}", in_doubt=in_doubt) from error
