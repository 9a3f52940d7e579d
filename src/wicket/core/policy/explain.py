"""What the log says of a decision: the sentence that tells why, and what it was decided on."""

from dataclasses import dataclass

from wicket.core.jsonrpc import render_json_text
from wicket.core.model import Call, Decision, Json, JsonObject, PolicyRef, Reason

SENTENCES = {
    Reason.AGENT_DISABLED: "refused: agent `{agent}` is disabled",
    Reason.MEMBER_NOT_APPROVED: "refused: the member is not approved for agent `{agent}`",
    Reason.SERVICE_NOT_ENABLED: "denied: the service of {tool} is not enabled for agent `{agent}`",
    Reason.UNKNOWN_TOOL: "denied: {tool} is no tool that agent `{agent}` knows",
    Reason.TOOL_CHANGED: "denied: the definition of {tool} changed and waits for review",
    Reason.RESOURCE_NOT_RECOGNISED: "denied: {tool} is limited to resources and the call names none",
    Reason.ARGUMENTS_REJECTED: "denied: the arguments of {tool} were rejected",
    Reason.UNKNOWN_SESSION: "refused: the call of {tool} names a session that is not the key's, or has ended",
    Reason.RATE_LIMITED: "refused: the key's rate limit is reached",
    Reason.KEY_REVOKED: "refused: the key was revoked",
    Reason.NO_CREDENTIALS: "permitted, but no credentials are connected for {tool}",
    Reason.MEMBER_KEY_REQUIRED: "permitted, but the credentials of {tool} are sealed under the member's key",
    Reason.AUDIT_UNAVAILABLE: "refused: the call could not be recorded",
    Reason.DECISION_EXPIRED: "refused: the decision grew old before {tool} could be called",
}
"""Why calls end before the policies are asked, or after they have permitted."""


@dataclass(frozen=True, slots=True)
class Told:
    """A decision in the words of the log; two calls that are decided as one are told alike."""

    sentence: str
    resource: str
    """Cedar text of the first resource; empty where the call was not understood."""
    members: str
    """What it was decided on, as members of a JSON object: principal, action, resources, policies, request."""


def tell(call: Call | None, decision: Decision, agent_name: str) -> Told:
    """Put a decision into the log's words."""
    facts: JsonObject = {"matchedPolicies": [_policy(policy) for policy in decision.matched]}
    if call is not None:
        resources: list[Json] = [str(resource.uid) for resource in call.resources]
        facts |= {"principal": str(call.principal), "action": str(call.action), "resources": resources}
    if decision.matched:
        facts["reasonWithheld"] = explain_sentence(call, decision, agent_name, with_policies=False)
    if decision.detail:
        facts["detail"] = decision.detail
    if decision.request is not None:
        facts["request"] = decision.request
    resource = str(call.resources[0].uid) if call is not None and call.resources else ""
    return Told(explain_sentence(call, decision, agent_name), resource, render_json_text(facts)[1:-1])


def _policy(policy: PolicyRef) -> Json:
    return {
        "id": policy.id,
        "key": policy.key,
        "name": policy.name,
        "version": policy.version,
        "effect": policy.effect,
        "digest": policy.digest,
    }


def explain_sentence(
    call: Call | None, decision: Decision, agent_name: str, *, with_policies: bool = True
) -> str:
    """Say why, naming tool, agent and policies; `with_policies=False` for who may not know of policies."""
    tool = "the tool" if call is None else f"`{call.service}__{call.action.id}`"
    agent = f"agent `{agent_name}`"
    by = _policies(decision) if with_policies else ""
    match decision.reason:
        case Reason.PERMITTED:
            return f"permitted: {tool} is allowed for {agent} by {by or 'policy'}"
        case Reason.FORBIDDEN_BY_POLICY:
            return f"denied: {tool} is forbidden for {agent} by {by or 'policy'}"
        case Reason.NO_PERMIT_MATCHED:
            return f"denied: no permit of {agent} covers this call of {tool}"
        case Reason.POLICY_ERRORED:
            why = f": {decision.detail}" if with_policies and decision.detail else ""
            return f"denied: {by or 'a policy'} of {agent} could not be evaluated for {tool}{why}"
        case reason:
            sentence = SENTENCES[reason].format(tool=tool, agent=agent_name)
            return f"{sentence}: {decision.detail}" if decision.detail else sentence


def _policies(decision: Decision) -> str:
    names = ", ".join(f"`{policy.name}` version {policy.version}" for policy in decision.matched)
    noun = "policy" if len(decision.matched) == 1 else "policies"
    return f"{noun} {names}" if names else ""
