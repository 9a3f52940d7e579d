"""The mapping of services whose tools name their resources by plain ids: data in the catalog, no code.

    [targets.table]
    type = "Table"
    arguments = { Table = "tableId", Base = "baseId" }

names the argument of the resource and of those of its containers that the call names. Others are those that the
entity tells, or unknown. Further fields of a target:

- `composed`: an id means something within its container alone, and is written behind the container's.
- `new`: the call makes the resource. `tells` names the arguments that say its attributes then.
- `spans`: the call goes through everything of this type that lies in the resource.
- `elsewhere`: arguments that name a resource in another way (an address); with one, nobody knows which is meant.
- `maybe`: other types of which the thing with this id may be.

Each type has a target of its own besides, `any_<label>`: one of it, nobody knows which.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from wicket.connectors.arguments import Grammar
from wicket.connectors.knowledge import Question
from wicket.connectors.tables import (
    ARGUMENT,
    Table,
    arguments,
    check_fields,
    flag,
    matching,
    one_of,
    table,
    texts,
)
from wicket.core.entities import EntityRef
from wicket.core.errors import Invalid
from wicket.core.model import UNKNOWN_ID, Resource, ResourceType

ID: Final = Grammar(
    re.compile(r"(?!.*\.\.)(?!.*\.git\Z)(?!.*[.:]\Z)[A-Za-z0-9_][A-Za-z0-9_.:@~-]{0,254}", re.ASCII),
    "a plain id: letters, digits, `_`, `-`, `.`, `:`, `@` and `~`, and no address",
)
NEW: Final = "new"
_FIELDS: Final = frozenset({"type", "arguments", "composed", "new", "tells", "spans", "elsewhere", "maybe"})


@dataclass(frozen=True, slots=True)
class PlainTarget:
    """A resource that the call names by ids."""

    kind: ResourceType
    grammars: Mapping[str, Grammar]
    """Of each type's ids."""
    arguments: Mapping[str, str]
    """Type -> argument: of the resource itself, and of its containers that are named."""
    is_composed: bool
    is_new: bool
    tells: Mapping[str, str]
    """Attribute -> argument, of what is new."""
    spans: str | None
    elsewhere: tuple[str, ...]
    maybe: tuple[str, ...]

    def __call__(self, question: Question) -> list[Resource]:
        """The resource, or where its own id is missing an unknown one in its containers; none: nothing is named."""
        ids = self._ids(question)
        named = [self._resource(question, ids)] if ids or self.is_new else []
        others = [
            question.known.unknown(self.kind.name) for name in self.elsewhere if question.arguments.has(name)
        ]
        return [*named, *others]

    def _resource(self, question: Question, ids: Mapping[str, str]) -> Resource:
        known, kind = question.known, self.kind
        own = NEW if self.is_new else ids.get(kind.name, UNKNOWN_ID)
        unnamed = [one for one in kind.within if one not in ids]
        entity = known.find(kind.name, own) if unnamed and kind.name in ids else None
        told = () if entity is None else entity.parents
        within = [EntityRef(one, ids[one]) for one in kind.within if one in ids]
        for one in unnamed:
            within += [ref for ref in told if ref.type == one] or [EntityRef(one, UNKNOWN_ID)]
        within += [EntityRef(one, own) for one in self.maybe]
        found = known.resource(
            kind.name, own, within, is_new=self.is_new, spans=self.spans, unsure=self.maybe
        )
        return self._told(question, found)

    def _ids(self, question: Question) -> dict[str, str]:
        """The ids of what is named, outermost first; raises Invalid."""
        ids: dict[str, str] = {}
        path = ""
        for kind in (*reversed(self.kind.within), self.kind.name):
            argument = self.arguments.get(kind)
            if argument is None:
                continue
            said, grammar = question.arguments.text(argument, ID), self.grammars[kind]
            if self.is_composed:
                path = f"{path}/{said or UNKNOWN_ID}" if path else said or UNKNOWN_ID
            if said is None:
                continue
            ids[kind] = path or said
            if UNKNOWN_ID not in path and grammar.pattern.fullmatch(ids[kind]) is None:
                raise Invalid(f"`{argument}` must be {grammar.says}", field=argument)
        return ids

    def _told(self, question: Question, found: Resource) -> Resource:
        """With the attributes that the arguments say of something new; unknown where they do not."""
        said = {name: question.arguments.text(argument, ID) for name, argument in self.tells.items()}
        known = {name: value for name, value in said.items() if value is not None}
        return replace(
            found,
            attributes={**found.attributes, **known},
            unknown=(found.unknown | set(said)) - set(known),
        )


@dataclass(frozen=True, slots=True)
class Anything:
    """One of a type, nobody knows which."""

    kind: ResourceType

    def __call__(self, question: Question) -> list[Resource]:
        """It."""
        return [question.known.unknown(self.kind.name)]


def parse_targets(
    raw: Table, path: str, types: Mapping[str, ResourceType]
) -> Mapping[str, PlainTarget | Anything]:
    """The `[targets]` of a service's file, and one for anything of each type; raises Invalid."""
    targets: dict[str, PlainTarget | Anything] = {f"any_{one.label}": Anything(one) for one in types.values()}
    for name, said in raw.items():
        targets[name] = _parse_target(table(said, f"{path}.{name}"), f"{path}.{name}", types)
    return MappingProxyType(targets)


def _parse_target(facts: Table, at: str, types: Mapping[str, ResourceType]) -> PlainTarget:
    check_fields(facts, _FIELDS, at)
    kind = types[one_of(facts.get("type"), tuple(types), f"{at}.type")]
    inside = (kind.name, *kind.within)
    named = table(facts.get("arguments", {}), f"{at}.arguments")
    is_new = flag(facts.get("new", False), f"{at}.new")
    if not named and not is_new:
        raise Invalid("at least one argument is needed", field=f"{at}.arguments")
    if is_new and kind.name in named:
        raise Invalid("what is new has no id yet", field=f"{at}.new")
    tells = table(facts.get("tells", {}), f"{at}.tells")
    spans = facts.get("spans")
    return PlainTarget(
        kind=kind,
        grammars=MappingProxyType({one: _grammar(types[one]) for one in inside}),
        arguments=MappingProxyType(
            {
                one_of(of, inside, f"{at}.arguments"): matching(argument, ARGUMENT, f"{at}.arguments.{of}")
                for of, argument in named.items()
            }
        ),
        is_composed=flag(facts.get("composed", False), f"{at}.composed"),
        is_new=is_new,
        tells=MappingProxyType(
            {
                one_of(attribute, kind.own, f"{at}.tells"): matching(argument, ARGUMENT, f"{at}.tells")
                for attribute, argument in tells.items()
            }
        ),
        spans=None if spans is None else one_of(spans, tuple(types), f"{at}.spans"),
        elsewhere=arguments(facts.get("elsewhere", []), f"{at}.elsewhere"),
        maybe=tuple(
            one_of(one, tuple(types), f"{at}.maybe") for one in texts(facts.get("maybe", []), f"{at}.maybe")
        ),
    )


def _grammar(kind: ResourceType) -> Grammar:
    """Of a type's ids: its own, or any plain id."""
    if not kind.grammar:
        return ID
    return Grammar(re.compile(kind.grammar, re.ASCII), f"the id of a {kind.label}, and no name or address")
