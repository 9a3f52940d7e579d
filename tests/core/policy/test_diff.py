"""What is said of two versions of a policy."""

import pytest

from tests.core.policy.worlds import raw_policy
from wicket.core.model import Json, JsonObject
from wicket.core.policy.diff import Change, ChangeKind, compare, unified
from wicket.core.policy.document import parse_policy


def said(before: JsonObject, after: JsonObject) -> list[str]:
    return [change.text for change in compare(parse_policy(before), parse_policy(after))]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"tools": ["tier:read", "delete_file"]}, ["adds tool delete_file"]),
        ({"tools": ["a", "b"]}, {"tools": ["b", "c"]}, ["removes tool a", "adds tool c"]),
        ({"tools": ["a", "b"]}, {"tools": ["b", "a"]}, []),
        ({}, {"name": "Other"}, ["name Reads -> Other"]),
        ({}, {"effect": "forbid"}, ["effect permit -> forbid"]),
        (
            {"time": {"hoursFrom": 9, "hoursTo": 17}},
            {"time": {"hoursFrom": 8, "hoursTo": 18}},
            ["hours 9-17 -> 8-18"],
        ),
        ({"time": {"daysOfWeek": [0, 1]}}, {"time": {"daysOfWeek": [1, 6]}},
         ["removes day Sunday", "adds day Saturday"]),
        (
            {"time": {"activeTo": "2026-12-31", "timeZone": "Europe/Berlin"}},
            {"time": {"activeTo": "2027-01-31"}},
            ["last day 2026-12-31 -> 2027-01-31", "removes time zone Europe/Berlin"],
        ),
        (
            {},
            {"principal": {"type": "specific_members", "userIds": ["u1"]}},
            ["type all_members -> specific_members", "adds member u1"],
        ),
        (
            {"effect": "forbid", "denyMessage": "no"},
            {"effect": "forbid", "denyMessage": "never"},
            ["deny message no -> never"],
        ),
        (
            {},
            {"session": [{"type": "toolCount", "tool": "github:push_files", "operator": ">", "value": 5}]},
            ["adds session condition toolCount github:push_files > 5"],
        ),
        (
            {"session": [{"type": "hasLabel", "value": "github:private"}]},
            {},
            ["removes session condition hasLabel is github:private"],
        ),
        ({"network": {"in": ["10.0.0.0/8"]}}, {"network": {"notIn": ["10.0.0.0/8"]}},
         ["removes network 10.0.0.0/8", "adds excepted network 10.0.0.0/8"]),
        ({"enabled": True}, {"enabled": False}, []),
    ],
)  # fmt: skip
def test_a_person_is_told_what_changed(
    before: dict[str, Json], after: dict[str, Json], expected: list[str]
) -> None:
    assert said(raw_policy(**before), raw_policy(**after)) == expected


def test_a_program_is_told_the_field_and_both_values() -> None:
    before = parse_policy(raw_policy(time={"hoursFrom": 9, "hoursTo": 17}))
    after = parse_policy(raw_policy(time={"hoursFrom": 9, "hoursTo": 18}, tools=["tier:read", "get_me"]))
    assert compare(before, after) == (
        Change("tools", ChangeKind.ADDED, None, "get_me", "adds tool get_me"),
        Change("time.hours", ChangeKind.CHANGED, "9-17", "9-18", "hours 9-17 -> 9-18"),
    )


def test_a_version_is_no_other_than_itself() -> None:
    document = parse_policy(raw_policy(network={"in": ["10.0.0.0/8"]}))
    assert compare(document, document) == ()
    assert unified("a\n", "a\n", names=("1", "2")) == ""


def test_texts_are_compared_by_line() -> None:
    text = unified("a\nb\n", "a\nc\n", names=("version 1", "version 2"))
    assert text == "--- version 1\n+++ version 2\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
