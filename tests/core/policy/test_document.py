import re
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.policy.connectors import CONNECTORS
from tests.core.policy.worlds import raw_policy
from wicket.core.errors import Invalid
from wicket.core.model import Json, JsonObject
from wicket.core.policy import document
from wicket.core.policy.document import PolicyDocument, digest_of, render_policy


def parse_policy(raw: JsonObject, known_zones: frozenset[str] | None = None) -> PolicyDocument:
    return document.parse_policy(raw, CONNECTORS, known_zones=known_zones)


FULL = raw_policy(
    name="No merges at night",
    effect="forbid",
    tools=["merge_pull_request", "pull_request_review_write::submit_pending", "tier:destructive"],
    principal={"type": "specific_members", "userIds": ["u-1", "u-2"]},
    enabled=False,
    denyMessage="Merges wait for the morning.",
    time={
        "daysOfWeek": [1, 2, 3, 4, 5],
        "hoursFrom": 18,
        "hoursTo": 23,
        "activeFrom": "2026-01-10",
        "activeTo": "2026-12-31",
        "timeZone": "Europe/Berlin",
    },
    session=[
        {"type": "denyCount", "operator": ">=", "value": 3},
        {"type": "callCount", "operator": "<", "value": 0},
        {"type": "toolCount", "tool": "github:push_files", "operator": ">", "value": 5},
        {"type": "policyDenyCount", "policy": "no-merges", "operator": "<=", "value": 1_000_000_000},
        {"type": "policyAllowCount", "policy": "reads", "operator": "<=", "value": 1},
        {"type": "hasLabel", "value": "github:private"},
        {"type": "hasLabel", "value": "slack:private", "scope": "member"},
        {"type": "toolCount", "tool": "github:push_files", "operator": ">", "value": 9, "scope": "member"},
    ],
    network={"in": ["10.0.0.0/8", "2001:db8::/32"], "notIn": ["10.1.0.0/16"]},
    restrictions={"repositories": [{"owner": "my-org"}, {"owner": "other", "repo": "site"}]},
    resourceScope="pull_request",
    conditions={
        "match": "any",
        "items": [
            {"type": "isDraft", "value": False},
            {"type": "size", "value": -3},
            {"type": "topic", "value": "web"},
            {"type": "pullRequest", "value": ["other/site#1", "other/site#2"]},
        ],
    },
    arguments=[
        {"path": "branch", "operator": "equals", "value": "main"},
        {"path": "options.force", "operator": "exists", "value": False},
        {"path": "labels", "operator": "contains", "value": 7},
        {"path": "files[*].path", "operator": "notIn", "value": ["a", "b\nc"]},
        {"path": "count", "operator": "atMost", "value": -(2**63)},
    ],
    memberId="6a1f8f3c-8f2f-4f27-a8a5-2f4f3f6f7a10",
)


def test_a_policy_with_every_part_is_rendered_as_it_was_written() -> None:
    assert render_policy(parse_policy(FULL)) == FULL


def test_a_policy_with_required_parts_alone_binds_all_members_and_is_enabled() -> None:
    rendered = render_policy(parse_policy(raw_policy()))
    assert rendered == {**raw_policy(), "principal": {"type": "all_members"}, "enabled": True}


EMPTY: list[tuple[str, Json]] = [
    ("time", {}),
    ("session", []),
    ("network", {}),
    ("network", {"in": None}),
    ("denyMessage", ""),
    ("restrictions", {}),
    ("restrictions", {"repositories": [], "channels": [], "pages": []}),
    ("resourceScope", ""),
    ("conditions", {"match": "all", "items": []}),
    ("arguments", []),
    *(
        (name, None)
        for name in (
            "principal",
            "enabled",
            "denyMessage",
            "time",
            "session",
            "network",
            "memberId",
            "restrictions",
            "resourceScope",
            "conditions",
            "arguments",
        )
    ),
]


@pytest.mark.parametrize(("field", "value"), EMPTY)
def test_an_optional_part_that_is_empty_is_like_an_absent_one(field: str, value: Json) -> None:
    assert parse_policy({**raw_policy(), field: value}) == parse_policy(raw_policy())


