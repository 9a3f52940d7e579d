"""What both ledgers put into which columns, and the statements that need no parameters."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from wicket.store.audit.entry import CHANGES_WRITER, Entry, Event, Linked, OutcomeRow

Value: TypeAlias = "str | int | bool | bytearray | None"
NameIds: TypeAlias = Mapping[tuple[str, str], int]

AGENT, SERVICE, TOOL = "agent", "service", "tool"
NAMES_CACHED_MAX = 10_000

AUDIT_COLUMNS: Final = {
    "id": "text",
    "writer": "int4",
    "seq": "int8",
    "decided_at": "int8",
    "agent_id": "text",
    "agent_name": "int4",
    "service": "int4",
    "tool": "int4",
    "member_id": "text",
    "key_id": "text",
    "session_id": "text",
    "denied": "bool",
    "reason_code": "text",
    "caller_ip": "text",
    "resource": "text",
    "reason": "text",
    "deny_message": "text",
    "body": "text",
    "hash": "bytea",
}
POLICY_COLUMNS: Final = {"policy_id": "text", "entry_id": "text"}
OUTCOME_COLUMNS: Final = {
    "writer": "int4",
    "seq": "int8",
    "entry_id": "text",
    "outcome": "text",
    "ended_at": "int8",
    "body": "text",
    "hash": "bytea",
}
EVENT_COLUMNS: Final = {
    "writer": "int4",
    "seq": "int8",
    "at": "int8",
    "kind": "text",
    "agent_id": "text",
    "actor_id": "text",
    "body": "text",
    "hash": "bytea",
}

CLOCKS_APART_US = 86_400 * 1_000_000
"""What the clocks of two hosts may differ by, with plenty to spare."""

# The chains that a new writer names: of those who live, and of those who ended since the writer before it began,
# which has named the others.
_TO_NAME: Final = (
    "SELECT id FROM writers WHERE ended_at IS NULL OR ended_at >="  # noqa: S608 - our own number
    " (SELECT coalesce(max(started_at), 0) FROM writers WHERE id < (SELECT max(id) FROM writers))"
    f" - {CLOCKS_APART_US}"
)
# The last link of a chain is in one of three tables; whoever reads this keeps the greatest number of each writer.
HEADS: Final = " UNION ALL ".join(
    [
        f"SELECT l.writer, l.seq, l.hash FROM ({_TO_NAME}) w JOIN {table} l"  # noqa: S608 - our own table names
        f" ON l.writer = w.id AND l.seq = (SELECT max(seq) FROM {table} WHERE writer = w.id)"
        for table in ("audit", "outcomes", "events")
    ]
    + [f"SELECT {CHANGES_WRITER}, seq, hash FROM change_chain"]  # noqa: S608 - our own number
)


def heads_of(rows: Iterable[Sequence[object]]) -> dict[int, tuple[int, bytes]]:
    """Writer -> (seq, hash) out of what HEADS found."""
    heads: dict[int, tuple[int, bytes]] = {}
    for writer, seq, digest in rows:
        if not isinstance(writer, int) or not isinstance(seq, int) or not isinstance(digest, bytes):
            raise TypeError("the head of a chain is damaged")
        if seq > heads.get(writer, (-1, b""))[0]:
            heads[writer] = (seq, digest)
    return heads


def names_in(entries: Iterable[Entry]) -> set[tuple[str, str]]:
    """The names to intern for these entries."""
    names: set[tuple[str, str]] = set()
    for entry in entries:
        names.update(((AGENT, entry.agent_name), (SERVICE, entry.service), (TOOL, entry.tool)))
    return names


def entry_rows(writer: int, linked: Linked, names: NameIds) -> list[tuple[Value, ...]]:
    """Rows for AUDIT_COLUMNS."""
    return [_entry_row(writer, seq, digest, entry, names) for seq, digest, entry in linked.entries]


def _entry_row(writer: int, seq: int, digest: bytes, entry: Entry, names: NameIds) -> tuple[Value, ...]:
    return (
        entry.id,
        writer,
        seq,
        entry.decided_at,
        entry.agent_id,
        names[AGENT, entry.agent_name],
        names[SERVICE, entry.service],
        names[TOOL, entry.tool],
        entry.member_id,
        entry.key_id,
        entry.session_id,
        entry.denied,
        entry.reason_code,
        entry.caller_ip,
        entry.resource,
        entry.reason,
        entry.deny_message,
        entry.body,
        bytearray(digest),
    )


def policy_rows(linked: Linked) -> list[tuple[Value, ...]]:
    """Rows for POLICY_COLUMNS."""
    return [
        (policy_id, entry.id)
        for _, _, entry in linked.entries
        for policy_id in dict.fromkeys(entry.policy_ids)
    ]


def outcome_rows(writer: int, linked: Linked) -> list[tuple[Value, ...]]:
    """Rows for OUTCOME_COLUMNS."""
    return [_outcome_row(writer, *placed) for placed in linked.outcomes]


def _outcome_row(writer: int, seq: int, digest: bytes, row: OutcomeRow) -> tuple[Value, ...]:
    return (writer, seq, row.entry_id, row.outcome, row.ended_at, row.body, bytearray(digest))


def event_rows(writer: int, linked: Linked) -> list[tuple[Value, ...]]:
    """Rows for EVENT_COLUMNS."""
    return [_event_row(writer, *placed) for placed in linked.events]


def _event_row(writer: int, seq: int, digest: bytes, event: Event) -> tuple[Value, ...]:
    return (writer, seq, event.at, event.kind, event.agent_id, event.actor_id, event.body, bytearray(digest))


class Names:
    """Ids of interned names, as far as they are committed."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], int] = {}

    def missing(self, names: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """In the one order that everybody inserts in."""
        return sorted(name for name in names if name not in self._ids)

    def with_new(self, new: Mapping[tuple[str, str], int]) -> Mapping[tuple[str, str], int]:
        return {**self._ids, **new} if new else self._ids

    def remember(self, new: Mapping[tuple[str, str], int]) -> None:
        if len(self._ids) + len(new) > NAMES_CACHED_MAX:
            self._ids.clear()
        self._ids.update(new)
