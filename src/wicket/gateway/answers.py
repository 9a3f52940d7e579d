"""What the proxy itself says: refusals, denials, `initialize`, `server/discover`.

Every sentence says what to do next. What a caller may not see (policy identities, for a member of a trusted
agent) is left out here, and nowhere else.
"""

from dataclasses import dataclass
from typing import Final

from wicket.core.errors import Refused, RpcCode, Unavailable, UpstreamFailed, WicketError
from wicket.core.jsonrpc import (
    LEGACY_VERSIONS,
    MODERN_VERSIONS,
    Era,
    Request,
    render_error,
    render_result,
)
from wicket.core.model import Decision, DenialShape, Json, JsonObject, Reason, Role, TrustMode
from wicket.core.world import Member, World
from wicket.gateway.http import JSON_HEADERS, Outbound

UNKNOWN_KEY: Final = (
    "unknown member key: ask the agent's owner for access, or generate a key in the dashboard"
)
LIST_TTL_MS: Final = 60_000
SERVER_INFO_META: Final = "io.modelcontextprotocol/serverInfo"

_REFUSALS: Final = {
    Reason.AGENT_DISABLED: "agent `{agent}` is disabled: its owner can enable it again",
    Reason.MEMBER_NOT_APPROVED: "your membership of agent `{agent}` is not approved: ask its owner to approve it",
    Reason.SERVICE_NOT_ENABLED: "service `{service}` is not enabled for agent `{agent}`: its owner can enable it",
    Reason.UNKNOWN_TOOL: "unknown tool `{tool}` of `{service}`: list the tools, or ask the owner to review it",
    Reason.TOOL_CHANGED: "tool `{tool}` of `{service}` has changed or is held back: its owner must review it",
    Reason.RESOURCE_NOT_RECOGNISED: "the call of `{tool}` names no resource that a policy could judge",
    Reason.ARGUMENTS_REJECTED: "arguments of `{tool}` were rejected",
}
NOT_ADMITTED: Final = frozenset({Reason.KEY_REVOKED, Reason.AGENT_DISABLED, Reason.MEMBER_NOT_APPROVED})
"""Answered with 401 or 403, before anything about the call itself."""
_RETRYABLE: Final = frozenset({Reason.RATE_LIMITED, Reason.AUDIT_UNAVAILABLE, Reason.DECISION_EXPIRED})


@dataclass(frozen=True, slots=True)
class Denial:
    """A recorded refusal, with what is needed to word it."""

    world: World
    member: Member
    request: Request
    service: str
    tool: str
    decision: Decision
    entry_id: str


def refusal(refused: Refused, request_id: str | int | None) -> Outbound:
    """The answer of a refusal: its HTTP status, and a JSON-RPC error that echoes the id."""
    data: JsonObject = {name: fact for name, fact in refused.facts.items() if fact is not None}
    if refused.reason is not None:
        data = {"reason": refused.reason.value, "retryable": refused.reason in _RETRYABLE, **data}
    headers = JSON_HEADERS
    if refused.status == 401:  # noqa: PLR2004 - HTTP
        headers = (*headers, ("www-authenticate", 'Bearer realm="wicket"'))
    if refused.retry_after_s is not None:
        headers = (*headers, ("retry-after", str(refused.retry_after_s)))
    return Outbound(
        refused.status, headers, render_error(request_id, refused.rpc_code, refused.sentence, data or None)
    )


def unauthenticated(bearer: str | None) -> Refused:
    """The 401 for whoever sent this bearer, or none."""
    if bearer is not None:
        return unknown_key()
    return Refused(
        "no member key: send one header `Authorization: Bearer <member-key>`",
        rpc_code=RpcCode.INVALID_REQUEST,
        status=401,
    )


def unknown_key() -> Refused:
    """One and the same answer for unknown, revoked and rotated keys."""
    return Refused(UNKNOWN_KEY, rpc_code=RpcCode.INVALID_REQUEST, status=401)


def not_admitted(reason: Reason, world: World, entry_id: str | None = None) -> Refused:
    """The 401 or 403 for a key that `World.refusal` refuses."""
    if reason is Reason.KEY_REVOKED:
        return unknown_key()
    return Refused(
        _REFUSALS[reason].format(agent=world.agent_name),
        rpc_code=RpcCode.INVALID_REQUEST,
        status=403,
        reason=reason,
        decisionId=entry_id,
    )


def rate_limited(retry_after_s: int, entry_id: str) -> Refused:
    """The 429, recorded under `entry_id`."""
    return Refused(
        f"too many calls with this key: try again in {retry_after_s} s",
        rpc_code=RpcCode.INVALID_REQUEST,
        status=429,
        reason=Reason.RATE_LIMITED,
        retry_after_s=retry_after_s,
        decisionId=entry_id,
    )


