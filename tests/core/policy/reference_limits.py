"""The second opinion on resources and arguments, on the policy as it stands on the wire.

Every item is True, False, or None for unknown; what is unknown holds for a forbid and does not for a permit.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from wicket.core.model import Call, Json, JsonObject, Resource

ATTRIBUTES = {
    "visibility": "visibility",
    "archived": "archived",
    "topic": "topics",
    "isDraft": "isDraft",
    "size": "size",
}
SCOPES = {"repository": "Repository", "pull_request": "PullRequest", "owner": "Owner"}
SPELLED_TWICE = object()
"""Stands for whatever may be anything."""
Joins: TypeAlias = Callable[[bool | None], bool]


def is_scoped(raw: JsonObject) -> bool:
    return not {"restrictions", "resourceScope", "conditions"}.isdisjoint(raw)


def is_matched(raw: JsonObject, call: Call, resource: Resource) -> bool:
    """Whether what a policy says of the resource and the arguments holds."""
    unknown_holds = raw["effect"] == "forbid"

    def holds(item: bool | None) -> bool:  # noqa: FBT001
        return unknown_holds if item is None else item

    conditions = dict_of(raw.get("conditions"))
    items = [holds(item) for item in judged_conditions(conditions, resource)]
    join = any if conditions.get("match") == "any" else all
    return (
        holds(is_restricted_to(dict_of(raw.get("restrictions")), resource))
        and holds(has_type(raw.get("resourceScope"), resource))
        and (not items or join(items))
        and all(argument_holds(dict_of(one), call, holds=holds) for one in list_of(raw.get("arguments")))
    )


def dict_of(node: object) -> JsonObject:
    return node if isinstance(node, dict) else {}


def list_of(node: object) -> list[Json]:
    return node if isinstance(node, list) else []


def is_in(kind: str, names: Iterable[str], resource: Resource) -> bool | None:
    """Whether the resource is, or lies in, an entity of this type with one of these names."""
    around = {(uid.type.partition("::")[2], uid.id) for uid in (resource.uid, *resource.parents)}
    if any((kind, name) in around for name in names):
        return True
    return None if (kind, "?") in around else False


def any_of(answers: list[bool | None]) -> bool | None:
    if True in answers:
        return True
    return None if None in answers else False


def is_restricted_to(raw: JsonObject, resource: Resource) -> bool | None:
    if not raw:
        return True
    answers: list[bool | None] = []
    for repository in map(dict_of, list_of(raw.get("repositories"))):
        owner, name = repository["owner"], repository.get("repo")
        kind, full = ("Owner", str(owner)) if name is None else ("Repository", f"{owner}/{name}")
        answers.append(is_in(kind, [full], resource))
    return any_of(answers)


def has_type(label: Json, resource: Resource) -> bool | None:
    kind = resource.uid.type.partition("::")[2]
    if label is None or kind == SCOPES[str(label)]:
        return True
    return None if kind == "Search" or SCOPES[str(label)] in resource.unknown else False


def judged_conditions(raw: JsonObject, resource: Resource) -> Iterator[bool | None]:
    pulls: list[str] = []
    for item in map(dict_of, list_of(raw.get("items"))):
        kind, value = str(item["type"]), item["value"]
        if kind == "pullRequest":
            pulls += map(str, value if isinstance(value, list) else [value])
        elif ATTRIBUTES[kind] in resource.attributes:
            told = resource.attributes[ATTRIBUTES[kind]]
            yield value in told if isinstance(told, list) else told == value
        else:
            yield None if ATTRIBUTES[kind] in resource.unknown else False
    if pulls:
        yield is_in("PullRequest", pulls, resource)


def argument_holds(raw: JsonObject, call: Call, *, holds: Joins) -> bool:
    path, operator, value = str(raw["path"]), str(raw["operator"]), raw["value"]
    found = list(walk(call.arguments, path.split(".")))
    items = [holds(compare(operator, value, one)) for one in found]
    if "[*]" not in path:
        return items[0]
    # A permit needs each item and one at least, a forbid needs one.
    return any(items) if holds(None) else bool(items) and all(items)


def walk(node: object, names: list[str]) -> Iterator[object]:
    if not names or node is SPELLED_TWICE:
        yield node
        return
    name = names[0].removesuffix("[*]")
    here = dict_of(node)
    value: object = here.get(name)
    if len({other for other in here if other.casefold() == name.casefold()} | {name}) > 1:
        value = SPELLED_TWICE
    if not names[0].endswith("[*]"):
        yield from walk(value, names[1:])
    elif isinstance(value, list):
        for item in value:
            yield from walk(item, names[1:])
    else:
        yield SPELLED_TWICE


def compare(operator: str, wanted: Json, found: object) -> bool | None:
    if found is SPELLED_TWICE:
        return None
    if operator == "exists":
        return (found is not None) == wanted
    if operator == "contains" and isinstance(found, list):
        items = [scalar(item) for item in found]
        return wanted in items if all(type(item) is type(wanted) for item in items) else None
    many = list_of(wanted) or [wanted]
    seen = scalar(found)
    if seen is None or type(seen) is not type(scalar(many[0])):
        return None
    if operator in {"equals", "in"}:
        return seen in many
    if operator in {"notEquals", "notIn"}:
        return seen not in many
    if isinstance(seen, str):
        wanted = str(wanted)
        text = {"startsWith": seen[: len(wanted)] == wanted, "contains": wanted in seen}
        return text.get(operator, wanted == "" or seen[-len(wanted) :] == wanted)
    if operator == "contains" or not isinstance(wanted, int):
        return None
    return seen >= wanted if operator == "atLeast" else seen <= wanted


def scalar(node: object) -> str | int | None:
    if isinstance(node, float):
        return json.dumps(node)
    if isinstance(node, bool | str):
        return node
    return node if isinstance(node, int) and node in range(-(2**63), 2**63) else None
