import json

import cedarpy
import pytest

from tests.core.policy.connectors import CONNECTORS
from tests.core.policy.test_document import FULL, argument, condition
from tests.core.policy.worlds import NAMESPACE, raw_policy
from wicket.core.errors import Invalid
from wicket.core.model import Json, JsonObject, PolicyEffect
from wicket.core.policy import document as documents
from wicket.core.policy.compile import compile_policy, conditions_of, paths_read
from wicket.core.policy.conditions import NETWORKS_MAX, SESSION_CONDITIONS_MAX, CountFact
from wicket.core.policy.document import TOOLS_MAX, USERS_MAX, PolicyDocument
from wicket.core.policy.engine import render_cedar
from wicket.core.policy.text import render_text


def parse_policy(raw: JsonObject) -> PolicyDocument:
    return documents.parse_policy(raw, CONNECTORS)


def when(effect: str, body: str) -> str:
    return f'{effect}(principal, action in [GitHubMCP::Action::"tier:read"], resource) when {{ {body} }};'


FORBID: JsonObject = {"effect": "forbid"}
EVERYWHERE: JsonObject = {"service": "*", "tools": ["*"]}
NIGHT: JsonObject = {"hoursFrom": 22, "hoursTo": 5}
TEXTS: list[tuple[JsonObject, str]] = [
    (
        {"tools": ["delete_file"]},
        'permit(principal, action in [GitHubMCP::Action::"delete_file"], resource);',
    ),
    (
        {"tools": ["label_write::delete", "tier:read"]},
        (
            "permit(principal, action in "
            '[GitHubMCP::Action::"label_write::delete", GitHubMCP::Action::"tier:read"], resource);'
        ),
    ),
    (
        {"principal": {"type": "specific_members", "userIds": ["u1"]}},
        'permit(principal == GitHubMCP::User::"u1", action in [GitHubMCP::Action::"tier:read"], resource);',
    ),
    (
        {"tools": ["x"], "principal": {"type": "specific_members", "userIds": ["u1", "u2"]}},
        (
            'permit(principal, action in [GitHubMCP::Action::"x"], resource) '
            'when { [GitHubMCP::User::"u1", GitHubMCP::User::"u2"].contains(principal) };'
        ),
    ),
    (
        {**EVERYWHERE, "principal": {"type": "specific_members", "userIds": ["u1"]}, "time": NIGHT},
        (
            "permit(principal, action, resource) when "
            '{ ["u1"].contains(context.userId) && (context.time.hour >= 22 || context.time.hour <= 5) };'
        ),
    ),
    (
        {
            **EVERYWHERE,
            "effect": "forbid",
            "time": {"hoursFrom": 9, "hoursTo": 17, "activeTo": "2026-12-31", "timeZone": "Asia/Tokyo"},
        },
        (
            'forbid(principal, action, resource) when { context.time["in"]["Asia/Tokyo"].date <= 20261231 '
            '&& context.time["in"]["Asia/Tokyo"].hour >= 9 && context.time["in"]["Asia/Tokyo"].hour <= 17 };'
        ),
    ),
    (
        {**EVERYWHERE, "session": [{"type": "toolCount", "tool": "a:b", "operator": ">", "value": 5}]},
        (
            'permit(principal, action, resource) when { (if context.session.toolsUsed has "a:b" '
            'then context.session.toolsUsed["a:b"] else 0) > 5 };'
        ),
    ),
    (
        {**EVERYWHERE, "session": [{"type": "hasLabel", "value": 'a"\\'}]},
        r'permit(principal, action, resource) when { context.session.labels.contains("a\"\\") };',
    ),
    (
        {**EVERYWHERE, "network": {"in": ["10.0.0.0/8"], "notIn": ["10.1.0.0/16", "10.2.0.0/16"]}},
        (
            'permit(principal, action, resource) when { context.ip.isInRange(ip("10.0.0.0/8")) && '
            '!(context.ip.isInRange(ip("10.1.0.0/16")) || context.ip.isInRange(ip("10.2.0.0/16"))) };'
        ),
    ),
]


