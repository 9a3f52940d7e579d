"""What must be true of a policy before it is saved, beyond its form."""

from collections.abc import Iterator, Mapping
from typing import Final

from wicket.core.errors import Invalid
from wicket.core.model import Json, JsonObject
from wicket.core.policy.arguments import ArgumentCondition, ArgumentOperator, segments_of
from wicket.core.policy.conditions import SessionScope
from wicket.core.policy.document import PolicyDocument

REFERENCES_MAX: Final = 32
"""Steps from one part of a schema to another, and no more of them: they may lead in circles."""
TYPES: Final[Mapping[type, frozenset[str]]] = {
    # A number with a fraction is compared as text.
    str: frozenset({"string", "number"}),
    int: frozenset({"integer", "number"}),
    bool: frozenset({"boolean"}),
}


def check_facts(document: PolicyDocument) -> None:
    """Raise Invalid for session conditions on facts that nobody sums up yet."""
    for number, condition in enumerate(document.session):
        if condition.scope is not SessionScope.SESSION:
            field = f"session[{number}].scope"
            raise Invalid(f"`{field}` other than `session` is not supported yet", field=field)


def check_arguments(document: PolicyDocument, schemas: Mapping[str, JsonObject]) -> None:
    """Raise Invalid for conditions on arguments that a tool has not; `schemas`, by tool, are those that are known."""
    for named in document.tools:
        tool = named.partition("::")[0]
        schema = schemas.get(tool)
        if schema is not None:
            for number, condition in enumerate(document.arguments):
                _check_argument(condition, f"arguments[{number}]", tool, schema)


def _check_argument(condition: ArgumentCondition, field: str, tool: str, schema: JsonObject) -> None:
    found: list[JsonObject] = [schema]
    for name, of_each in segments_of(condition.path):
        found = [inner for node in found for inner in _property(node, name, schema)]
        if of_each:
            found = [inner for node in found for inner in _items(node, schema)]
    if not found:
        raise Invalid(
            f"`{tool}` has no argument `{condition.path}`, look at its input schema", field=f"{field}.path"
        )
    types = [one for node in found for one in _types(node)]
    if types and not _comparable(condition).intersection(types):
        kinds = ", ".join(sorted(set(types)))
        raise Invalid(
            f"`{condition.path}` of `{tool}` is of type {kinds}, which `{condition.operator}` does not compare "
            "with this value",
            field=f"{field}.value",
        )


def _comparable(condition: ArgumentCondition) -> frozenset[str]:
    if condition.operator is ArgumentOperator.EXISTS:
        return frozenset({"string", "number", "integer", "boolean", "array", "object"})
    if condition.operator is ArgumentOperator.CONTAINS:
        return frozenset({"array"} if condition.kind is int else {"array", "string"})
    return TYPES[condition.kind]


def _property(node: JsonObject, name: str, root: JsonObject) -> Iterator[JsonObject]:
    """What a schema says of a property; nothing where it knows its properties, and this is none of them."""
    for shape in _resolved(node, root, REFERENCES_MAX):
        if not _may_be(shape, "object"):
            continue
        properties = shape.get("properties")
        if isinstance(properties, dict) and name in properties:
            yield from _resolved(properties[name], root, REFERENCES_MAX)
        elif isinstance(shape.get("additionalProperties"), dict):
            yield from _resolved(shape["additionalProperties"], root, REFERENCES_MAX)
        elif not properties and shape.get("additionalProperties") is not False:
            yield {}


def _items(node: JsonObject, root: JsonObject) -> Iterator[JsonObject]:
    if _may_be(node, "array"):
        yield from _resolved(node.get("items", {}), root, REFERENCES_MAX)


def _resolved(node: Json, root: JsonObject, steps: int) -> Iterator[JsonObject]:
    """The schemas that a value may be under: references followed, alternatives one by one; `{}` is any value."""
    if not isinstance(node, dict) or steps == 0:
        yield {}
        return
    reference = node.get("$ref")
    if isinstance(reference, str):
        yield from _resolved(_referred(reference, root), root, steps - 1)
        return
    inner = [one for word in ("anyOf", "oneOf", "allOf") for one in _listed(node.get(word))]
    if not inner or "properties" in node:
        yield node
    for one in inner:
        yield from _resolved(one, root, steps - 1)


def _referred(reference: str, root: JsonObject) -> Json:
    node: Json = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _types(node: JsonObject) -> list[str]:
    """The types that a schema allows, but for null, which is like an absent argument; none where it says nothing."""
    kinds = node.get("type")
    listed = [kinds] if isinstance(kinds, str) else _listed(kinds)
    if not listed:
        # One alternative that says nothing allows everything.
        return [*TYPES[str], *TYPES[int], *TYPES[bool], "array", "object"]
    return [kind for kind in listed if isinstance(kind, str) and kind != "null"]


def _may_be(node: JsonObject, kind: str) -> bool:
    return kind in _types(node)


def _listed(node: Json) -> list[Json]:
    return node if isinstance(node, list) else []
