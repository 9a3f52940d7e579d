"""What may be saved: policies that Cedar can always evaluate, on arguments that the tools have."""

from dataclasses import replace

import pytest

from tests.core.policy.connectors import CONNECTORS, GITHUB
from tests.core.policy.test_compile import TEXTS
from tests.core.policy.test_document import FULL, argument, condition
from tests.core.policy.worlds import NAMESPACE, raw_policy
from wicket.core.errors import Invalid
from wicket.core.model import AttributeKind, Json, JsonObject
from wicket.core.policy.checks import check_arguments, check_facts
from wicket.core.policy.document import parse_policy
from wicket.core.policy.engine import validate

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "branch": {"type": "string"},
        "draft": {"type": ["boolean", "null"]},
        "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "ratio": {"type": "number"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "files": {"type": "array", "items": {"$ref": "#/$defs/File"}},
        "options": {"type": "object"},
        "flags": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "anything": {},
        "loop": {"$ref": "#/properties/loop"},
        "either": {"oneOf": [{"$ref": "#/$defs/File"}, {"type": "string"}]},
    },
    "$defs": {
        "File": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "mode": {"enum": ["w", 7]}},
            "additionalProperties": False,
        }
    },
}
KNOWN: list[tuple[str, str, Json]] = [
    ("branch", "startsWith", "x"),
    ("draft", "equals", True),
    ("count", "atLeast", 3),
    ("ratio", "equals", 1.5),
    ("ratio", "atMost", 2),
    ("labels", "contains", "bug"),
    ("labels[*]", "in", ["bug"]),
    ("files[*].path", "endsWith", ".py"),
    ("files[*].mode", "equals", 7),
    ("files", "exists", True),
    ("options.whatever.it.is", "equals", "x"),
    ("flags.force", "equals", False),
    ("anything[*].x", "equals", "x"),
    ("loop.a", "equals", "x"),
    ("either.path", "equals", "x"),
    ("either", "equals", "x"),
]
UNKNOWN: list[tuple[str, str, Json, str]] = [
    ("Branch", "equals", "x", "path"),
    ("branch.name", "equals", "x", "path"),
    ("branch[*]", "equals", "x", "path"),
    ("files.path", "equals", "x", "path"),
    ("files[*].name", "equals", "x", "path"),
    ("labels[*].name", "equals", "x", "path"),
    ("either.name", "exists", True, "path"),
    ("branch", "equals", 7, "value"),
    ("branch", "contains", 7, "value"),
    ("draft", "equals", "true", "value"),
    ("count", "equals", "3", "value"),
    ("labels", "equals", "bug", "value"),
    ("files", "atLeast", 1, "value"),
    ("flags.force", "in", ["x"], "value"),
]


@pytest.mark.parametrize(("path", "operator", "value"), KNOWN)
def test_a_condition_on_an_argument_that_the_tool_has_may_be_saved(
    path: str, operator: str, value: Json
) -> None:
    document = parse_policy(raw_policy(tools=["put", "tier:read"], **argument(path, operator, value)))
    check_arguments(document, {"put": SCHEMA})
    assert document.arguments


@pytest.mark.parametrize(("path", "operator", "value", "part"), UNKNOWN)
def test_a_condition_on_an_argument_that_the_tool_has_not_is_refused(
    path: str, operator: str, value: Json, part: str
) -> None:
    document = parse_policy(raw_policy(tools=["get", "put::set"], **argument(path, operator, value)))
    with pytest.raises(Invalid) as refused:
        check_arguments(document, {"put": SCHEMA})
    assert refused.value.field == f"arguments[0].{part}"


def test_facts_of_all_the_members_sessions_may_not_be_asked_for_yet() -> None:
    with pytest.raises(Invalid) as refused:
        check_facts(parse_policy(FULL, CONNECTORS))
    assert refused.value.field == "session[6].scope"


@pytest.mark.parametrize("raw", [FULL, *(raw_policy(**changes) for changes, _ in TEXTS)])
def test_whatever_the_compiler_makes_is_valid_by_cedars_strict_rules(raw: JsonObject) -> None:
    document = parse_policy(raw, CONNECTORS)
    validate(document, NAMESPACE, GITHUB)
    assert document.name


def test_a_policy_that_does_not_fit_the_service_is_refused_by_its_field() -> None:
    kinds = {**GITHUB.condition_types}
    kinds["archived"] = replace(kinds["archived"], value=AttributeKind.TEXT)
    odd = replace(GITHUB, condition_types=kinds)
    restrictions: JsonObject = {"repositories": [{"owner": "my-org"}]}
    raw = raw_policy(**condition("archived", "yes"), restrictions=restrictions)
    with pytest.raises(Invalid) as refused:
        validate(parse_policy(raw, {"github": odd}), NAMESPACE, odd)
    assert refused.value.field == "conditions.items[0]"
    ownerless = replace(GITHUB, resource_types={"Repository": GITHUB.resource_types["Repository"]})
    with pytest.raises(Invalid) as refused:
        validate(parse_policy(raw_policy(restrictions=restrictions), CONNECTORS), NAMESPACE, ownerless)
    assert refused.value.field == "restrictions"