OWN: JsonObject = {"repositories": [{"owner": "my-org"}, {"owner": "other", "repo": "site"}]}
PULLS: JsonObject = {"type": "pullRequest", "value": ["a/b#1", "a/b#2"]}
DRAFT: JsonObject = {"type": "isDraft", "value": False}
OF_EACH: JsonObject = argument("files[*].path", "startsWith", "src/")
RESOURCES: list[tuple[JsonObject, str, str]] = [
    (
        {"restrictions": OWN},
        ('resource in [GitHubMCP::Owner::"my-org"] || resource in [GitHubMCP::Repository::"other/site"]'),
        (
            'resource in [GitHubMCP::Owner::"my-org", GitHubMCP::Owner::"?"] || '
            'resource in [GitHubMCP::Repository::"other/site", GitHubMCP::Repository::"?"]'
        ),
    ),
    (
        {"resourceScope": "pull_request"},
        "resource is GitHubMCP::PullRequest",
        (
            "resource is GitHubMCP::PullRequest || resource is GitHubMCP::Search || "
            'resource has "unknown" && resource.unknown.contains("PullRequest")'
        ),
    ),
    (
        condition("isDraft", value=False),
        'resource has "isDraft" && resource.isDraft == false',
        (
            'resource has "isDraft" && resource.isDraft == false || '
            'resource has "unknown" && resource.unknown.contains("isDraft")'
        ),
    ),
    (
        condition("topic", "web"),
        'resource has "topics" && resource.topics.contains("web")',
        (
            'resource has "topics" && resource.topics.contains("web") || '
            'resource has "unknown" && resource.unknown.contains("topics")'
        ),
    ),
    (
        {"conditions": {"items": [PULLS, {"type": "pullRequest", "value": "c/d#3"}]}},
        (
            'resource in [GitHubMCP::PullRequest::"a/b#1", GitHubMCP::PullRequest::"a/b#2", '
            'GitHubMCP::PullRequest::"c/d#3"]'
        ),
        (
            'resource in [GitHubMCP::PullRequest::"a/b#1", GitHubMCP::PullRequest::"a/b#2", '
            'GitHubMCP::PullRequest::"c/d#3", GitHubMCP::PullRequest::"?"]'
        ),
    ),
    (
        {"resourceScope": "repository", "conditions": {"match": "any", "items": [DRAFT, PULLS]}},
        (
            'resource is GitHubMCP::Repository && (resource has "isDraft" && resource.isDraft == false || '
            'resource in [GitHubMCP::PullRequest::"a/b#1", GitHubMCP::PullRequest::"a/b#2"])'
        ),
        (
            "(resource is GitHubMCP::Repository || resource is GitHubMCP::Search || "
            'resource has "unknown" && resource.unknown.contains("Repository")) && '
            '(resource has "isDraft" && resource.isDraft == false || '
            'resource has "unknown" && resource.unknown.contains("isDraft") || resource in '
            '[GitHubMCP::PullRequest::"a/b#1", GitHubMCP::PullRequest::"a/b#2", GitHubMCP::PullRequest::"?"])'
        ),
    ),
]
COMPARED: list[tuple[str, Json, str, str]] = [
    (
        "equals",
        "main",
        'context.arguments.texts has "branch"',
        'context.arguments.texts.branch == "main"',
    ),
    ("notEquals", 7, 'context.arguments.numbers has "branch"', "context.arguments.numbers.branch != 7"),
    (
        "in",
        [True],
        'context.arguments.flags has "branch"',
        "[true].contains(context.arguments.flags.branch)",
    ),
    (
        "notIn",
        ["a", "b"],
        'context.arguments.texts has "branch"',
        '!["a", "b"].contains(context.arguments.texts.branch)',
    ),
    (
        "startsWith",
        'a*"',
        'context.arguments.texts has "branch"',
        r'context.arguments.texts.branch like "a\*\"*"',
    ),
    (
        "endsWith",
        "\n\\",
        'context.arguments.texts has "branch"',
        r'context.arguments.texts.branch like "*\n\\"',
    ),
    (
        "contains",
        7,
        'context.arguments.numberLists has "branch"',
        "context.arguments.numberLists.branch.contains(7)",
    ),
    ("atLeast", 7, 'context.arguments.numbers has "branch"', "context.arguments.numbers.branch >= 7"),
    ("atMost", -7, 'context.arguments.numbers has "branch"', "context.arguments.numbers.branch <= -7"),
    (
        "exists",
        False,
        'context.arguments.present has "branch"',
        "context.arguments.present.branch == false",
    ),
]
ARGUMENTS: list[tuple[JsonObject, str, str]] = [
    (
        argument("branch", operator, value),
        f"{has} && {test}",
        f"if {has} then {test} else true",
    )
    for operator, value, has, test in COMPARED
] + [
    (
        argument("a.b", "contains", "x"),
        (
            'context.arguments.texts has "a.b" && context.arguments.texts["a.b"] like "*x*" || '
            'context.arguments.textLists has "a.b" && context.arguments.textLists["a.b"].contains("x")'
        ),
        (
            'if context.arguments.texts has "a.b" then context.arguments.texts["a.b"] like "*x*" else '
            'if context.arguments.textLists has "a.b" then context.arguments.textLists["a.b"].contains("x") '
            "else true"
        ),
    ),
    (
        OF_EACH,
        r'context.arguments.all["files[*].path startsWith \"src/\""]',
        r'context.arguments.any["files[*].path startsWith \"src/\""]',
    ),
    (
        argument("__entity", "equals", 1),
        'context.arguments.numbers has ".__entity" && context.arguments.numbers[".__entity"] == 1',
        (
            'if context.arguments.numbers has ".__entity" then context.arguments.numbers[".__entity"] == 1 '
            "else true"
        ),
    ),
]
TEXTS += [(changes, when("permit", body)) for changes, body, _ in (*RESOURCES, *ARGUMENTS)]
TEXTS += [({**changes, **FORBID}, when("forbid", body)) for changes, _, body in (*RESOURCES, *ARGUMENTS)]
TEXTS += [
    (
        {"session": [{"type": "toolCount", "tool": "a:b", "operator": ">", "value": 5, "scope": "member"}]},
        when("permit", 'context.memberSessions.toolsUsed["a:b"] > 5'),
    ),
    (
        {**FORBID, "session": [{"type": "hasLabel", "value": "x", "scope": "member"}]},
        when("forbid", 'context.memberSessions.labels.contains("x")'),
    ),
]


