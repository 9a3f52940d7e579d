"""What would be decided: of one call that nobody makes, or of past calls under a draft."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, Field

from wicket.api import shapes
from wicket.api.explaining import ExplanationOut
from wicket.api.guards import Guard, by
from wicket.api.http import AgentId, ApiParts, Asker, Caller, Parts, Text, guarded_router
from wicket.api.mock_calls import MatchedOut
from wicket.api.models import In, Out, RawObject
from wicket.api.reading import EVENT_STREAM
from wicket.api.replaying import ReplayOut, find_window, replayed
from wicket.connectors import hypothetical
from wicket.connectors.hypothetical import Question
from wicket.connectors.services import catalog
from wicket.core.errors import Invalid, NotFound
from wicket.core.model import Connector, Effect, Reason
from wicket.core.policy.conditions import COUNT_MAX
from wicket.core.policy.document import PolicyDocument, parse_policy
from wicket.core.session import LABELS_MAX, TOOLS_MAX, Facts
from wicket.core.world import AgentPolicy, World
from wicket.store import policies, rights, worlds
from wicket.store.db import Transaction
from wicket.store.lookups import informed_apart

Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Counts = Annotated[dict[str, Count], Field(max_length=TOOLS_MAX)]
LOCALHOST = "127.0.0.1"


class CallIn(In):
    member_id: Text
    service: Text
    tool: Text = Field(description="without the service's prefix")
    arguments: RawObject = Field(default_factory=dict)


class SessionIn(In):
    """Facts of the tool session before the call; those left out are of a fresh one."""

    call_count: Count = 0
    deny_count: Count = 0
    tools_used: Counts = Field(default_factory=dict, description="`github:get_me` -> calls")
    policies_allow_counts: Counts = Field(default_factory=dict, description="policy key -> calls")
    policies_deny_counts: Counts = Field(default_factory=dict, description="policy key -> calls")
    labels: list[Text] = Field(default_factory=list, max_length=LABELS_MAX)

    @property
    def facts(self) -> Facts:
        return Facts(
            self.call_count,
            self.deny_count,
            self.tools_used,
            self.policies_allow_counts,
            self.policies_deny_counts,
            frozenset(self.labels),
        )


class SimulateIn(In):
    """With a `call`, that call is decided; without, past calls are, under a `draft`."""

    call: CallIn | None = None
    at: AwareDatetime | None = Field(None, description="when it is made; now without it")
    session: SessionIn = Field(default_factory=SessionIn)
    ip: Text = Field(LOCALHOST, description="address of the caller")
    draft: Annotated[RawObject, shapes.shape("PolicySave")] | None = Field(
        None, description="a policy that is not saved, as if it were"
    )
    policy_id: Text | None = Field(None, description="the policy that the draft takes the place of")
    from_: Text | None = Field(
        None, alias="from", description="of a replay: ISO date or date-time; a day before `to` without it"
    )
    to: Text | None = Field(None, description="of a replay, inclusive; now without it")


class SimulatedOut(Out):
    decision: Effect
    reason: str
    reason_code: Reason
    matched_policies: Sequence[MatchedOut]
    deny_message: str | None
    request: RawObject | None = Field(description="as Cedar is asked; null where the policies are not asked")
    explanation: ExplanationOut
    connected: bool = Field(
        description="false: a permitted call would end with 412 until the member connects"
    )


def routes() -> APIRouter:
    """`/api/agents/{agentId}/policies/simulate`."""
    router = guarded_router("policies")
    codes = ("unknown_service", "unknown_tool", "limit_reached", "too_many_readers")
    answers: dict[int | str, dict[str, Any]] = {
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}
    }
    router.post(
        "/api/agents/{agentId}/policies/simulate",
        response_model=SimulatedOut | ReplayOut,
        responses=answers,
        **by(Guard.OWNER, *codes),
    )(simulate_policies)
    return router


async def simulate_policies(
    agent_id: AgentId, body: SimulateIn, request: Request, caller: Caller, parts: Parts
) -> Any:
    """Decide a hypothetical call, or what was called before, with a policy as if it were saved.

    With `call`: that one call, needing no connection and no upstream, and recorded nowhere. Whatever a real call would
    be refused for is a decision here: `DENY` with its `reasonCode`.

    Without: the agent's entries of a window, by default of the last 24 hours, under the `draft`, and under the other
    enabled policies alone (`baselineDecision`). `before` is what was recorded; what cannot be decided again is counted
    in `unmatched`, and its row says why. With `Accept: text/event-stream` the rows come as they are decided: events
    `progress`, `rows` and at the end `result`.
    """
    _check_ip(body.ip)
    if body.call is None and body.draft is None:
        raise Invalid("name a `call`, or a `draft` to replay past calls with", field="call")
    document = None if body.draft is None else _parse_draft(body.draft, parts.known_zones)
    world, draft = await parts.db.read(
        _load,
        agent_id=agent_id,
        caller=caller,
        document=document,
        policy_id=body.policy_id,
        local=parts.stdio,
    )
    if body.call is not None:
        drafted = world if draft is None else hypothetical.under(world, draft)
        return await _simulate(parts, drafted, body, body.call)
    assert draft is not None  # noqa: S101 - refused above
    window = find_window(agent_id, from_=body.from_, to=body.to, now=parts.now())
    wants_events = EVENT_STREAM in request.headers.get("accept", "")
    return await replayed(
        parts, world, draft, window, account_id=caller.account_id, wants_events=wants_events
    )


async def _simulate(parts: ApiParts, world: World, body: SimulateIn, call: CallIn) -> SimulatedOut:
    member = world.members.get(call.member_id)
    if member is None:
        raise NotFound(f"no member `{call.member_id}` on this agent; list its members")
    question = Question(
        call.service,
        call.tool,
        call.arguments,
        at=body.at or parts.now(),
        caller_ip=body.ip,
        facts=body.session.facts,
    )
    # Of a large agent the first decision indexes thousands of policies.
    asked = partial(asyncio.to_thread, hypothetical.answer, world, member, question)
    return _render(await informed_apart(parts.db, world, asked))


def _parse_draft(raw: RawObject, known_zones: frozenset[str]) -> PolicyDocument:
    """The policy that is not saved; a bad field is named with where it is."""
    fields = {name: value for name, value in raw.items() if name != "note"}
    try:
        return parse_policy(fields, catalog(), known_zones=known_zones)
    except Invalid as error:
        raise _within_draft(error) from error


def _within_draft(error: Invalid) -> Invalid:
    return Invalid(error.sentence, field=f"draft.{error.field}", code=error.code)


def _check_ip(text: str) -> None:
    try:
        ip_address(text)
    except ValueError as error:
        raise Invalid(f"`{text}` is no IP address: write `192.0.2.7` or `2001:db8::7`", field="ip") from error


def _load(
    tx: Transaction,
    *,
    agent_id: str,
    caller: Asker,
    document: PolicyDocument | None,
    policy_id: str | None,
    local: Mapping[str, Connector],
) -> tuple[World, AgentPolicy | None]:
    """The agent's world, and the draft as a save would bring it into force."""
    seen = rights.require_owner(tx, agent_id=agent_id, account_id=caller.account_id)
    draft: AgentPolicy | None = None
    if document is not None:
        known = policies.load_known_tools(tx, agent_id=agent_id)
        try:
            draft = policies.draft_policy(
                tx, agent=seen.agent, document=document, policy_id=policy_id, known_tools=known
            )
        except Invalid as error:
            raise _within_draft(error) from error
    elif policy_id is not None:
        raise Invalid("`policyId` goes with a `draft`, leave it out", field="policyId")
    world = worlds.load(tx, agent_id, local=local)
    if world is None:
        raise NotFound(f"no agent `{agent_id}`; list the agents")
    return world, draft


def _render(answer: hypothetical.Answer) -> SimulatedOut:
    decision = answer.decision
    return SimulatedOut(
        decision=decision.effect,
        reason=answer.sentence,
        reason_code=decision.reason,
        matched_policies=[
            MatchedOut(id=p.id, key=p.key, name=p.name, version=p.version, effect=p.effect)
            for p in decision.matched
        ],
        deny_message=decision.deny_message,
        request=decision.request,
        explanation=ExplanationOut.of(answer.explanation),
        connected=not answer.lacks_credentials,
    )