SLACK: JsonObject = {"service": "slack"}
EVERYWHERE: JsonObject = {"service": "*", "tools": ["*"]}
EXISTS: JsonObject = {"path": "force", "operator": "exists", "value": True}
AWAY: JsonObject = {"owner": "a", "repo": "../b"}


def condition(kind: Json, value: Json) -> JsonObject:
    return {"conditions": {"items": [{"type": kind, "value": value}]}}


def argument(path: Json, operator: str, value: Json) -> JsonObject:
    return {"arguments": [{"path": path, "operator": operator, "value": value}]}


BAD: list[tuple[str, JsonObject]] = [
    ("name", {"name": ""}),
    ("name", {"name": "   "}),
    ("name", {"name": "x" * 201}),
    ("name", {"name": "line\nbreak"}),
    ("name", {"name": "nul\x00"}),
    ("name", {"name": "half\ud800"}),
    ("name", {"name": 7}),
    ("service", {"service": "GitHub"}),
    ("service", {"service": "1github"}),
    ("service", {"service": "a" * 32}),
    ("service", {"service": "github\n"}),
    ("effect", {"effect": "allow"}),
    ("effect", {"effect": True}),
    ("tools", {"tools": []}),
    ("tools", {"tools": "tier:read"}),
    ("tools", {"tools": [f"t{i}" for i in range(501)]}),
    ("tools", {"tools": ["a", "a"]}),
    ("tools[1]", {"tools": ["a", "tier:admin"]}),
    ("tools[0]", {"tools": ["a::"]}),
    ("tools[0]", {"tools": ["a::b::c"]}),
    ("tools[0]", {"tools": ["with space"]}),
    ("tools[0]", {"tools": ["*"]}),
    ("tools[0]", {"tools": [1]}),
    ("tools[0]", {"tools": ["x" * 129]}),
    ("tools", {"service": "*"}),
    ("tools", {"service": "*", "tools": ["*", "a"]}),
    ("principal", {"principal": "all_members"}),
    ("principal.type", {"principal": {}}),
    ("principal.type", {"principal": {"type": "owner"}}),
    ("principal.userIds", {"principal": {"type": "all_members", "userIds": ["u"]}}),
    ("principal.userIds", {"principal": {"type": "specific_members"}}),
    ("principal.userIds", {"principal": {"type": "specific_members", "userIds": []}}),
    ("principal.userIds", {"principal": {"type": "specific_members", "userIds": ["u", "u"]}}),
    ("principal.userIds[0]", {"principal": {"type": "specific_members", "userIds": ['u"']}}),
    ("principal.who", {"principal": {"type": "all_members", "who": 1}}),
    ("enabled", {"enabled": 1}),
    ("enabled", {"enabled": "true"}),
    ("denyMessage", {"denyMessage": "no"}),
    ("denyMessage", {"effect": "forbid", "denyMessage": "x" * 501}),
    ("denyMessage", {"effect": "forbid", "denyMessage": "\x1b[31m"}),
    ("time", {"time": {"timeZone": "UTC"}}),
    ("time", {"time": []}),
    ("time.daysOfWeek", {"time": {"daysOfWeek": []}}),
    ("time.daysOfWeek", {"time": {"daysOfWeek": [1, 1]}}),
    ("time.daysOfWeek[0]", {"time": {"daysOfWeek": [7]}}),
    ("time.daysOfWeek[0]", {"time": {"daysOfWeek": [True]}}),
    ("time.hoursTo", {"time": {"hoursFrom": 9}}),
    ("time.hoursFrom", {"time": {"hoursTo": 9}}),
    ("time.hoursFrom", {"time": {"hoursFrom": -1, "hoursTo": 3}}),
    ("time.hoursTo", {"time": {"hoursFrom": 1, "hoursTo": 24}}),
    ("time.hoursTo", {"time": {"hoursFrom": 1, "hoursTo": 2.0}}),
    ("time.hoursFrom", {"time": {"hoursFrom": False, "hoursTo": 2}}),
    ("time.activeFrom", {"time": {"activeFrom": "20260110"}}),
    ("time.activeFrom", {"time": {"activeFrom": "2026-02-30"}}),
    ("time.activeTo", {"time": {"activeTo": "2026-01-10T00:00:00"}}),
    ("time.activeTo", {"time": {"activeFrom": "2026-01-10", "activeTo": "2026-01-09"}}),
    ("time.timeZone", {"time": {"hoursFrom": 1, "hoursTo": 2, "timeZone": "../etc/localtime"}}),
    ("time.timeZone", {"time": {"hoursFrom": 1, "hoursTo": 2, "timeZone": 2}}),
    ("time.months", {"time": {"months": [1]}}),
    ("session", {"session": {}}),
    ("session[0]", {"session": ["denyCount"]}),
    ("session[0].type", {"session": [{"operator": ">", "value": 1}]}),
    ("session[0].type", {"session": [{"type": "allowCount", "operator": ">", "value": 1}]}),
    ("session[0].operator", {"session": [{"type": "denyCount", "value": 1}]}),
    ("session[0].operator", {"session": [{"type": "denyCount", "operator": "==", "value": 1}]}),
    ("session[0].value", {"session": [{"type": "denyCount", "operator": ">"}]}),
    ("session[0].value", {"session": [{"type": "denyCount", "operator": ">", "value": True}]}),
    ("session[0].value", {"session": [{"type": "denyCount", "operator": ">", "value": -1}]}),
    ("session[0].value", {"session": [{"type": "denyCount", "operator": ">", "value": 1_000_000_001}]}),
    ("session[0].tool", {"session": [{"type": "toolCount", "operator": ">", "value": 1}]}),
    ("session[0].tool", {"session": [{"type": "toolCount", "tool": "x", "operator": ">", "value": 1}]}),
    ("session[0].tool", {"session": [{"type": "callCount", "tool": "a:b", "operator": ">", "value": 1}]}),
    ("session[0].policy", {"session": [{"type": "policyDenyCount", "operator": ">", "value": 1}]}),
    (
        "session[0].policy",
        {"session": [{"type": "policyDenyCount", "policy": "__extn", "operator": ">", "value": 1}]},
    ),
    ("session[0].operator", {"session": [{"type": "hasLabel", "operator": ">", "value": "x"}]}),
    ("session[0].value", {"session": [{"type": "hasLabel", "value": 3}]}),
    (
        "session[0].scope",
        {"session": [{"type": "denyCount", "operator": ">", "value": 1, "scope": "agent"}]},
    ),
    ("session[0].window", {"session": [{"type": "denyCount", "operator": ">", "value": 1, "window": 1}]}),
    ("network", {"network": ["10.0.0.0/8"]}),
    ("network.in", {"network": {"in": []}}),
    ("network.in", {"network": {"in": "10.0.0.0/8"}}),
    ("network.in", {"network": {"in": ["10.0.0.1", "10.0.0.1/32"]}}),
    ("network.in[0]", {"network": {"in": ["10.0.0.1/8"]}}),
    ("network.in[0]", {"network": {"in": [167772160]}}),
    ("network.notIn[0]", {"network": {"notIn": ["example.org"]}}),
    ("network.notIn[0]", {"network": {"notIn": ["fe80::%eth0/64"]}}),
    ("network.notIn[0]", {"network": {"notIn": ["::ffff:10.0.0.0/104"]}}),
    ("network.out", {"network": {"out": ["10.0.0.0/8"]}}),
    ("memberId", {"memberId": ""}),
    ("memberId", {"memberId": 4}),
    ("restrictions", {"restrictions": []}),
    ("restrictions.teams", {"restrictions": {"teams": []}}),
    ("restrictions.channels", {"restrictions": {"channels": ["C1"]}}),
    ("restrictions.repositories", {"restrictions": {"repositories": False}}),
    ("restrictions.repositories", {"restrictions": {"repositories": [{"owner": "a"}, {"owner": "A"}]}}),
    ("restrictions.repositories[0]", {"restrictions": {"repositories": ["my-org"]}}),
    ("restrictions.repositories[0].owner", {"restrictions": {"repositories": [{"repo": "site"}]}}),
    ("restrictions.repositories[0].owner", {"restrictions": {"repositories": [{"owner": "?"}]}}),
    ("restrictions.repositories[0].owner", {"restrictions": {"repositories": [{"owner": "\u212aeep"}]}}),
    ("restrictions.repositories[1].repo", {"restrictions": {"repositories": [{"owner": "a"}, AWAY]}}),
    ("restrictions.channels[0]", {**SLACK, "restrictions": {"channels": ["?"]}}),
    ("restrictions.channels[0]", {**SLACK, "restrictions": {"channels": [7]}}),
    ("restrictions.channels", {**EVERYWHERE, "restrictions": {"channels": ["C1"]}}),
    ("resourceScope", {"resourceScope": "PullRequest"}),
    ("resourceScope", {"resourceScope": ["pull_request"]}),
    ("resourceScope", {**EVERYWHERE, "resourceScope": "pull_request"}),
    ("conditions", {"conditions": [{"type": "isDraft", "value": False}]}),
    ("conditions.match", {"conditions": {"match": "none", "items": []}}),
    ("conditions.items", {"conditions": {"items": {"type": "isDraft", "value": False}}}),
    ("conditions.items[0].type", condition("labels", "x")),
    ("conditions.items[0].type", {**SLACK, **condition("isDraft", value=False)}),
    ("conditions.items[0].type", {**EVERYWHERE, **condition("isDraft", value=False)}),
    ("conditions.items[0].type", condition(["isDraft"], value=False)),
    ("conditions.items[0].value", condition("isDraft", None)),
    ("conditions.items[0].value", condition("isDraft", "false")),
    ("conditions.items[0].value", condition("isDraft", [False])),
    ("conditions.items[0].value", condition("size", value=True)),
    ("conditions.items[0].value", condition("size", 1.0)),
    ("conditions.items[0].value", condition("size", 2**53)),
    ("conditions.items[0].value", condition("visibility", "secret")),
    ("conditions.items[0].value", condition("topic", "Web")),
    ("conditions.items[0].value", condition("topic", "?")),
    ("conditions.items[0].value", condition("topic", ["web"])),
    ("conditions.items[0].value", condition("pullRequest", "other/site")),
    ("conditions.items[0].value", condition("pullRequest", [])),
    ("conditions.items[0].value", condition("pullRequest", ["a/b#1", "A/B#1"])),
    ("conditions.items[0].value[1]", condition("pullRequest", ["a/b#1", "a/b#1x"])),
    ("arguments", {"arguments": False}),
    ("arguments", {"arguments": [EXISTS, EXISTS]}),
    ("arguments", {**EVERYWHERE, "arguments": [EXISTS]}),
    ("arguments[0].path", argument("", "equals", "x")),
    *(
        ("arguments[0].path", argument(path, "equals", "x"))
        for path in (".a", "a.", "a..b", "a[0]", "[*]", "a[*", "a b", "a[*][*]", 'a"', 7, "x" * 301)
    ),
    ("arguments[0].path", argument(".".join("abcdefghi"), "equals", "x")),
    ("arguments[0].operator", argument("a", "matches", "x")),
    ("arguments[0].value", argument("a", "exists", "true")),
    ("arguments[0].value", argument("a", "exists", None)),
    ("arguments[0].value", argument("a", "equals", ["x"])),
    ("arguments[0].value", argument("a", "equals", "x" * 1_001)),
    ("arguments[0].value", argument("a", "equals", "nul\x00")),
    ("arguments[0].value", argument("a", "equals", "half\ud800")),
    ("arguments[0].value", argument("a", "equals", 2**63)),
    ("arguments[0].value", argument("a", "in", "x")),
    ("arguments[0].value", argument("a", "in", [])),
    ("arguments[0].value", argument("a", "in", ["x", 1])),
    ("arguments[0].value", argument("a", "in", [1, True])),
    ("arguments[0].value", argument("a", "notIn", ["x", "x"])),
    ("arguments[0].value[1]", argument("a", "notIn", ["x", {}])),
    ("arguments[0].value", argument("a", "startsWith", 1)),
    ("arguments[0].value", argument("a", "endsWith", value=False)),
    ("arguments[0].value", argument("a", "contains", value=False)),
    ("arguments[0].value", argument("a", "atLeast", "1")),
    ("arguments[0].value", argument("a", "atMost", 1.5)),
    ("arguments[0].regex", {"arguments": [{**EXISTS, "regex": "x"}]}),
    ("Tools", {"Tools": ["tier:read"]}),
    ("id", {"id": "x"}),
]


