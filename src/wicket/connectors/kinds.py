"""What a service's resources are, read from its file: types, conditions, restrictions and labels.

[types.Branch]
label = "branch"                       on the wire
within = ["Repository", "Owner"]       every container, nearest first
attributes = { isProtected = "boolean" }   its own; those of its containers it has too
grammar = "..."                        of its ids, as the entities hold them

[conditions]
isProtected = { kind = "equals", attribute = "isProtected" }
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from wicket.connectors.tables import Table, check_fields, flag, one_of, pattern, table, text, texts
from wicket.core.errors import Invalid
from wicket.core.model import (
    AttributeKind,
    ConditionKind,
    ConditionType,
    Resource,
    ResourceType,
    RestrictionType,
)

RESTRICTIONS = ("repositories", "channels", "pages")
_TYPE_FIELDS = frozenset({"label", "within", "attributes", "grammar"})
_CONDITION_FIELDS = frozenset({"kind", "attribute", "resource_type", "choices", "grammar", "folded"})
_RESTRICTION_FIELDS = frozenset({"resource_types", "grammar", "folded"})


@dataclass(frozen=True, slots=True)
class LabelRule:
    """What an allowed call leaves behind in its session, unless its resources are known to be harmless."""

    label: str
    attribute: str
    unless: str | bool
    """The harmless value."""

    def applies(self, resources: Iterable[Resource]) -> bool:
        """Whether one of the resources has another value, or one that nobody knows."""
        name = self.attribute
        return any(
            name in resource.unknown
            or (name in resource.attributes and resource.attributes[name] != self.unless)
            for resource in resources
        )


def parse_types(raw: Table, path: str) -> Mapping[str, ResourceType]:
    """Containers come before what lies in them."""
    types: dict[str, ResourceType] = {}
    for name, said in raw.items():
        at = f"{path}.{name}"
        facts = table(said, at)
        check_fields(facts, _TYPE_FIELDS, at)
        within = tuple(
            one_of(one, tuple(types), f"{at}.within")
            for one in texts(facts.get("within", []), f"{at}.within")
        )
        own = {
            attribute: AttributeKind(one_of(kind, tuple(AttributeKind), f"{at}.attributes.{attribute}"))
            for attribute, kind in table(facts.get("attributes", {}), f"{at}.attributes").items()
        }
        inherited = {a: kind for container in within for a, kind in types[container].attributes.items()}
        if both := set(own) & set(inherited):
            raise Invalid(f"a container has {', '.join(sorted(both))} already", field=f"{at}.attributes")
        types[name] = ResourceType(
            name=name,
            label=text(facts.get("label"), f"{at}.label"),
            within=within,
            attributes=MappingProxyType(own | inherited),
            own=tuple(own),
            grammar=pattern(facts.get("grammar", ""), f"{at}.grammar"),
        )
    return MappingProxyType(types)


def parse_conditions(raw: Table, path: str, types: Mapping[str, ResourceType]) -> Mapping[str, ConditionType]:
    """Each is about an attribute or a type that is there."""
    return MappingProxyType(
        {
            name: _condition(name, table(said, f"{path}.{name}"), f"{path}.{name}", types)
            for name, said in raw.items()
        }
    )


def _condition(name: str, raw: Table, path: str, types: Mapping[str, ResourceType]) -> ConditionType:
    check_fields(raw, _CONDITION_FIELDS, path)
    kind = ConditionKind(one_of(raw.get("kind"), tuple(ConditionKind), f"{path}.kind"))
    attribute, resource_type, grammar, value = "", "", "", AttributeKind.TEXT
    if kind is ConditionKind.WITHIN:
        resource_type = one_of(raw.get("resource_type"), tuple(types), f"{path}.resource_type")
        grammar = types[resource_type].grammar
    else:
        attributes = _attributes(types)
        attribute = one_of(raw.get("attribute"), tuple(attributes), f"{path}.attribute")
        value = attributes[attribute]
        if (value is AttributeKind.TEXTS) is not (kind is ConditionKind.CONTAINS):
            raise Invalid(f"`{attribute}` is {value}: `contains` is for texts", field=f"{path}.kind")
        value = AttributeKind.TEXT if value is AttributeKind.TEXTS else value
    return ConditionType(
        name=name,
        kind=kind,
        attribute=attribute,
        resource_type=resource_type,
        value=value,
        choices=texts(raw.get("choices", []), f"{path}.choices"),
        grammar=pattern(raw.get("grammar", grammar), f"{path}.grammar"),
        folded=flag(raw.get("folded", False), f"{path}.folded"),
    )


def parse_restrictions(
    raw: Table, path: str, types: Mapping[str, ResourceType]
) -> Mapping[str, RestrictionType]:
    """Of repositories, channels or pages."""
    restrictions = {}
    for name, said in raw.items():
        at = f"{path}.{one_of(name, RESTRICTIONS, f'{path}.{name}')}"
        facts = table(said, at)
        check_fields(facts, _RESTRICTION_FIELDS, at)
        named = texts(facts.get("resource_types"), f"{at}.resource_types")
        restrictions[name] = RestrictionType(
            resource_types=tuple(one_of(one, tuple(types), f"{at}.resource_types") for one in named),
            grammar=pattern(facts.get("grammar", ""), f"{at}.grammar"),
            folded=flag(facts.get("folded", False), f"{at}.folded"),
        )
    return MappingProxyType(restrictions)


def parse_labels(raw: Table, path: str, types: Mapping[str, ResourceType]) -> tuple[LabelRule, ...]:
    """`"github:private" = { attribute = "visibility", unless = "public" }`."""
    rules = []
    for label, said in raw.items():
        at = f"{path}.{label}"
        facts = table(said, at)
        check_fields(facts, frozenset({"attribute", "unless"}), at)
        unless = facts.get("unless")
        if not isinstance(unless, str | bool):
            raise Invalid("a text, or true or false, is needed here", field=f"{at}.unless")
        attribute = one_of(facts.get("attribute"), tuple(_attributes(types)), f"{at}.attribute")
        rules.append(LabelRule(label, attribute, unless))
    return tuple(rules)


def _attributes(types: Mapping[str, ResourceType]) -> Mapping[str, AttributeKind]:
    return {name: kind for described in types.values() for name, kind in described.attributes.items()}
