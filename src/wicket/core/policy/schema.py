"""A policy's surroundings as a schema of Cedar's, so that Cedar can tell before it is saved whether it may ever fail.

Entities are those of the service's connector; the context has what the policy reads, each value with its one type.
What a call may not have is optional, and Cedar then asks that the policy looks (`has`) before it reads.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from wicket.core.model import SEARCH_TYPE, SERVICE_TYPE, AttributeKind, Connector, JsonObject
from wicket.core.policy.compile_arguments import ARGUMENTS, Record
from wicket.core.policy.compile_resources import UNKNOWN

LONG: Final[JsonObject] = {"type": "Long"}
TEXT: Final[JsonObject] = {"type": "String"}
FLAG: Final[JsonObject] = {"type": "Boolean"}
TEXTS: Final[JsonObject] = {"type": "Set", "element": TEXT}
ADDRESS: Final[JsonObject] = {"type": "Extension", "name": "ipaddr"}

OF_ATTRIBUTE: Final = {
    AttributeKind.TEXT: TEXT,
    AttributeKind.BOOLEAN: FLAG,
    AttributeKind.INTEGER: LONG,
    AttributeKind.TEXTS: TEXTS,
}
OF_RECORD: Final[dict[str, JsonObject]] = {
    Record.TEXTS: TEXT,
    Record.NUMBERS: LONG,
    Record.FLAGS: FLAG,
    Record.TEXT_LISTS: TEXTS,
    Record.NUMBER_LISTS: {"type": "Set", "element": LONG},
    Record.PRESENT: FLAG,
    Record.ALL: FLAG,
    Record.ANY: FLAG,
}
ACTION: Final = "call"
"""The one action: what a policy may read does not depend on the tool."""


def build_schema(namespace: str, connector: Connector | None, reads: Iterable[tuple[str, ...]]) -> JsonObject:
    """The schema for a policy that reads `reads` of the context."""
    types = {} if connector is None else connector.resource_types
    entities: JsonObject = {"User": {}, SERVICE_TYPE: {}}
    for kind in types.values():
        entities[kind.name] = _entity(kind.within, kind.attributes)
    if types:
        every = {name: one for kind in types.values() for name, one in kind.attributes.items()}
        entities[SEARCH_TYPE] = _entity(types, every)
    targets = [name for name in entities if name != "User"]
    context = _record({path: _type_of(path) for path in reads})
    applies: JsonObject = {"principalTypes": ["User"], "resourceTypes": [*targets], "context": context}
    return {namespace: {"entityTypes": entities, "actions": {ACTION: {"appliesTo": applies}}}}


def _entity(within: Iterable[str], attributes: Mapping[str, AttributeKind]) -> JsonObject:
    shape: JsonObject = {UNKNOWN: {**TEXTS, "required": False}}
    shape |= {name: {**OF_ATTRIBUTE[kind], "required": False} for name, kind in attributes.items()}
    return {"memberOfTypes": [*within], "shape": {"type": "Record", "attributes": shape}}


def _record(types: Mapping[tuple[str, ...], JsonObject], above: tuple[str, ...] = ()) -> JsonObject:
    """A record of what lies at each path, and of records where paths go on."""
    depth = len(above)
    attributes: JsonObject = {}
    for name in dict.fromkeys(path[depth] for path in types):
        path = (*above, name)
        inner = {longer: kind for longer, kind in types.items() if longer[: depth + 1] == path}
        attributes[name] = (
            {**types[path], "required": not _is_optional(path)} if path in types else _record(inner, path)
        )
    return {"type": "Record", "attributes": attributes}


def _type_of(path: tuple[str, ...]) -> JsonObject:
    match path:
        case ("ip",):
            return ADDRESS
        case ("userId",):
            return TEXT
        case (_, "labels"):
            return TEXTS
        case (first, record, _) if first == ARGUMENTS:
            return OF_RECORD[record]
        case _:
            return LONG


def _is_optional(path: tuple[str, ...]) -> bool:
    """Whether a call may have no such value, and the policy is decided without it; all else it must have."""
    if path[0] == ARGUMENTS:
        return path[1] not in (Record.ALL, Record.ANY)
    return path[0] == "session" and len(path) > len(("session", "denyCount"))