def malformed(refused: Refused, reason: Reason, entry_id: str) -> Refused:
    """A call whose message is at fault, once it is recorded."""
    recorded = Refused(
        refused.sentence,
        rpc_code=refused.rpc_code,
        status=refused.status,
        reason=reason,
        decisionId=entry_id,
    )
    recorded.facts |= refused.facts
    return recorded


def unknown_service(service: str, entry_id: str | None = None) -> Refused:
    """A service that nobody here has heard of; `entry_id` where the request was a call."""
    return Refused(
        f"unknown service `{service}`: call a tool that `tools/list` names",
        rpc_code=RpcCode.METHOD_NOT_FOUND,
        status=200,
        reason=Reason.SERVICE_NOT_ENABLED,
        decisionId=entry_id,
    )


def unavailable(failed: Unavailable, entry_id: str | None = None) -> Refused:
    """The database does not do its part: nothing can be read, or nothing recorded, and nothing is forwarded."""
    return Refused(
        failed.sentence,
        rpc_code=RpcCode.INTERNAL_ERROR,
        status=503,
        reason=Reason.AUDIT_UNAVAILABLE,
        decisionId=entry_id,
    )


def unasked_response() -> Refused:
    """A posted response where the protocol knows none."""
    return Refused(
        "a response to nothing: this protocol version has no requests of the server",
        rpc_code=RpcCode.INVALID_REQUEST,
    )


def denied(denial: Denial) -> Outbound:
    """The answer of a recorded DENY: HTTP 200 and the denial in the shape that the agent chose."""
    sentence = _denial_sentence(denial)
    data = _denial_data(denial)
    is_tool = denial.request.method == "tools/call"
    if is_tool and denial.world.settings.denial_shape is DenialShape.TOOL_RESULT:
        return Outbound(
            200, body=render_result(denial.request.id, _as_tool_result(denial.request, sentence, data))
        )
    return Outbound(200, body=render_error(denial.request.id, _denial_code(denial), sentence, data))


def _denial_sentence(denial: Denial) -> str:
    decision = denial.decision
    if decision.reason in _REFUSALS:
        sentence = _REFUSALS[decision.reason].format(
            agent=denial.world.agent_name, service=denial.service, tool=denial.tool
        )
        says_which = decision.reason is Reason.ARGUMENTS_REJECTED and decision.detail
        return f"{sentence}: {decision.detail}" if says_which else sentence
    sentence = (
        f"Authorization denied: tool '{denial.tool}' is not permitted for agent '{denial.world.agent_name}'"
    )
    beyond = decision.deny_message or _hint(denial)
    return f"{sentence}. {beyond}" if beyond else sentence


def _hint(denial: Denial) -> str:
    """The nearest permit, for who may know of it."""
    hint = denial.decision.hint
    return "" if hint is None or not may_see_policies(denial.world, denial.member) else hint()


def _denial_code(denial: Denial) -> RpcCode:
    if denial.decision.reason is Reason.UNKNOWN_TOOL and denial.request.era is Era.MODERN:
        return RpcCode.INVALID_PARAMS
    return RpcCode.INVALID_REQUEST


def _denial_data(denial: Denial) -> JsonObject:
    reason = denial.decision.reason
    data: JsonObject = {
        "decisionId": denial.entry_id,
        "reason": reason.value,
        "retryable": reason in _RETRYABLE,
    }
    if may_see_policies(denial.world, denial.member):
        data["matchedPolicies"] = [
            {"id": p.id, "key": p.key, "name": p.name, "version": p.version, "effect": p.effect.value}
            for p in denial.decision.matched
        ]
    if hint := _hint(denial):
        data["nearest"] = hint
    return data


def _as_tool_result(request: Request, sentence: str, data: JsonObject) -> JsonObject:
    content: list[Json] = [{"type": "text", "text": sentence}]
    result: JsonObject = {"content": content, "isError": True, "_meta": {"wicket/denial": data}}
    return complete(request, result)


def may_see_policies(world: World, member: Member) -> bool:
    """On a trusted agent, policy identities are the owner's to see."""
    return member.role is Role.OWNER or world.trust_mode is TrustMode.UNTRUSTED


def complete(request: Request, result: JsonObject) -> JsonObject:
    """A result in the caller's era: every modern result says its type."""
    return {"resultType": "complete", **result} if request.era is Era.MODERN else result


