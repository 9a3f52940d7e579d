"""An entry as the API shows it: the fields of the product's contract, in its order.

Exports render millions of entries, so this goes by places in a row instead of by names, and makes one value of each
field once: `values_of` is what an entry is, `render` puts the names beside it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import orjson
import sqlalchemy as sa

from wicket.core.jsonrpc import render_json_text
from wicket.core.model import Json, JsonObject, Outcome
from wicket.store import tables
from wicket.store.audit.fields import FIELDS
from wicket.store.instants import from_us

AnyRow: TypeAlias = sa.Row[*tuple[Any, ...]]
EntryRow: TypeAlias = Sequence[Any]
"""Columns as of SELECT_ENTRIES, which may be a plain tuple."""
EndingRow: TypeAlias = Sequence[Any]
"""Columns as of SELECT_ENDINGS."""

agent_names: Final = tables.names.alias("agent_names")
service_names: Final = tables.names.alias("service_names")
tool_names: Final = tables.names.alias("tool_names")
audit: Final = tables.audit.c
outcomes: Final = tables.outcomes.c

# Columns of `audit` that are interned come as the names themselves.
SELECT_ENTRIES: Final = (
    sa.select(
        audit.id,
        audit.writer,
        audit.seq,
        audit.decided_at,
        audit.agent_id,
        agent_names.c.name.label("agent_name"),
        service_names.c.name.label("service"),
        tool_names.c.name.label("tool"),
        audit.member_id,
        audit.key_id,
        audit.session_id,
        audit.denied,
        audit.reason_code,
        audit.caller_ip,
        audit.resource,
        audit.reason,
        audit.deny_message,
        audit.body,
        audit.hash,
    )
    .join(agent_names, agent_names.c.id == audit.agent_name)
    .join(service_names, service_names.c.id == audit.service)
    .join(tool_names, tool_names.c.id == audit.tool)
)
SELECT_ENDINGS: Final = sa.select(
    outcomes.entry_id, outcomes.writer, outcomes.seq, outcomes.outcome, outcomes.ended_at, outcomes.body
)
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_CONTROLS: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
"""DEL, C1 and the line separators of Unicode, in UTF-8."""


def load_outcomes(tx: sa.Connection, entry_ids: Sequence[str]) -> Mapping[str, Sequence[EndingRow]]:
    """Entry id -> the rows that say how it ended."""
    found: dict[str, list[EndingRow]] = {}
    for row in tx.execute(SELECT_ENDINGS.where(outcomes.entry_id.in_(entry_ids))):
        found.setdefault(row.entry_id, []).append(row)
    return found


def render(row: EntryRow, endings: Sequence[EndingRow] = (), *, is_withheld: bool = False) -> JsonObject:
    """An entry with its outcomes; `is_withheld` leaves out which policies decided."""
    return dict(zip(FIELDS, values_of(row, endings, is_withheld=is_withheld), strict=True))


def values_of(
    row: EntryRow, endings: Sequence[EndingRow] = (), *, is_withheld: bool = False
) -> tuple[Json, ...]:
    """What stands in each of FIELDS, in their order."""
    entry_id, _, seq, decided_at, agent_id, agent_name, service, tool = row[:8]
    member_id, key_id, session_id, denied, reason_code, caller_ip = row[8:14]
    resource, reason, deny_message, text, digest = row[14:]
    body = load_json(text)
    outcome, ending = current_outcome(endings)
    policies = [] if is_withheld else body["matchedPolicies"]
    for policy in policies:
        policy.pop("digest", None)
    return (
        entry_id,
        render_instant(decided_at),
        agent_id,
        agent_name,
        member_id,
        body.get("memberName"),
        key_id,
        session_id,
        service,
        tool,
        body.get("action"),
        resource or None,
        caller_ip,
        body["toolArgs"],
        "DENY" if denied else "ALLOW",
        body.get("reasonWithheld", reason) if is_withheld else reason,
        [policy["key"] for policy in policies],
        [policy["name"] for policy in policies],
        ending.get("durationMs"),
        body.get("principal"),
        policies[0]["id"] if policies else None,
        reason_code,
        policies,
        None if is_withheld else deny_message,
        body.get("resources", []),
        ending.get("count", 1),
        outcome or outcome_at_first(is_denied=denied),
        ending.get("upstreamStatus"),
        body["decisionMs"],
        ending.get("recordMs"),
        ending.get("upstreamMs"),
        body["requestBytes"],
        ending.get("responseBytes"),
        body["clientName"],
        body["clientVersion"],
        body["protocolVersion"],
        seq,
        digest.hex(),
    )


def outcome_at_first(*, is_denied: bool) -> Outcome:
    """What an entry's outcome is before anything says how it ended."""
    return Outcome.REFUSED if is_denied else Outcome.PENDING


def render_outcome(row: EndingRow) -> JsonObject:
    """What the live view tells when an entry has ended."""
    entry_id, _, _, outcome, _, text = row
    return {"id": entry_id, "outcome": outcome, **load_json(text)}


def current_outcome(endings: Sequence[EndingRow]) -> tuple[str | None, Mapping[str, Any]]:
    """How an entry ended, as far as is known, and what was measured: a late outcome supersedes `interrupted`."""
    if not endings:
        return None, _NOTHING
    _, _, _, outcome, _, text = endings[0] if len(endings) == 1 else max(endings, key=_rank)
    return outcome, load_json(text)


def _rank(row: EndingRow) -> tuple[bool, int]:
    _, _, _, outcome, ended_at, _ = row
    return outcome != Outcome.INTERRUPTED, ended_at


def load_json(text: str) -> dict[str, Any]:
    """An object as it was stored."""
    try:
        loaded: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError:  # it does without halves of surrogate pairs, which are stored escaped
        loaded = json.loads(text)
    return loaded


def render_line(value: Json) -> bytes:
    """JSON on one line, without its end."""
    return escape_controls(dump(value))


def dump(value: Json) -> bytes:
    """Compact JSON."""
    try:
        return orjson.dumps(value)
    except TypeError:  # half of a surrogate pair
        return render_json_text(value).encode()


def escape_controls(text: bytes) -> bytes:
    """JSON in which nothing steers a terminal or ends a line, whoever reads it: JSON itself escapes but the oldest."""
    if text.isascii() and b"\x7f" not in text:
        return text
    return _CONTROLS.sub(lambda match: b"\\u%04x" % ord(match[0].decode()), text)


def render_instant(us: int) -> str:
    """ISO 8601 UTC with the microseconds."""
    second, rest = divmod(us, 1_000_000)
    return f"{_render_second(second)}.{rest:06d}Z"


@lru_cache(maxsize=4_096)
def _render_second(second: int) -> str:
    return from_us(second * 1_000_000).strftime("%Y-%m-%dT%H:%M:%S")
