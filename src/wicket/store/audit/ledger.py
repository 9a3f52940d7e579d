"""What a writer of the log can do, whichever database it writes to.

A ledger is one writer: it registers when it opens, and its chain ends when it closes. After any failure it is
closed and another one opened, which registers anew: nobody knows what became of the last COMMIT, so its chain is
never continued. All methods are called by one task, one at a time.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeAlias

import sqlalchemy as sa

from wicket.core.entities import EntityKey
from wicket.core.session import FRESH, facts_to_json
from wicket.core.world import World
from wicket.store.audit.entry import Event, EventKind, Row
from wicket.store.lookups import Found

LoadWorld: TypeAlias = Callable[[sa.Connection, str], World | None]
"""`worlds.load`, given here because it builds on more of the store than the log does."""

FRESH_FACTS = json.dumps(facts_to_json(FRESH), separators=(",", ":"))
SWEEP_ROWS_MAX = 2_000
"""Links of a dead writer's chain looked at in one transaction, to keep it short."""


class LedgerFailed(Exception):
    """The ledger could not do it and must be closed. `in_doubt`: a COMMIT was under way, so perhaps it did."""

    def __init__(self, what: str, *, in_doubt: bool = False) -> None:
        super().__init__(what)
        self.in_doubt = in_doubt


class SessionSeed(NamedTuple):
    """Where a tool session's live row is found, and what a fresh one is made of."""

    slot: str
    agent_id: str
    member_id: str
    key_id: str
    external_id: str
    client_name: str
    client_version: str
    now_us: int


class SessionRow(NamedTuple):
    """The live row of a tool session, locked until the transaction ends."""

    id: str
    slot: str
    agent_id: str
    version: int
    facts: str
    last_activity_at: int


class SessionFacts(NamedTuple):
    """What a session's row becomes."""

    row: SessionRow
    facts: str
    last_activity_at: int


class Turn(Protocol):
    """One transaction, under the lock that orders it against changes of its agents."""

    @property
    def revisions(self) -> Mapping[str, int]:
        """Of the agents that were named and exist."""

    @property
    def sessions(self) -> Mapping[str, SessionRow]:
        """Slot -> live row, for each seed; idle ones were ended and replaced."""

    async def load_world(self, agent_id: str) -> World | None:
        """The agent's world as this transaction sees it; the lock keeps it still."""

    async def load_entities(self, agent_id: str, keys: Collection[EntityKey]) -> Found:
        """What of the agent's entities `keys` mean, as this transaction sees them."""

    async def commit(self, rows: Sequence[Row], sessions: Sequence[SessionFacts]) -> None:
        """Append the rows to this writer's chain, store the facts, COMMIT; without it everything is undone."""


class Ledger(Protocol):
    @property
    def writer(self) -> int:
        """The id that this start registered."""

    async def open(self, now_us: int) -> None:
        """Connect and register as a writer; raises LedgerFailed."""

    def turn(
        self, agents: Collection[str], seeds: Collection[SessionSeed]
    ) -> AbstractAsyncContextManager[Turn]:
        """Begin; leaving it without a commit rolls back. Raises LedgerFailed."""

    async def sweep(self, now_us: int) -> bool:
        """Mark a stretch of what dead writers left open as `interrupted`; whether there is more to do."""

    async def find_entries(self, entry_ids: Collection[str]) -> set[str]:
        """Which of these entries are in the log."""

    async def close(self, stopped_at_us: int | None) -> None:
        """Let go. With an instant: cleanly, and the chain says so; raises LedgerFailed when it cannot."""


def started(now_us: int, heads: Mapping[int, tuple[int, bytes]]) -> Event:
    """Row 1 of a chain: names where the other chains stood, so that cutting one off shows."""
    named = {str(writer): [seq, digest.hex()] for writer, (seq, digest) in sorted(heads.items())}
    return Event(
        at=now_us, kind=EventKind.WRITER_STARTED, body=json.dumps({"heads": named}, separators=(",", ":"))
    )


def stopped(now_us: int) -> Event:
    """Last row of a chain that ended in order."""
    return Event(at=now_us, kind=EventKind.WRITER_STOPPED, body="{}")


def gap(now_us: int, *, count: int, from_us: int, to_us: int) -> Event:
    """Calls that were refused because nothing could be recorded."""
    body = json.dumps({"count": count, "from": from_us, "to": to_us}, separators=(",", ":"))
    return Event(at=now_us, kind=EventKind.GAP, body=body)


def is_idle(row: SessionRow, seed: SessionSeed, idle_us: int) -> bool:
    """Whether the session ended before this call came."""
    return seed.now_us - row.last_activity_at > idle_us