def listed(request: Request, key: str, items: list[Json]) -> Outbound:
    """The result of a list; it is this member's own, so nobody may cache it for others."""
    result = complete(request, {key: items})
    if request.era is Era.MODERN:
        result |= {"ttlMs": LIST_TTL_MS, "cacheScope": "private"}
    return Outbound(200, body=render_result(request.id, result))


def initialized(request: Request, *, version: str, session_id: str, capabilities: JsonObject) -> Outbound:
    """The legacy handshake (MCP 2025-11-25, basic/lifecycle)."""
    asked = request.params.get("protocolVersion")
    result: JsonObject = {
        "protocolVersion": asked
        if isinstance(asked, str) and asked in LEGACY_VERSIONS
        else LEGACY_VERSIONS[-1],
        "capabilities": capabilities,
        "serverInfo": {"name": "wicket", "version": version},
    }
    headers = (*JSON_HEADERS, ("mcp-session-id", session_id))
    return Outbound(200, headers, render_result(request.id, result))


def discovered(request: Request, *, version: str, capabilities: JsonObject) -> Outbound:
    """The modern era's `server/discover` (MCP 2026-07-28)."""
    versions: list[Json] = list(MODERN_VERSIONS)
    result: JsonObject = {
        "resultType": "complete",
        "supportedVersions": versions,
        "capabilities": capabilities,
        "ttlMs": LIST_TTL_MS,
        "cacheScope": "private",
        "_meta": {SERVER_INFO_META: {"name": "wicket", "version": version}},
    }
    return Outbound(200, body=render_result(request.id, result))


def done(request: Request) -> Outbound:
    """The answer to a legacy request that wants nothing but to be heard."""
    return Outbound(200, body=render_result(request.id, {}))


def not_enabled(service: str, world: World) -> Refused:
    """For what is not a call: a connector endpoint whose service the agent has not enabled."""
    return Refused(
        _REFUSALS[Reason.SERVICE_NOT_ENABLED].format(service=service, agent=world.agent_name),
        rpc_code=RpcCode.INVALID_REQUEST,
        status=200,
        reason=Reason.SERVICE_NOT_ENABLED,
    )


def unknown_cursor() -> Refused:
    """For a list that was asked for page by page."""
    return Refused(
        "`cursor` is not one of ours: the list comes whole, ask without it", rpc_code=RpcCode.INVALID_PARAMS
    )


def unknown_session() -> Refused:
    """The 404 of a value that is not ours, or has ended."""
    return Refused(
        "unknown `Mcp-Session-Id`: send `initialize` again", rpc_code=RpcCode.INVALID_REQUEST, status=404
    )


def cut_short(reason: Reason | None, world: World) -> Refused:
    """For a call that was ended while it was under way: by its client, or because its caller lost the right."""
    if reason is None:
        return Refused("cancelled by the client", rpc_code=RpcCode.INVALID_REQUEST, status=200)
    if reason is Reason.KEY_REVOKED:
        return Refused(UNKNOWN_KEY, rpc_code=RpcCode.INVALID_REQUEST, status=403, reason=reason)
    return not_admitted(reason, world)


def no_credentials(missing: WicketError, entry_id: str) -> Refused:
    """The 412 of a call that was authorized."""
    return Refused(
        missing.sentence,
        rpc_code=RpcCode.INTERNAL_ERROR,
        status=412,
        reason=Reason(missing.code),
        decisionId=entry_id,
    )


def decision_expired(entry_id: str) -> Refused:
    """The 503 of a call that was not sent after all."""
    return Refused(
        "the rules changed before the call could be sent: try again",
        rpc_code=RpcCode.INTERNAL_ERROR,
        status=503,
        reason=Reason.DECISION_EXPIRED,
        decisionId=entry_id,
    )


def upstream_failed(failed: UpstreamFailed, entry_id: str) -> Refused:
    """The 502 or 504 of a call that was sent, or could not be: only the latter is worth trying again."""
    retry_after_s = failed.facts.get("retry_after_s")
    refused = Refused(
        failed.sentence,
        rpc_code=RpcCode.INTERNAL_ERROR,
        status=failed.status,
        retry_after_s=retry_after_s if isinstance(retry_after_s, int) else None,
        decisionId=entry_id,
    )
    refused.facts |= {"reason": failed.code, "retryable": failed.code == UpstreamFailed.code}
    return refused


def method_not_found(request: Request) -> Refused:
    """Anything unknown is refused: HTTP 404 in the modern era, 200 before it."""
    return Refused(
        f"unknown method `{request.method}`",
        rpc_code=RpcCode.METHOD_NOT_FOUND,
        status=404 if request.era is Era.MODERN else 200,
    )
