"""Which condition missed, what it saw, and what it would have taken."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.core.policy.generated import uid
from tests.core.policy.test_document import argument, condition
from tests.core.policy.worlds import NOON, PERMIT_ALL, call_of, raw_policy, world_of
from wicket.core.model import Json, Reason, Resource
from wicket.core.policy import engine
from wicket.core.policy.explanation import Explanation, render_explanation
from wicket.core.session import FRESH, Facts

NIGHT = datetime(2026, 3, 4, 3, 30, tzinfo=UTC)


def explained(
    *raws: dict[str, Json], at: datetime = NOON, facts: Facts = FRESH, ip: str = "192.0.2.7"
) -> Explanation:
    world, call = world_of(*raws), call_of(ip=ip)
    judged = engine.decide(world, call, facts, at)
    return engine.explain_call(world, call, judged.decision)


@pytest.mark.parametrize(
    ("part", "text", "holds"),
    [
        ({"time": {"hoursFrom": 9, "hoursTo": 17}}, "hour was 3, allowed 9-17 UTC", False),
        ({"time": {"hoursFrom": 18, "hoursTo": 8}}, "hour was 3, allowed 18-8 UTC", True),
        (
            {"time": {"hoursFrom": 9, "hoursTo": 17, "timeZone": "Europe/Berlin"}},
            "hour was 4, allowed 9-17 Europe/Berlin",
            False,
        ),
        ({"time": {"daysOfWeek": [0, 6]}}, "day was Wednesday, allowed Sunday, Saturday UTC", False),
        ({"time": {"activeFrom": "2026-03-05"}}, "date was 2026-03-04, allowed from 2026-03-05 UTC", False),
        ({"time": {"activeTo": "2026-03-04"}}, "date was 2026-03-04, allowed to 2026-03-04 UTC", True),
        (
            {"session": [{"type": "denyCount", "operator": "<", "value": 2}]},
            "denyCount was 2, allowed < 2",
            False,
        ),
        (
            {"session": [{"type": "toolCount", "tool": "github:x", "operator": "<", "value": 1}]},
            "toolCount of github:x was 0, allowed < 1",
            True,
        ),
        (
            {"session": [{"type": "hasLabel", "value": "github:private"}]},
            "labels of the session was slack:private, allowed with github:private",
            False,
        ),
        ({"network": {"in": ["10.0.0.0/8"]}}, "address was 192.0.2.7, allowed in 10.0.0.0/8", False),
        ({"network": {"notIn": ["10.0.0.0/8"]}}, "address was 192.0.2.7, allowed outside 10.0.0.0/8", True),
    ],
)
def test_a_condition_says_what_it_saw_and_what_it_takes(
    part: dict[str, Json], text: str, *, holds: bool
) -> None:
    facts = Facts(deny_count=2, labels=frozenset({"slack:private"}))
    (policy,) = explained(raw_policy(**part), at=NIGHT, facts=facts).policies
    assert [(one.text, one.holds) for one in policy.conditions] == [(text, holds)]
    assert policy.matched is holds


def test_the_nearest_permit_is_the_one_that_missed_by_least() -> None:
    hours: dict[str, Json] = {"hoursFrom": 9, "hoursTo": 17}
    found = explained(
        raw_policy(name="Far", time={**hours, "daysOfWeek": [0]}),
        raw_policy(name="Business hours", time=hours),
        raw_policy(name="Never", effect="forbid", network={"in": ["10.0.0.0/8"]}),
        at=NIGHT,
    )
    assert [one.ref.name for one in found.nearest] == ["Business hours", "Far"]
    assert found.text == "nearest: `Business hours`: hour was 3, allowed 9-17 UTC"


def test_what_a_forbid_denied_has_no_nearest_permit() -> None:
    found = explained(raw_policy(**PERMIT_ALL), raw_policy(effect="forbid", time={"hoursFrom": 3, "hoursTo": 3}),
                      at=NIGHT)  # fmt: skip
    assert [(one.matched, [c.text for c in one.conditions]) for one in found.policies] == [
        (True, []),
        (True, ["hour was 3, forbidden 3-3 UTC"]),
    ]
    assert (found.nearest, found.text) == ((), "")


def test_a_condition_that_could_not_be_evaluated_is_neither() -> None:
    world = world_of(raw_policy(network={"in": ["10.0.0.0/8"]}))
    call = call_of(ip="not an address")
    decision = engine.decide(world, call, FRESH, NOON).decision
    assert decision.reason is Reason.POLICY_ERRORED
    (policy,) = engine.explain_call(world, call, decision).policies
    assert [(one.holds, one.text) for one in policy.conditions] == [
        (None, "address was unknown, allowed in 10.0.0.0/8")
    ]


def test_policies_that_do_not_cover_the_call_are_no_part_of_it() -> None:
    assert explained(raw_policy(tools=["tier:write"])) == Explanation()


def test_a_recorded_request_is_explained_as_it_was_then() -> None:
    world, call = world_of(raw_policy(time={"hoursFrom": 9, "hoursTo": 17})), call_of()
    decision = engine.decide(world, call, FRESH, NIGHT).decision
    assert decision.request is not None
    again = engine.explain_again(decision.request, world.policies)
    assert again == engine.explain_call(world, call, decision)
    assert render_explanation(again) == {
        "policies": [
            {
                "id": "id-p0",
                "key": "p0",
                "name": "Reads",
                "version": 1,
                "effect": "permit",
                "matched": False,
                "conditions": [
                    {
                        "field": "time.hours",
                        "holds": False,
                        "seen": 3,
                        "required": "9-17 UTC",
                        "text": "hour was 3, allowed 9-17 UTC",
                    }
                ],
            }
        ],
        "nearest": ["p0"],
        "text": "nearest: `Reads`: hour was 3, allowed 9-17 UTC",
    }


def test_a_condition_on_what_was_redacted_is_not_judged_again() -> None:
    secret: Json = [{"path": "password", "operator": "startsWith", "value": "h"}]
    world = world_of(raw_policy(arguments=secret))
    call = replace(call_of(), arguments={"password": "hunter2"})
    decision = engine.decide(world, call, FRESH, NOON).decision
    assert decision.allowed
    (policy,) = engine.explain_call(world, call, decision).policies
    (finding,) = policy.conditions
    assert finding.holds is None
    assert "hunter2" not in finding.text


def test_a_denial_carries_its_hint_and_works_it_out_once() -> None:
    world = world_of(raw_policy(name="Business hours", time={"hoursFrom": 9, "hoursTo": 17}))
    first, again = (engine.decide(world, call_of(), FRESH, NIGHT).decision for _ in range(2))
    assert first is again
    assert first.hint is not None
    assert first.hint() == "nearest: `Business hours`: hour was 3, allowed 9-17 UTC"
    assert first.hint() is first.hint()
    assert engine.decide(world, call_of(), FRESH, NOON).decision.hint is None


@pytest.mark.parametrize(
    ("limits", "field", "text", "holds"),
    [
        (
            {"restrictions": {"repositories": [{"owner": "other"}]}},
            "restrictions",
            "resource was my-org/site#1, allowed in Owner other",
            False,
        ),
        (
            {"resourceScope": "repository"},
            "resourceScope",
            "type of the resource was PullRequest, allowed repository",
            False,
        ),
        (condition("isDraft", value=True), "conditions.items[0]", "isDraft was True, allowed True", True),
        (condition("size", 3), "conditions.items[0]", "size was unknown, allowed 3", False),
        (
            argument("branch", "startsWith", "release/"),
            "arguments[0]",
            'argument branch was main, allowed startsWith "release/"',
            False,
        ),
    ],
)
def test_a_limit_says_which_resource_or_argument_it_saw(
    limits: dict[str, Json], field: str, text: str, *, holds: bool
) -> None:
    around = (uid("Repository", "my-org/site"), uid("Owner", "my-org"))
    resource = Resource(uid("PullRequest", "my-org/site#1"), around, {"isDraft": True}, frozenset({"size"}))
    world, call = world_of(raw_policy(**limits)), call_of(resources=(resource,), arguments={"branch": "main"})
    judged = engine.decide(world, call, FRESH, NOON)
    (policy,) = engine.explain_call(world, call, judged.decision).policies
    assert [(one.field, one.text, one.holds) for one in policy.conditions] == [(field, text, holds)]
