import json

import cedarpy
import pytest

from tests.core.policy.test_document import FULL
from tests.core.policy.worlds import NAMESPACE, raw_policy
from wicket.core.errors import Invalid
from wicket.core.model import Json, JsonObject, PolicyEffect
from wicket.core.policy.compile import compile_policy, paths_read
from wicket.core.policy.conditions import NETWORKS_MAX, SESSION_CONDITIONS_MAX, CountFact
from wicket.core.policy.document import TOOLS_MAX, USERS_MAX, PolicyDocument, parse_policy
from wicket.core.policy.engine import render_cedar
from wicket.core.policy.text import render_text

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
    assert text.count("has") == SESSION_CONDITIONS_MAX


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
        ("ip",),
    }


def test_a_policy_that_cedar_cannot_read_is_invalid() -> None:
    document = PolicyDocument("Broken", "github", PolicyEffect.PERMIT, ("x",))
    with pytest.raises(Invalid):
        render_cedar(document, "no namespace")
