"""The mapping of services whose tools name their resources by plain ids: data in the catalog, no code.

    [targets.table]
    type = "Table"
    arguments = { Table = "tableId", Base = "baseId" }

names the argument of the resource and of those of its containers that the call names; the others are unknown. Where
`composed` is true, an id means something within its container alone, and is written behind the container's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from wicket.connectors.arguments import Grammar
from wicket.connectors.knowledge import Mapper, Question
from wicket.connectors.tables import ARGUMENT, Table, check_fields, flag, matching, one_of, table
from wicket.core.entities import EntityRef
from wicket.core.errors import Invalid
from wicket.core.model import UNKNOWN_ID, Resource, ResourceType

ID: Final = Grammar(
    re.compile(r"(?!.*\.\.)(?!.*[.:]\Z)[A-Za-z0-9_][A-Za-z0-9_.:@~-]{0,254}", re.ASCII),
    "a plain id: letters, digits, `_`, `-`, `.`, `:`, `@` and `~`, and no address",
)
_FIELDS: Final = frozenset({"type", "arguments", "composed"})


@dataclass(frozen=True, slots=True)
class PlainTarget:
    """A resource that the call names by ids."""

    kind: ResourceType
    arguments: Mapping[str, str]
    """Type -> argument: of the resource itself, and of its containers that are named."""
    is_composed: bool

    def __call__(self, question: Question) -> list[Resource]:
        """The resource, or where its own id is missing an unknown one in its containers; none: nothing is named."""
        ids: dict[str, str] = {}
        for kind in (*reversed(self.kind.within), self.kind.name):
            argument = self.arguments.get(kind)
            said = None if argument is None else question.arguments.text(argument, ID)
            ids[kind] = said or UNKNOWN_ID
        if all(one == UNKNOWN_ID for one in ids.values()):
            return []
        if self.is_composed:
            path = ""
            for kind, one in ids.items():
                path = ids[kind] = f"{path}/{one}" if path else one
        within = [EntityRef(kind, ids[kind]) for kind in self.kind.within]
        return [question.known.resource(self.kind.name, ids[self.kind.name], within)]


def parse_targets(raw: Table, service: str, types: Mapping[str, ResourceType]) -> Mapping[str, Mapper]:
    """The `[targets]` of a service's file; raises Invalid."""
    targets: dict[str, Mapper] = {}
    for name, said in table(raw.get("targets", {}), f"{service}.targets").items():
        at = f"{service}.targets.{name}"
        facts = table(said, at)
        check_fields(facts, _FIELDS, at)
        kind = types[one_of(facts.get("type"), tuple(types), f"{at}.type")]
        named = table(facts.get("arguments"), f"{at}.arguments")
        arguments = {
            one_of(of, (kind.name, *kind.within), f"{at}.arguments"): matching(
                argument, ARGUMENT, f"{at}.arguments.{of}"
            )
            for of, argument in named.items()
        }
        if not arguments:
            raise Invalid("at least one argument is needed", field=f"{at}.arguments")
        targets[name] = PlainTarget(
            kind, MappingProxyType(arguments), flag(facts.get("composed", False), f"{at}.composed")
        )
    return MappingProxyType(targets)
