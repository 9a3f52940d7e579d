"""A call that nobody makes: decided as a real one would be, with no connection and no upstream."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from wicket.connectors.resolve import TOOLS_CALL, is_known_tool, resolve
from wicket.core.model import Call, Decision, JsonObject, MemberStatus
from wicket.core.policy import engine
from wicket.core.policy.explain import explain_sentence
from wicket.core.policy.explanation import Explanation
from wicket.core.policy.replay import Past
from wicket.core.session import FRESH, Facts
from wicket.core.world import AgentPolicy, Member, MemberKey, World


@dataclass(frozen=True, slots=True)
class Question:
    """What would be called; `tool` is the upstream's own name."""

    service: str
    tool: str
    arguments: JsonObject
    at: datetime
    caller_ip: str
    facts: Facts = FRESH
    """Of the tool session, before the call."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What would be decided."""

    world: World
    member: Member
    call: Call | None
    """None: refused before the policies were asked."""
    decision: Decision
    explanation: Explanation = field(default_factory=Explanation)

    @property
    def sentence(self) -> str:
        return explain_sentence(self.call, self.decision, self.world.agent_name)

    @property
    def lacks_credentials(self) -> bool:
        """Whether the permitted call would still end with 412."""
        if self.call is None or not self.decision.allowed:
            return False
        return not self.world.is_connected(self.member.id, self.call.service)


def answer(world: World, member: Member, question: Question) -> Answer:
    """Decide a call of a member with a live key."""
    key = MemberKey(id="", member_id=member.id, digest=b"", live=True)
    if (reason := world.refusal(key)) is not None:
        return Answer(world, member, None, Decision(reason=reason))
    call = resolve(
        world, member, question.service, question.tool, question.arguments, caller_ip=question.caller_ip
    )
    if isinstance(call, Decision):
        return Answer(world, member, None, call)
    decision = engine.decide(world, call, question.facts, question.at).decision
    return Answer(world, member, call, decision, engine.explain_call(world, call, decision))


def under(world: World, draft: AgentPolicy) -> World:
    """The world as it would be with `draft` in the place of the policy that has its id, or beside the others."""
    drafted = (draft,) if draft.document.enabled else ()
    return replace(world, policies=(*without(world, draft.ref.id).policies, *drafted), slices={})


def without(world: World, policy_id: str) -> World:
    """The world as it would be without a policy."""
    others = tuple(policy for policy in world.policies if policy.ref.id != policy_id)
    return replace(world, policies=others, slices={})


def find_gone(world: World, past: Past) -> str | None:
    """What a recorded call was made of that is there no more, or None."""
    member = world.members.get(past.member_id)
    if member is None or member.status is not MemberStatus.APPROVED:
        return "the member is there no more"
    if past.service not in world.services:
        return "the service is not enabled any more"
    if past.body.get("method", TOOLS_CALL) == TOOLS_CALL and not is_known_tool(
        world, past.service, past.tool
    ):
        return "the tool is there no more"
    return None
