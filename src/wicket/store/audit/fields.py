"""The fields of an audit entry on the wire, in the order of its columns, each with what it means."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ExportFormat(StrEnum):
    """What entries are written out as."""

    CSV = "csv"
    JSONL = "jsonl"


FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "id": "the entry's id, a UUID of version 7; `decisionId` of a denial",
        "timestamp": "when the call was decided, ISO 8601 UTC",
        "agentId": "the agent",
        "agentName": "the agent's name at that time",
        "memberId": "the member whose key made the call",
        "memberName": "the member's e-mail address",
        "memberKeyId": "the record of the key, never the key",
        "sessionId": "the tool session, `ts_...`",
        "service": "the connector's key",
        "tool": "the tool's name, without the service",
        "action": "the Cedar action",
        "resource": "the Cedar resource; the first when there are several",
        "callerIp": "the caller's address",
        "toolArgs": "the arguments, with secrets and long texts replaced by a marker of length and keyed digest",
        "decision": "`ALLOW` or `DENY`",
        "reason": "a sentence that says why",
        "matchedPolicyIds": "keys of the policies that decided",
        "matchedPolicyNames": "their names at that time",
        "durationMs": "the whole call, the upstream's share included",
        "principal": "the Cedar principal",
        "policyId": "UUID of the first policy that decided",
        "reasonCode": "the stable code of the reason",
        "matchedPolicies": "the policies that decided: `id` (UUID), `key`, `name`, `version`, `effect`",
        "denyMessage": "the message of the forbid that matched",
        "resources": "every Cedar resource of the call",
        "count": "how many equal refusals of one second the entry stands for",
        "outcome": "how the call ended",
        "upstreamStatus": "HTTP status of the upstream's answer",
        "decisionMs": "time to decide",
        "recordMs": "time until the decision was durable",
        "upstreamMs": "the upstream's share",
        "requestBytes": "size of the request's body",
        "responseBytes": "size of the answer",
        "clientName": "the client, by its own account",
        "clientVersion": "the client's version, by its own account",
        "protocolVersion": "the MCP revision of the request",
        "seq": "the entry's place in the chain of its writer",
        "hash": "the entry's link of the chain, hexadecimal",
    }
)
STRUCTURED: Final = frozenset(
    {"toolArgs", "matchedPolicyIds", "matchedPolicyNames", "matchedPolicies", "resources"}
)
"""Fields that are lists and objects, which cells of CSV hold as JSON."""
