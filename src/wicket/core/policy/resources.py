"""Which resources a policy is limited to: containers, a type, conditions on what is known of them.

What may be said depends on the service, so it is read by the service's connector: a document that was parsed knows
the types that its conditions have.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from wicket.core.errors import Invalid
from wicket.core.model import (
    UNKNOWN_ID,
    AttributeKind,
    ConditionKind,
    ConditionType,
    Connector,
    Json,
    JsonObject,
    RestrictionType,
)
from wicket.core.policy.fields import (
    check_distinct,
    parse_boolean,
    parse_choice,
    parse_integer,
    parse_list,
    parse_object,
    parse_required,
    parse_text,
)

RESTRICTIONS_MAX: Final = 500
CONDITIONS_MAX: Final = 50
ALTERNATIVES_MAX: Final = 200
NAME_LENGTH_MAX: Final = 500
INTEGER_MAX: Final = 2**53 - 1

OWNER, REPOSITORY, CHANNEL, PAGE = "Owner", "Repository", "Channel", "Page"
FIELDS: Final = ("repositories", "channels", "pages")

Repository: TypeAlias = tuple[str, str | None]
"""Owner and name; no name: whatever the owner has and will have."""
Value: TypeAlias = str | int
"""Of a condition; a bool is one."""


@dataclass(frozen=True, slots=True)
class Restrictions:
    """The containers that a policy is limited to: a resource is one of them, or lies in one."""

    repositories: tuple[Repository, ...] = ()
    channels: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()

    def containers(self) -> dict[str, tuple[str, ...]]:
        """Ids by the entity type, without its namespace, of what is named."""
        found = {
            OWNER: tuple(owner for owner, name in self.repositories if name is None),
            REPOSITORY: tuple(f"{owner}/{name}" for owner, name in self.repositories if name is not None),
            CHANNEL: self.channels,
            PAGE: self.pages,
        }
        return {kind: ids for kind, ids in found.items() if ids}


@dataclass(frozen=True, slots=True)
class Scope:
    """The one type of resources that a policy matches."""

    label: str
    """On the wire: `pull_request`."""
    name: str
    """Of the entities: `PullRequest`."""


class Match(StrEnum):
    ALL = "all"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class ResourceCondition:
    """What is said of a resource; several values, which only ids can have, are alternatives."""

    type: ConditionType
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class ResourceConditions:
    match: Match
    items: tuple[ResourceCondition, ...]

    def merged(self) -> tuple[ResourceCondition, ...]:
        """The items, where those of one type that speaks of ids are one: their values are alternatives."""
        merged: dict[object, ResourceCondition] = {}
        for number, item in enumerate(self.items):
            key: object = item.type.name if item.type.kind is ConditionKind.WITHIN else number
            before = merged[key].values if key in merged else ()
            merged[key] = ResourceCondition(item.type, tuple(dict.fromkeys((*before, *item.values))))
        return tuple(merged.values())


def parse_restrictions(raw: Json, connector: Connector | None) -> Restrictions | None:
    """Read `restrictions`; None where it says nothing."""
    if raw is None:
        return None
    raw = parse_object(raw, "restrictions", FIELDS)
    known = {} if connector is None else connector.restrictions
    read = Restrictions(
        repositories=tuple(
            _parse_repository(item, path, kind) for item, path, kind in _items(raw, "repositories", known)
        ),
        channels=tuple(_parse_id(item, path, kind) for item, path, kind in _items(raw, "channels", known)),
        pages=tuple(_parse_id(item, path, kind) for item, path, kind in _items(raw, "pages", known)),
    )
    check_distinct(read.repositories, "restrictions.repositories")
    check_distinct(read.channels, "restrictions.channels")
    check_distinct(read.pages, "restrictions.pages")
    return None if read == Restrictions() else read


def _items(
    raw: JsonObject, name: str, known: Mapping[str, RestrictionType]
) -> list[tuple[Json, str, RestrictionType]]:
    field = f"restrictions.{name}"
    items = [] if raw.get(name) is None else parse_list(raw[name], field, count_max=RESTRICTIONS_MAX)
    if items and name not in known:
        raise Invalid(f"`{field}` does not go with this service, leave it out", field=field)
    return [(item, f"{field}[{number}]", known[name]) for number, item in enumerate(items)]


def _parse_repository(raw: Json, field: str, known: RestrictionType) -> Repository:
    raw = parse_object(raw, field, ("owner", "repo"))
    owner = _parse_id(parse_required(raw, "owner", f"{field}.owner"), f"{field}.owner", known)
    return owner, None if raw.get("repo") is None else _parse_id(raw["repo"], f"{field}.repo", known)


def _parse_id(raw: Json, field: str, known: RestrictionType | ConditionType) -> str:
    text = parse_text(raw, field, length_max=NAME_LENGTH_MAX)
    if known.folded and text.isascii():
        # Of other scripts some letters fall on ours when they are lowered, as the sign of the Kelvin does on `k`.
        text = text.lower()
    is_grammatical = not known.grammar or re.fullmatch(known.grammar, text, re.ASCII)
    # The id of whatever is not known: a permit that names it would cover that.
    if not is_grammatical or text == UNKNOWN_ID:
        raise Invalid(f"`{field}` must be a name as the service spells it", field=field)
    return text


def parse_scope(raw: Json, connector: Connector | None) -> Scope | None:
    """Read `resourceScope`; None where it says nothing."""
    if raw is None or raw == "":
        return None
    known = {} if connector is None else connector.resource_types
    for kind in known.values():
        if raw == kind.label:
            return Scope(kind.label, kind.name)
    labels = ", ".join(sorted(kind.label for kind in known.values()))
    problem = f"must be one of {labels}" if labels else "does not go with this service, leave it out"
    raise Invalid(f"`resourceScope` {problem}", field="resourceScope")


def parse_conditions(raw: Json, connector: Connector | None) -> ResourceConditions | None:
    """Read `conditions`; None where it says nothing."""
    if raw is None:
        return None
    raw = parse_object(raw, "conditions", ("match", "items"))
    match = Match.ALL if raw.get("match") is None else parse_choice(raw["match"], "conditions.match", Match)
    field = "conditions.items"
    items = [] if raw.get("items") is None else parse_list(raw["items"], field, count_max=CONDITIONS_MAX)
    known = {} if connector is None else connector.condition_types
    parsed = tuple(_parse_condition(item, f"{field}[{i}]", known) for i, item in enumerate(items))
    return ResourceConditions(match, parsed) if parsed else None


def _parse_condition(raw: Json, field: str, known: Mapping[str, ConditionType]) -> ResourceCondition:
    raw = parse_object(raw, field, ("type", "value"))
    name = parse_required(raw, "type", f"{field}.type")
    kind = known.get(name) if isinstance(name, str) else None
    if kind is None:
        names = ", ".join(sorted(known))
        problem = f"must be one of {names}" if names else "is known of no resource of this service"
        raise Invalid(f"`{field}.type` {problem}", field=f"{field}.type")
    value = parse_required(raw, "value", f"{field}.value")
    if kind.kind is not ConditionKind.WITHIN or not isinstance(value, list):
        return ResourceCondition(kind, (_parse_value(value, f"{field}.value", kind),))
    listed = parse_list(value, f"{field}.value", count_min=1, count_max=ALTERNATIVES_MAX)
    values = tuple(_parse_value(one, f"{field}.value[{i}]", kind) for i, one in enumerate(listed))
    check_distinct(values, f"{field}.value")
    return ResourceCondition(kind, values)


def _parse_value(raw: Json, field: str, kind: ConditionType) -> Value:
    if kind.value is AttributeKind.BOOLEAN:
        return parse_boolean(raw, field)
    if kind.value is AttributeKind.INTEGER:
        return parse_integer(raw, field, least=-INTEGER_MAX, most=INTEGER_MAX)
    text = _parse_id(raw, field, kind)
    if kind.choices and text not in kind.choices:
        raise Invalid(f"`{field}` must be one of {', '.join(kind.choices)}", field=field)
    return text


def render_restrictions(restrictions: Restrictions) -> JsonObject:
    """Write what `parse_restrictions` read."""
    repositories: list[Json] = [
        {"owner": owner} if name is None else {"owner": owner, "repo": name}
        for owner, name in restrictions.repositories
    ]
    rendered: dict[str, list[Json]] = {
        "repositories": repositories,
        "channels": [*restrictions.channels],
        "pages": [*restrictions.pages],
    }
    return {name: items for name, items in rendered.items() if items}


def render_conditions(conditions: ResourceConditions) -> JsonObject:
    """Write what `parse_conditions` read."""
    items: list[Json] = [
        {"type": item.type.name, "value": item.values[0] if len(item.values) == 1 else [*item.values]}
        for item in conditions.items
    ]
    return {"match": conditions.match.value, "items": items}