@pytest.mark.parametrize(("changes", "text"), TEXTS)
def test_a_policy_is_written_as_cedar(changes: JsonObject, text: str) -> None:
    assert render_text(compile_policy(parse_policy(raw_policy(**changes)), NAMESPACE)) == text


def meaning_of(text: str) -> Json:
    """Read Cedar text; how a chain of `&&` or `||` leans is taken for the same."""
    read: Json = json.loads(cedarpy.policies_to_json_str(text))
    return flattened(read)


def flattened(node: Json) -> Json:
    if isinstance(node, list):
        return [flattened(item) for item in node]
    if not isinstance(node, dict):
        return node
    for operator in ("&&", "||"):
        if operator in node:
            return {operator: [part for side in sides(node, operator) for part in parts_of(side, operator)]}
    return {name: flattened(value) for name, value in node.items()}


def sides(node: JsonObject, operator: str) -> list[Json]:
    both = node[operator]
    return [both["left"], both["right"]] if isinstance(both, dict) else []


def parts_of(node: Json, operator: str) -> list[Json]:
    flat = flattened(node)
    parts = flat.get(operator) if isinstance(flat, dict) else None
    return parts if isinstance(parts, list) else [flat]


@pytest.mark.parametrize("raw", [FULL, *(raw_policy(**changes) for changes, _ in TEXTS)])
def test_the_text_that_people_see_is_the_policy_that_is_enforced(raw: JsonObject) -> None:
    document = parse_policy(raw)
    compiled = {"policy0": compile_policy(document, NAMESPACE)}
    enforced = json.dumps({"staticPolicies": compiled, "templates": {}, "templateLinks": []})
    seen = render_cedar(document, NAMESPACE)
    assert meaning_of(seen) == meaning_of(cedarpy.policies_from_json_str(enforced))


def test_the_id_of_a_policy_becomes_its_annotation() -> None:
    compiled = compile_policy(parse_policy(raw_policy()), NAMESPACE, "an-id")
    assert compiled["annotations"] == {"id": "an-id"}
    assert render_text(compiled).startswith('@id("an-id") permit(')


def test_the_largest_policy_compiles_and_is_rendered() -> None:
    count: JsonObject = {"type": "toolCount", "tool": "github:push_files", "operator": ">", "value": 1}
    networks: list[Json] = [f"10.{i}.0.0/16" for i in range(NETWORKS_MAX)]
    users: list[Json] = [f"u{i}" for i in range(USERS_MAX)]
    raw: JsonObject = {
        **FULL,
        "tools": [f"tool_{i}" for i in range(TOOLS_MAX)],
        "principal": {"type": "specific_members", "userIds": users},
        "session": [count] * SESSION_CONDITIONS_MAX,
        "network": {"in": networks, "notIn": networks},
    }
    text = render_cedar(parse_policy(raw), NAMESPACE)
    assert text.count("isInRange") == 2 * NETWORKS_MAX
    assert text.count("context.session.toolsUsed has") == SESSION_CONDITIONS_MAX


def test_what_a_policy_reads_of_the_context_is_known() -> None:
    compiled = compile_policy(parse_policy(FULL), NAMESPACE)
    zone = ("time", "in", "Europe/Berlin")
    assert paths_read(compiled) == {
        (*zone, "hour"),
        (*zone, "dayOfWeek"),
        (*zone, "date"),
        ("session", CountFact.DENY_COUNT),
        ("session", CountFact.CALL_COUNT),
        ("session", "toolsUsed", "github:push_files"),
        ("session", "policyDenyCounts", "no-merges"),
        ("session", "policyAllowCounts", "reads"),
        ("session", "labels"),
        ("memberSessions", "labels"),
        ("memberSessions", "toolsUsed", "github:push_files"),
        ("ip",),
        ("arguments", "texts", "branch"),
        ("arguments", "present", "options.force"),
        ("arguments", "numberLists", "labels"),
        ("arguments", "any", 'files[*].path notIn ["a", "b\\nc"]'),
        ("arguments", "numbers", "count"),
    }


def test_a_policy_that_cedar_cannot_read_is_invalid() -> None:
    document = PolicyDocument("Broken", "github", PolicyEffect.PERMIT, ("x",))
    with pytest.raises(Invalid):
        render_cedar(document, "no namespace")


def test_each_condition_of_a_policy_is_told_apart_by_its_name() -> None:
    names = [name for name, _ in conditions_of(parse_policy(FULL), NAMESPACE)]
    assert names == [
        *("time.activeFrom", "time.activeTo", "time.daysOfWeek", "time.hours"),
        *(f"session[{number}]" for number in range(8)),
        *("network.in", "network.notIn", "restrictions", "resourceScope"),
        *(f"conditions.items[{number}]" for number in range(4)),
        *(f"arguments[{number}]" for number in range(5)),
    ]
