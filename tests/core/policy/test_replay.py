"""Recorded calls decided again: what their redacted arguments still tell."""

from dataclasses import replace
from typing import Any

import pytest

from tests.core.policy.worlds import NOON, PERMIT_ALL, call_of, raw_policy, world_of
from wicket.core.model import Call, Effect, Json, Reason
from wicket.core.policy import engine
from wicket.core.policy.replay import Again, Past, Replay
from wicket.core.redaction import Redactor
from wicket.core.session import FRESH
from wicket.store.instants import to_us

REDACTOR = Redactor(b"a key of the redactor")
SECRET = "hunter2"


def past_with(arguments: dict[str, Json]) -> Past:
    decided = engine.decide(world_of(PERMIT_ALL), call_of(), FRESH, NOON).decision
    body: dict[str, Any] = {
        "request": decided.request,
        "toolArgs": REDACTOR.redact(arguments),
        "matchedPolicies": [],
    }
    call = call_of()
    return Past(
        "id", to_us(NOON), call.service, call.tool, call.member_id, None, call.caller_ip,
        denied=False, reason_code=Reason.PERMITTED, body=body,
    )  # fmt: skip


def no_labels(_: Call) -> frozenset[str]:
    return frozenset()


def again(past: Past, **condition: Json) -> Again:
    draft = raw_policy(effect="forbid", arguments=[condition])
    worlds = world_of(PERMIT_ALL, draft), world_of(PERMIT_ALL)
    return Replay(*worlds, find_gone=lambda _: None, labels_of=no_labels, redactor=REDACTOR).take(past)


@pytest.mark.parametrize(
    ("operator", "value", "effect"),
    [
        ("equals", SECRET, Effect.DENY),
        ("equals", "another", Effect.ALLOW),
        ("notEquals", SECRET, Effect.ALLOW),
        ("in", ["another", SECRET], Effect.DENY),
        ("notIn", ["another"], Effect.DENY),
        ("exists", True, Effect.DENY),
    ],
)
def test_equality_with_what_was_redacted_is_told_by_its_digest(
    operator: str, value: Json, effect: Effect
) -> None:
    past = past_with({"password": SECRET})
    assert SECRET not in str(past.body)
    found = again(past, path="password", operator=operator, value=value)
    assert found.draft is not None
    assert (found.draft.effect, found.unmatched) == (effect, "")


@pytest.mark.parametrize(("operator", "value"), [("startsWith", "h"), ("contains", "unter"), ("atLeast", 3)])
def test_anything_else_of_it_cannot_be_told(operator: str, value: Json) -> None:
    found = again(past_with({"password": SECRET}), path="password", operator=operator, value=value)
    assert (found.draft, found.baseline) == (None, None)
    assert found.unmatched == "the argument `password` was redacted"
    plain = again(past_with({"name": SECRET}), path="name", operator=operator, value=value)
    assert plain.unmatched == ""


def test_items_of_lists_are_told_one_by_one() -> None:
    past = past_with({"logins": [{"password": SECRET}, {"password": "x"}]})
    known = again(past, path="logins[*].password", operator="equals", value=SECRET)
    assert known.draft is not None
    assert known.draft.effect is Effect.DENY
    assert again(past, path="logins[*].password", operator="endsWith", value="2").unmatched


def test_without_the_key_of_the_digests_nothing_redacted_is_judged() -> None:
    draft = raw_policy(
        effect="forbid", arguments=[{"path": "password", "operator": "equals", "value": SECRET}]
    )
    replay = Replay(
        world_of(PERMIT_ALL, draft), world_of(PERMIT_ALL), find_gone=lambda _: None, labels_of=no_labels
    )
    assert replay.take(past_with({"password": SECRET})).unmatched == "the argument `password` was redacted"


def test_what_an_allowed_call_leaves_behind_is_known_to_the_next() -> None:
    draft = raw_policy(effect="forbid", session=[{"type": "hasLabel", "value": "github:private"}])
    replay = Replay(
        world_of(PERMIT_ALL, draft),
        world_of(PERMIT_ALL),
        find_gone=lambda _: None,
        labels_of=lambda _: frozenset({"github:private"}),
    )
    past = replace(past_with({}), session_id="ts_1")
    decided = [replay.take(past).draft for _ in range(2)]
    assert [one.effect for one in decided if one is not None] == [Effect.ALLOW, Effect.DENY]
