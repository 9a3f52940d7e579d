"""Trying an agent from the dashboard: a real call, as the member who is signed in."""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request
from pydantic import Field, SecretStr

from wicket.api.guards import Guard, by
from wicket.api.http import Caller, Parts, Text, guarded_router
from wicket.api.models import In, Out, RawObject
from wicket.core.mock import MEMBER_KEY_HEADER, MockAnswer, MockCall
from wicket.core.model import Effect, PolicyEffect, Reason
from wicket.store import agents

MemberKey = Annotated[
    SecretStr | None,
    Header(alias=MEMBER_KEY_HEADER, description="Needed where the connection is sealed under it; never kept"),
]

REFUSALS: Final = (
    "not_your_key",
    *(
        reason.value
        for reason in (
            Reason.AGENT_DISABLED,
            Reason.MEMBER_NOT_APPROVED,
            Reason.RATE_LIMITED,
            Reason.NO_CREDENTIALS,
            Reason.MEMBER_KEY_REQUIRED,
            Reason.AUDIT_UNAVAILABLE,
            Reason.DECISION_EXPIRED,
        )
    ),
)


class MockCallIn(In):
    agent_id: Text
    service: Text
    tool: Text
    """Without the service's prefix."""
    arguments: RawObject = Field(default_factory=dict)


class MatchedOut(Out):
    id: str
    key: str
    name: str
    version: int
    effect: PolicyEffect


class MockCallOut(Out):
    decision: Effect
    reason_code: Reason
    reason: str
    entry_id: str
    """Of the audit entry."""
    matched_policies: Sequence[MatchedOut] | None
    """Null for who may not see the agent's policies."""
    result: RawObject | None
    """As the upstream gave it."""
    error: RawObject | None
    """JSON-RPC error, as a client would get it."""

    @classmethod
    def of(cls, answer: MockAnswer) -> "MockCallOut":
        matched = answer.matched
        return cls(
            decision=answer.decision.effect,
            reason_code=answer.decision.reason,
            reason=answer.sentence,
            entry_id=answer.entry_id,
            matched_policies=None
            if matched is None
            else [
                MatchedOut(id=p.id, key=p.key, name=p.name, version=p.version, effect=p.effect)
                for p in matched
            ],
            result=answer.result,
            error=answer.error,
        )


def routes() -> APIRouter:
    """`/api/mcp/mock-call`."""
    router = guarded_router("trying it")
    router.post("/api/mcp/mock-call", **by(Guard.MEMBER, *REFUSALS))(make_mock_call)
    return router


async def make_mock_call(
    body: MockCallIn, request: Request, caller: Caller, parts: Parts, member_key: MemberKey = None
) -> MockCallOut:
    """Make a real call as the caller: decided, recorded, and forwarded where it is permitted.

    What a client would be refused for (agent disabled, not approved, rate limit, nothing connected) is a problem
    with the same HTTP status.
    """
    seen = await parts.db.read(agents.get_agent_of, agent_id=body.agent_id, account_id=caller.account_id)
    call = MockCall(
        agent_id=body.agent_id,
        member_id=seen.member_id,
        service=body.service,
        tool=body.tool,
        arguments=body.arguments,
        caller_ip="" if request.client is None else request.client.host,
        member_key=None if member_key is None else member_key.get_secret_value(),
    )
    return MockCallOut.of(await parts.mock_call(call))
