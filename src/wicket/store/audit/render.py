"""An entry as the API shows it: the fields of the product's contract, in its order."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from wicket.core.model import Effect, Json, JsonObject, Outcome
from wicket.store import tables
from wicket.store.instants import from_us

AnyRow: TypeAlias = sa.Row[*tuple[Any, ...]]

agent_names: Final = tables.names.alias("agent_names")
service_names: Final = tables.names.alias("service_names")
tool_names: Final = tables.names.alias("tool_names")
audit: Final = tables.audit.c

# Columns of `audit` that are interned come as the names themselves.
SELECT_ENTRIES: Final = (
    sa.select(
        *(column for column in tables.audit.columns if column.name not in {"agent_name", "service", "tool"}),
        agent_names.c.name.label("agent_name"),
        service_names.c.name.label("service"),
        tool_names.c.name.label("tool"),
    )
    .join(agent_names, agent_names.c.id == audit.agent_name)
    .join(service_names, service_names.c.id == audit.service)
    .join(tool_names, tool_names.c.id == audit.tool)
)


def load_outcomes(tx: sa.Connection, entry_ids: Sequence[str]) -> Mapping[str, Sequence[AnyRow]]:
    """Entry id -> the rows that say how it ended."""
    found: dict[str, list[AnyRow]] = {}
    for row in tx.execute(sa.select(tables.outcomes).where(tables.outcomes.c.entry_id.in_(entry_ids))):
        found.setdefault(row.entry_id, []).append(row)
    return found


def render(row: AnyRow, outcomes: Iterable[AnyRow] = (), *, is_withheld: bool = False) -> JsonObject:
    """An entry of SELECT_ENTRIES with its outcomes; `is_withheld` leaves out which policies decided."""
    body = json.loads(row.body)
    outcome, ending = current_outcome(outcomes)
    policies = [] if is_withheld else body["matchedPolicies"]
    entry: JsonObject = {
        "id": row.id,
        "timestamp": render_instant(row.decided_at),
        "agentId": row.agent_id,
        "agentName": row.agent_name,
        "memberId": row.member_id,
        "memberName": body.get("memberName"),
        "memberKeyId": row.key_id,
        "sessionId": row.session_id,
        "service": row.service,
        "tool": row.tool,
        "action": body.get("action"),
        "resource": row.resource or None,
        "callerIp": row.caller_ip,
        "toolArgs": body["toolArgs"],
        "decision": Effect.DENY if row.denied else Effect.ALLOW,
        "reason": body.get("reasonWithheld", row.reason) if is_withheld else row.reason,
        "matchedPolicyIds": [policy["key"] for policy in policies],
        "matchedPolicyNames": [policy["name"] for policy in policies],
        "durationMs": ending.get("durationMs"),
        "principal": body.get("principal"),
        "policyId": policies[0]["id"] if policies else None,
        "reasonCode": row.reason_code,
        "matchedPolicies": [
            {name: policy[name] for name in ("id", "key", "name", "version", "effect")} for policy in policies
        ],
        "denyMessage": None if is_withheld else row.deny_message,
        "resources": body.get("resources", []),
        "count": ending.get("count", 1),
        "outcome": outcome or (Outcome.REFUSED if row.denied else Outcome.PENDING),
    }
    return entry | _measures(body, ending) | {"seq": row.seq, "hash": bytes(row.hash).hex()}


def _measures(body: Mapping[str, Json], ending: Mapping[str, Json]) -> JsonObject:
    return {
        "upstreamStatus": ending.get("upstreamStatus"),
        "decisionMs": body["decisionMs"],
        "recordMs": ending.get("recordMs"),
        "upstreamMs": ending.get("upstreamMs"),
        "requestBytes": body["requestBytes"],
        "responseBytes": ending.get("responseBytes"),
        "clientName": body["clientName"],
        "clientVersion": body["clientVersion"],
        "protocolVersion": body["protocolVersion"],
    }


def render_outcome(row: AnyRow) -> JsonObject:
    """What the live view tells when an entry has ended."""
    body: JsonObject = json.loads(row.body)
    return {"id": row.entry_id, "outcome": row.outcome} | body


def current_outcome(outcomes: Iterable[AnyRow]) -> tuple[str | None, JsonObject]:
    """How an entry ended, as far as is known, and what was measured: a late outcome supersedes `interrupted`."""
    best = max(outcomes, key=lambda row: (row.outcome != Outcome.INTERRUPTED, row.ended_at), default=None)
    return (None, {}) if best is None else (best.outcome, json.loads(best.body))


def render_instant(us: int) -> str:
    """ISO 8601 UTC with the microseconds."""
    return from_us(us).isoformat(timespec="microseconds").replace("+00:00", "Z")
