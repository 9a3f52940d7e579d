import pytest

from tests.core.policy.worlds import call_of
from wicket.core.model import Decision, Effect, PolicyEffect, PolicyRef, Reason
from wicket.core.policy.explain import explain_sentence

NIGHT = PolicyRef("id-1", "night", "No nights", 1, PolicyEffect.FORBID)
OTHER = PolicyRef("id-2", "other", "Other", 3, PolicyEffect.FORBID)
SENTENCES = [
    (
        Decision(Effect.ALLOW, Reason.PERMITTED, (NIGHT,)),
        "permitted: `github__label_write::delete` is allowed for agent `bot` by policy `No nights` version 1",
        "permitted: `github__label_write::delete` is allowed for agent `bot` by policy",
    ),
    (
        Decision(Effect.DENY, Reason.FORBIDDEN_BY_POLICY, (NIGHT, OTHER)),
        (
            "denied: `github__label_write::delete` is forbidden for agent `bot`"
            " by policies `No nights` version 1, `Other` version 3"
        ),
        "denied: `github__label_write::delete` is forbidden for agent `bot` by policy",
    ),
    (
        Decision(),
        "denied: no permit of agent `bot` covers this call of `github__label_write::delete`",
        "denied: no permit of agent `bot` covers this call of `github__label_write::delete`",
    ),
    (
        Decision(Effect.DENY, Reason.POLICY_ERRORED, (NIGHT,), detail="no `ip`"),
        (
            "denied: policy `No nights` version 1 of agent `bot` could not be evaluated"
            " for `github__label_write::delete`: no `ip`"
        ),
        "denied: a policy of agent `bot` could not be evaluated for `github__label_write::delete`",
    ),
]


@pytest.mark.parametrize(("decision", "full", "redacted"), SENTENCES)
def test_the_sentence_names_tool_agent_and_policies_to_who_may_know(
    decision: Decision, full: str, redacted: str
) -> None:
    call = call_of("label_write", selector="delete")
    assert explain_sentence(call, decision, "bot") == full
    assert explain_sentence(call, decision, "bot", with_policies=False) == redacted


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_sentence_without_a_call(reason: Reason) -> None:
    sentence = explain_sentence(None, Decision(reason=reason, detail="`x` is bad"), "bot")
    assert sentence.partition(":")[0] in {
        "permitted",
        "denied",
        "refused",
        "permitted, but no credentials",
    } or (sentence.startswith("permitted, but"))
    assert "{" not in sentence
