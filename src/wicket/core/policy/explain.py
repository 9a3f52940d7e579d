"""The sentence of an audit entry that says why a call ended as it did."""

from wicket.core.model import Call, Decision, Reason

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
    Reason.AUDIT_UNAVAILABLE: "refused: the call could not be recorded",
    Reason.DECISION_EXPIRED: "refused: the decision grew old before {tool} could be called",
}
"""Why calls end before the policies are asked, or after they have permitted."""


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
    names = ", ".join(f"`{policy.name}`" for policy in decision.matched)
    noun = "policy" if len(decision.matched) == 1 else "policies"
    return f"{noun} {names}" if names else ""