@pytest.mark.parametrize(("field", "changes"), BAD)
def test_a_bad_policy_is_refused_by_the_path_of_its_bad_field(field: str, changes: JsonObject) -> None:
    with pytest.raises(Invalid) as refused:
        parse_policy({**raw_policy(), **changes})
    assert refused.value.field == field


@pytest.mark.parametrize("field", ["name", "service", "effect", "tools"])
def test_a_required_field_that_is_missing_or_null_is_named(field: str) -> None:
    for raw in (raw_policy(**{field: None}), {**raw_policy(), field: None}):
        with pytest.raises(Invalid) as refused:
            parse_policy(raw)
        assert refused.value.field == field


def test_a_zone_that_is_not_known_is_refused_where_zones_are_known() -> None:
    raw = raw_policy(time={"hoursFrom": 1, "hoursTo": 2, "timeZone": "Europe/Atlantis"})
    with pytest.raises(Invalid) as refused:
        parse_policy(raw, known_zones=frozenset({"UTC", "Europe/Berlin"}))
    assert refused.value.field == "time.timeZone"
    assert parse_policy(raw).time is not None


def test_every_zone_of_the_database_can_be_spelled_in_a_policy() -> None:
    zones = frozenset(zoneinfo.available_timezones())
    for zone in zones:
        raw = raw_policy(time={"daysOfWeek": [0], "timeZone": zone})
        assert render_policy(parse_policy(raw, known_zones=zones))["time"] == raw["time"]


