"""What is probably not meant in a policy."""

from datetime import date

import pytest

from tests.core.policy.worlds import bind, raw_policy
from wicket.core.model import Json, Tier, ToolFacts
from wicket.core.policy.document import parse_policy
from wicket.core.policy.lint import lint

TODAY = date(2026, 11, 23)
CATALOG = {
    "get_me": ToolFacts("get_me", Tier.READ),
    "create_issue": ToolFacts("create_issue", Tier.WRITE),
    "old": ToolFacts("old", Tier.WRITE, offered=False),
    "labels": ToolFacts("labels", Tier.WRITE, "method", {"list": Tier.READ, "add": Tier.WRITE}, offered=True),
    **{f"read_{n}": ToolFacts(f"read_{n}", Tier.READ) for n in range(12)},
}
KNOWN = {**CATALOG, "seen": ToolFacts("seen", Tier.DESTRUCTIVE)}


def codes(policy: dict[str, Json], *others: dict[str, Json]) -> list[tuple[str, str]]:
    found = lint(
        parse_policy(raw_policy(tools=["get_me"]) | policy),
        tools=KNOWN,
        catalog=CATALOG,
        others=[bind(parse_policy(raw_policy(**other)), key=f"o{n}") for n, other in enumerate(others)],
        today=TODAY,
    )
    assert all(one.message for one in found)
    return [(one.code.value, one.field) for one in found]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, []),
        ({"tools": ["tier:read"]}, [("unscoped", "tools")]),
        ({"tools": ["tier:read"], "effect": "forbid"}, []),
        ({"tools": ["tier:read"], "time": {"daysOfWeek": [1]}}, []),
        ({"service": "*", "tools": ["*"]}, [("unscoped", "service")]),
        ({"tools": ["seen"]}, [("not_in_catalog", "tools[0]")]),
        ({"tools": ["get_me", "old"]}, [("not_offered", "tools[1]")]),
        ({"time": {"activeTo": "2026-11-22"}}, [("never_matches", "time.activeTo")]),
        ({"time": {"activeTo": "2026-11-23"}}, []),
        ({"network": {"in": ["10.1.0.0/16"], "notIn": ["10.0.0.0/8"]}}, [("never_matches", "network.in")]),
        ({"network": {"in": ["10.0.0.0/8"], "notIn": ["10.1.0.0/16"]}}, []),
        (
            {"session": [{"type": "denyCount", "operator": "<", "value": 0}]},
            [("never_matches", "session[0]")],
        ),
        (
            {
                "session": [
                    {"type": "denyCount", "operator": ">", "value": 3},
                    {"type": "denyCount", "operator": "<=", "value": 3},
                    {"type": "callCount", "operator": "<=", "value": 3},
                ]
            },
            [("never_matches", "session[0]"), ("never_matches", "session[1]")],
        ),
        ({"session": [{"type": "denyCount", "operator": ">=", "value": 3}]}, []),
        ({"name": "Re\u0430ds"}, [("misleading_text", "name")]),
        ({"name": "Reads \u202eetirw"}, [("misleading_text", "name")]),
        ({"name": "Чтение и Reads"}, []),
    ],
)
def test_what_is_probably_not_meant_is_said(policy: dict[str, Json], expected: list[tuple[str, str]]) -> None:
    assert codes(policy) == expected


@pytest.mark.parametrize(
    ("policy", "other", "expected"),
    [
        ({}, {"tools": ["tier:read"]}, [("covered", "tools")]),
        ({}, {"tools": ["tier:read"], "time": {"daysOfWeek": [1]}}, []),
        ({"tools": ["get_me", "create_issue"]}, {"tools": ["tier:read"]}, []),
        ({"tools": ["labels::list"]}, {"tools": ["labels"]}, [("covered", "tools")]),
        ({"tools": ["labels"]}, {"tools": ["labels::list"]}, []),
        ({}, {"tools": ["get_me"], "effect": "forbid"}, [("overruled", "tools")]),
        ({"effect": "forbid"}, {"tools": ["get_me"]}, []),
        ({}, {"service": "*", "tools": ["*"]}, [("covered", "tools")]),
        ({}, {"tools": ["get_me"], "principal": {"type": "specific_members", "userIds": ["u1"]}}, []),
        (
            {"principal": {"type": "specific_members", "userIds": ["u1"]}},
            {"tools": ["get_me"]},
            [("covered", "tools")],
        ),
    ],
)
def test_a_policy_that_another_makes_idle_is_said_to_be(
    policy: dict[str, Json], other: dict[str, Json], expected: list[tuple[str, str]]
) -> None:
    assert codes(policy, other) == expected
