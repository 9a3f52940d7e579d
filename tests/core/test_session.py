import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.core.model import Call, Decision, Effect, PolicyEffect, PolicyRef, Reason, Tier
from wicket.core.session import (
    FRESH,
    LABELS_MAX,
    TOOLS_MAX,
    Facts,
    after_call,
    facts_from_json,
    facts_to_json,
)


def call(tool: str = "echo", service: str = "fake") -> Call:
    return Call("tools/call", service, "Custom_fakeMCP", tool, Tier.READ, {}, "user", "member", "127.0.0.1")


def ref(key: str, effect: PolicyEffect = PolicyEffect.PERMIT) -> PolicyRef:
    return PolicyRef(f"id-{key}", key, key, 1, effect)


def allowed(*keys: str) -> Decision:
    return Decision(Effect.ALLOW, Reason.PERMITTED, tuple(ref(key) for key in keys))


def denied(*keys: str) -> Decision:
    matched = tuple(ref(key, PolicyEffect.FORBID) for key in keys)
    return Decision(Effect.DENY, Reason.FORBIDDEN_BY_POLICY, matched)


def test_an_allowed_call_counts_as_a_call_of_its_tool_and_for_the_policies_that_permit_it() -> None:
    after = after_call(FRESH, call(), allowed("a", "b"), frozenset({"fake:private"}))
    assert after == Facts(1, 0, {"fake:echo": 1}, {"a": 1, "b": 1}, {}, frozenset({"fake:private"}))


def test_a_denied_call_counts_as_a_denial_and_touches_nothing() -> None:
    after = after_call(FRESH, call(), denied("a"), frozenset({"fake:private"}))
    assert after == Facts(1, 1, {"fake:echo": 1}, {}, {"a": 1}, frozenset())


def test_a_denial_without_a_policy_counts_for_none() -> None:
    assert after_call(FRESH, call(), Decision()) == Facts(1, 1, {"fake:echo": 1})


def test_facts_before_are_not_touched() -> None:
    before = after_call(FRESH, call(), allowed("a"))
    kept = json.dumps(facts_to_json(before))
    after_call(before, call(), denied("b"))
    assert json.dumps(facts_to_json(before)) == kept
    assert Facts() == FRESH


def test_services_and_tools_are_told_apart() -> None:
    facts = FRESH
    for tool, service in (("echo", "fake"), ("echo", "fake"), ("echo", "other"), ("wipe", "fake")):
        facts = after_call(facts, call(tool, service), allowed())
    assert facts.tools_used == {"fake:echo": 2, "other:echo": 1, "fake:wipe": 1}


def test_what_is_remembered_is_bounded_but_what_is_known_counts_on() -> None:
    facts = FRESH
    for number in range(TOOLS_MAX + 5):
        facts = after_call(facts, call(f"tool{number}"), allowed())
    facts = after_call(facts, call("tool0"), allowed())
    assert len(facts.tools_used) == TOOLS_MAX
    assert facts.tools_used["fake:tool0"] == 2
    assert facts.call_count == TOOLS_MAX + 6
    many = frozenset(f"label{number:04}" for number in range(LABELS_MAX + 5))
    assert len(after_call(FRESH, call(), allowed(), many).labels) == LABELS_MAX


COUNTS = st.dictionaries(st.text(min_size=1, max_size=20), st.integers(1, 10**9), max_size=5)


@given(
    st.builds(
        Facts,
        call_count=st.integers(0, 10**9),
        deny_count=st.integers(0, 10**9),
        tools_used=COUNTS,
        policy_allows=COUNTS,
        policy_denies=COUNTS,
        labels=st.frozensets(st.text(max_size=10), max_size=5),
        member=st.none(),
    )
)
def test_stored_facts_are_read_as_they_were(facts: Facts) -> None:
    assert facts_from_json(json.loads(json.dumps(facts_to_json(facts)))) == facts


@pytest.mark.parametrize(
    "spoil",
    [{"callCount": "1"}, {"denyCount": None}, {"toolsUsed": []}, {"toolsUsed": {"a": "b"}}, {"labels": {}}],
)
def test_damaged_facts_are_never_taken_for_fresh_ones(spoil: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        facts_from_json({**facts_to_json(FRESH), **spoil})
    missing = {name: value for name, value in facts_to_json(FRESH).items() if name not in spoil}
    with pytest.raises(KeyError):
        facts_from_json(missing)