def test_networks_are_written_in_one_spelling() -> None:
    raw = raw_policy(network={"in": ["10.0.0.1", "2001:DB8:0::/32"]})
    assert render_policy(parse_policy(raw))["network"] == {"in": ["10.0.0.1/32", "2001:db8::/32"]}


def test_a_digest_is_that_of_document_and_version_but_not_of_the_toggle() -> None:
    document = parse_policy(FULL)
    assert digest_of(document, 1) == digest_of(parse_policy({**FULL, "enabled": True}), 1)
    assert digest_of(document, 1) != digest_of(document, 2)
    assert digest_of(document, 1) != digest_of(parse_policy({**FULL, "name": "Other"}), 1)
    assert len(digest_of(document, 1)) == 64


JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def is_readable(raw: JsonObject) -> bool:
    try:
        parse_policy(raw)
    except Invalid:
        return False
    return True


@given(field=st.sampled_from(sorted(FULL)), value=JSON)
def test_whatever_stands_in_a_field_is_read_or_refused_by_name(field: str, value: Json) -> None:
    raw = {**FULL, field: value}
    if is_readable(raw):
        assert parse_policy(render_policy(parse_policy(raw))) == parse_policy(raw)
    else:
        with pytest.raises(Invalid) as refused:
            parse_policy(raw)
        assert re.match(r"\w+", refused.value.field)


def test_names_are_folded_where_the_service_ignores_case() -> None:
    raw = raw_policy(
        restrictions={"repositories": [{"owner": "My-Org", "repo": "Site"}]},
        **condition("pullRequest", "My-Org/Site#12"),
    )
    rendered = render_policy(parse_policy(raw))
    assert rendered["restrictions"] == {"repositories": [{"owner": "my-org", "repo": "site"}]}
    items = [{"type": "pullRequest", "value": "my-org/site#12"}]
    assert rendered["conditions"] == {"match": "all", "items": items}


def test_a_service_that_nobody_described_has_no_resources_to_speak_of() -> None:
    for field in ({"resourceScope": "pull_request"}, condition("isDraft", value=True)):
        with pytest.raises(Invalid) as refused:
            document.parse_policy(raw_policy(**field))
        assert refused.value.field.startswith(next(iter(field)))
    assert document.parse_policy(raw_policy(arguments=[EXISTS])).arguments


def test_a_number_with_a_fraction_is_compared_as_text() -> None:
    read = parse_policy(raw_policy(**argument("ratio", "equals", 1.50)))
    assert read.arguments[0].values == ("1.5",)
