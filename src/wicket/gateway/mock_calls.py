"""Calls that members make from the dashboard, through the whole path of a call.

What is different is how the caller is let in: by the membership of who is signed in, and not by a key. So a member
may try out an agent before there is any client, and what only the member key opens stays closed without it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from wicket.connectors.resolve import TOOLS_CALL
from wicket.core.errors import Invalid, Limited, NotFound, Refused, WicketError
from wicket.core.jsonrpc import Request, parse_message
from wicket.core.keys import ServerKeys, is_key
from wicket.core.mock import MEMBER_KEY_HEADER, MockAnswer, MockCall
from wicket.core.model import Decision, Effect, Json, JsonObject, Reason
from wicket.core.policy.explain import explain_sentence
from wicket.core.world import Member, MemberKey, World
from wicket.gateway import answers
from wicket.gateway.client_sessions import identify
from wicket.gateway.gateway import Caller, Gateway
from wicket.gateway.http import Inbound
from wicket.runtime.recorder import Recorded
from wicket.runtime.snapshot import Snapshot

CLIENT_NAME: Final = "wicket dashboard"
SESSION: Final = "wicket-dashboard"
"""All of a member's calls from here belong to one tool session."""
_TOLD: Final = frozenset({200, 502, 504})
"""What is an answer to whoever tries a call: decided, and if permitted then sent, or failed at the upstream."""


@dataclass(frozen=True, kw_only=True)
class MockCalls:
    """Makes them."""

    gateway: Gateway
    snapshot: Snapshot
    keys: ServerKeys
    version: str

    async def make(self, call: MockCall) -> MockAnswer:
        """Have it decided, recorded and forwarded; raises WicketError with the status of a real call's refusal."""
        world = await self.snapshot.current_of(call.agent_id)
        member = None if world is None else world.members.get(call.member_id)
        if world is None or member is None:
            raise NotFound(f"there is no agent `{call.agent_id}`: list the agents to find its id")
        key = _key_of(world, member, call.member_key, self.keys)
        inbound = _inbound(call)
        session = identify(inbound, {}, key.id, is_session_ours=True)
        caller = Caller(world, key, member, call.member_key or "", session, is_session_ours=True)
        try:
            request = self._request(inbound)
            recorded, outbound = await self.gateway.try_call(inbound, caller, request)
        except Refused as refused:
            return _refused(refused)
        body = outbound.body if isinstance(outbound.body, bytes) else b""
        return _answer(recorded, member, outbound.status, json.loads(body))

    def _request(self, inbound: Inbound) -> Request:
        message = parse_message(inbound.body, inbound.headers)
        if not isinstance(message, Request):
            raise TypeError("a mock call is rendered as a request")
        return replace(message, client_name=CLIENT_NAME, client_version=self.version)


def _key_of(world: World, member: Member, presented: str | None, server: ServerKeys) -> MemberKey:
    """What the call is admitted by; raises Invalid for a presented key that is not the member's live one."""
    if presented is None:
        live = (key.id for key in world.keys.values() if key.live and key.member_id == member.id)
        return MemberKey.of_membership(member.id, key_id=next(live, member.id))
    digests: Sequence[bytes] = server.digests(presented) if is_key(presented) else ()
    for key in filter(None, map(world.keys.get, digests)):
        if key.live and key.member_id == member.id:
            return key
    raise Invalid(
        f"`{MEMBER_KEY_HEADER}` is not your live key of this agent: send that, or none",
        field=MEMBER_KEY_HEADER,
        code="not_your_key",
    )


def _inbound(call: MockCall) -> Inbound:
    params: JsonObject = {"name": call.tool, "arguments": call.arguments}
    message: JsonObject = {"jsonrpc": "2.0", "id": 1, "method": TOOLS_CALL, "params": params}
    headers = (("content-type", "application/json"), ("x-mcp-session-id", SESSION))
    return Inbound("POST", call.service, headers, json.dumps(message).encode(), call.caller_ip)


def _refused(refused: Refused) -> MockAnswer:
    """What was recorded as a denial in words of its own is an answer; raises WicketError for the rest."""
    entry_id = refused.facts.get("decisionId")
    if refused.status in _TOLD and isinstance(entry_id, str) and refused.reason is not None:
        error: JsonObject = {"code": int(refused.rpc_code), "message": refused.sentence}
        return MockAnswer(
            entry_id, Decision(reason=refused.reason), refused.sentence, matched=None, error=error
        )
    raise _problem(refused.status, refused.code, refused.sentence, entry_id, refused.retry_after_s)


def _answer(recorded: Recorded, member: Member, status: int, told: JsonObject) -> MockAnswer:
    error, result = told.get("error"), told.get("result")
    message = _message(error, result)
    if status not in _TOLD:
        data = error.get("data") if isinstance(error, dict) else None
        reason = data.get("reason") if isinstance(data, dict) else None
        raise _problem(status, str(reason or "refused"), message, recorded.entry_id)
    decision, world = recorded.decision, recorded.world
    sees_policies = answers.may_see_policies(world, member)
    if decision.effect is Effect.ALLOW:
        message = explain_sentence(recorded.call, decision, world.agent_name, with_policies=sees_policies)
    return MockAnswer(
        entry_id=recorded.entry_id,
        decision=decision,
        sentence=message,
        matched=decision.matched if sees_policies else None,
        result=result if isinstance(result, dict) else None,
        error=error if isinstance(error, dict) else None,
    )


def _message(error: Json, result: Json) -> str:
    """What a client would show: of an error, or of a denial in the shape of a result."""
    if isinstance(error, dict):
        return str(error.get("message"))
    content = result.get("content") if isinstance(result, dict) else None
    first = content[0] if isinstance(content, list) and content else None
    return str(first.get("text", "")) if isinstance(first, dict) else ""


def _problem(
    status: int, code: str, sentence: str, entry_id: Json, retry_after_s: int | None = None
) -> WicketError:
    if code == Reason.RATE_LIMITED:
        problem: WicketError = Limited(sentence, code=code, retry_after_s=retry_after_s or 1)
    else:
        problem = WicketError(sentence, code=code, status=status)
    if entry_id is not None:
        problem.facts["entry_id"] = entry_id
    return problem
