"""The rows of the log, and which of their fields a hash covers, in which order.

Three tables are one log: each row is the (writer, seq)-th link of its writer's chain. Interned names are hashed
as the names themselves, so that a renamed name breaks the chain; JSON is hashed as the text that is stored.
Instants are integer microseconds UTC here, as in the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from wicket.core.chain import GENESIS, Field, link

CHANGES_WRITER = 0
"""The chain of changes made by people, which every process appends to in turn."""


class Table(StrEnum):
    """Which table a link of a chain is in; part of what its hash covers."""

    AUDIT = "audit"
    OUTCOMES = "outcomes"
    EVENTS = "events"


class EventKind(StrEnum):
    """Events that the log writes about itself; changes that people make have kinds of their own."""

    WRITER_STARTED = "writer_started"
    WRITER_STOPPED = "writer_stopped"
    GAP = "gap"
    CHECKPOINT_KEY = "checkpoint_key"
    """In the chain of changes: with which key checkpoints are signed from now on."""
    AUDIT_PRUNED = "audit_pruned"
    """In the chain of changes: how much of the log was pruned."""


class Entry(NamedTuple):
    """One decided call, as it is appended; its fields in the order in which the hash covers them."""

    id: str
    decided_at: int
    agent_id: str
    agent_name: str
    service: str
    tool: str
    member_id: str
    key_id: str
    session_id: str | None
    denied: bool
    reason_code: str
    caller_ip: str
    resource: str
    reason: str
    deny_message: str | None
    body: str
    policy_ids: tuple[str, ...] = ()
    """Of the policies in `body`, for the index of who cites whom."""


class OutcomeRow(NamedTuple):
    """How an entry ended, or how many refusals it stands for; its fields in the order of the hash."""

    entry_id: str
    outcome: str
    ended_at: int
    body: str = "{}"


@dataclass(frozen=True, slots=True)
class Event:
    """Something beside the calls: a writer starts or stops, a gap, a change made by a person."""

    at: int
    kind: str
    body: str
    agent_id: str | None = None
    actor_id: str | None = None


Row: TypeAlias = Entry | OutcomeRow | Event


def entry_fields(writer: int, seq: int, entry: Entry) -> Sequence[Field]:
    """What the hash of an entry covers: all but the index of policies, which are in `body` too."""
    return (writer, seq, *entry[:-1])


def outcome_fields(writer: int, seq: int, row: OutcomeRow) -> Sequence[Field]:
    """What the hash of an outcome covers."""
    return (writer, seq, *row)


def event_fields(writer: int, seq: int, event: Event) -> Sequence[Field]:
    """What the hash of an event covers."""
    return (writer, seq, event.at, event.kind, event.agent_id, event.actor_id, event.body)


def hash_row(previous: bytes, writer: int, seq: int, row: Row) -> bytes:
    """The hash of `row` as link `seq` of the chain of `writer`, behind the link whose hash is `previous`."""
    match row:
        case Entry():
            return link(previous, Table.AUDIT, entry_fields(writer, seq, row))
        case OutcomeRow():
            return link(previous, Table.OUTCOMES, outcome_fields(writer, seq, row))
        case Event():
            return link(previous, Table.EVENTS, event_fields(writer, seq, row))


@dataclass(frozen=True, slots=True)
class Linked:
    """Rows with their places in a chain, ready to be stored."""

    entries: list[tuple[int, bytes, Entry]]
    outcomes: list[tuple[int, bytes, OutcomeRow]]
    events: list[tuple[int, bytes, Event]]
    seq: int
    hash: bytes


class Chain:
    """The head of one writer's chain. It moves only when what was linked has been committed."""

    def __init__(self, writer: int, *, seq: int = 0, previous: bytes = GENESIS) -> None:
        self.writer = writer
        self.seq = seq
        self.hash = previous

    def link(self, rows: Sequence[Row]) -> Linked:
        """Give each row its number and hash behind the head, in the order given."""
        entries, outcomes, events = [], [], []
        seq, last = self.seq, self.hash
        for row in rows:
            seq += 1
            last = hash_row(last, self.writer, seq, row)
            match row:
                case Entry():
                    entries.append((seq, last, row))
                case OutcomeRow():
                    outcomes.append((seq, last, row))
                case Event():
                    events.append((seq, last, row))
        return Linked(entries, outcomes, events, seq, last)

    def advance(self, linked: Linked) -> None:
        """The rows are committed."""
        self.seq, self.hash = linked.seq, linked.hash
