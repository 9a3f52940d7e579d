"""From names to resources: what is known of each, what is not, and what would have to be looked up first.

An attribute that a resource has is known or unknown, never left out: a forbid that asks for it must hold where
nobody has told us. Attributes of containers belong to what lies in them.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from wicket.connectors.arguments import Arguments
from wicket.core.entities import ALL, Entity, EntityCache, EntityKey, EntityRef
from wicket.core.model import (
    SEARCH_TYPE,
    UNKNOWN_ID,
    AttributeKind,
    Connector,
    EntityUid,
    Json,
    Resource,
    ResourceType,
)

INTEGERS_END: Final = 2**63
"""Cedar's whole numbers are below."""


class EntitiesNeeded(Exception):
    """The world has not been told of these: look them up, put them into its cache, and ask again."""

    def __init__(self, keys: frozenset[EntityKey]) -> None:
        super().__init__(f"{len(keys)} entities have not been looked up")
        self.keys = keys


class Knowledge:
    """What one call may know of a service's entities; it collects what it was asked for and has not got."""

    def __init__(self, connector: Connector, cache: EntityCache) -> None:
        self._connector = connector
        self._types = connector.resource_types
        self._cache = cache
        self.missing: set[EntityKey] = set()

    def find(self, kind: str, entity_id: str) -> Entity | None:
        """The entity; None where there is none, or nobody has looked (see `missing`)."""
        return next(iter(self._told(kind, entity_id)), None)

    def all_of(self, kind: str) -> Sequence[Entity]:
        """Every entity of a type, or none at all where there are too many to look through."""
        return self._told(kind, ALL)

    def resource(
        self,
        kind: str,
        entity_id: str,
        within: Iterable[EntityRef] = (),
        *,
        is_new: bool = False,
        spans: str | None = None,
        unsure: Iterable[str] = (),
    ) -> Resource:
        """A resource in its containers, nearest first.

        `is_new`: the call makes it, so it has no attributes of its own yet. `spans`: the call goes through
        everything of this type that lies in it. `unsure` names attributes that it may have beside its type's.
        """
        described, containers = self._types[kind], list(within)
        chain = [] if is_new else [EntityRef(kind, entity_id)]
        attributes, unknown = self._attributes(described, [*chain, *containers], is_new=is_new)
        missing = set(unknown)
        if spans is not None:
            missing.update(self._types[spans].own)
            containers.append(EntityRef(spans, UNKNOWN_ID))
        missing.update(unsure)
        parents = [self._uid(kind, UNKNOWN_ID)] if _is_vague(entity_id) else []
        for container in containers:
            if _is_vague(container.id):
                parents.append(self._uid(container.type, UNKNOWN_ID))
            parents.append(self._uid(*container))
        return Resource(
            self._uid(kind, entity_id),
            tuple(parents),
            attributes,
            frozenset(missing),
        )

    def unknown(self, kind: str) -> Resource:
        """Something of this type, nobody knows which, with its containers."""
        return self.resource(kind, UNKNOWN_ID, [EntityRef(t, UNKNOWN_ID) for t in self._types[kind].within])

    def search(self, name: str | None = None, within: Iterable[EntityRef] = ()) -> Resource:
        """What crosses resources: it may touch any, so it lies in an unknown one of each type."""
        everywhere = [EntityRef(kind, UNKNOWN_ID) for kind in self._types]
        inside = list(within)
        named = {kind for kind, _ in inside}
        return Resource(
            self._uid(SEARCH_TYPE, name or self._connector.key),
            tuple(self._uid(*one) for one in (*inside, *(e for e in everywhere if e.type not in named))),
            {},
            frozenset(a for described in self._types.values() for a in described.attributes),
        )

    def _attributes(
        self, described: ResourceType, chain: Sequence[EntityRef], *, is_new: bool
    ) -> tuple[dict[str, Json], set[str]]:
        """(known, unknown) attributes of a resource; each is told by the nearest in the chain that has it."""
        applying = set(described.attributes).difference(described.own if is_new else ())
        known: dict[str, Json] = {}
        for kind, entity_id in chain:
            container = self._types[kind]
            if not container.own or UNKNOWN_ID in entity_id:
                continue
            entity = self.find(kind, entity_id)
            if entity is None:
                continue
            for name in container.own:
                value = as_value(entity.attributes.get(name), container.attributes[name])
                if value is not None and name in applying:
                    known.setdefault(name, value)
        return known, applying - set(known)

    def _told(self, kind: str, entity_id: str) -> Sequence[Entity]:
        key = EntityKey(self._connector.key, kind, entity_id)
        found = self._cache.find(key)
        if found is None:
            self.missing.add(key)
            return ()
        return found

    def _uid(self, kind: str, entity_id: str) -> EntityUid:
        return EntityUid(f"{self._connector.namespace}::{kind}", entity_id)


def _is_vague(entity_id: str) -> bool:
    """Whether a part of an id is known, and the thing itself is not."""
    return UNKNOWN_ID in entity_id and entity_id != UNKNOWN_ID


class Question:
    """One call, as far as its resources go: what is asked of a connector's mapper."""

    __slots__ = ("arguments", "known", "selector")

    def __init__(self, arguments: Arguments, selector: str | None, known: Knowledge) -> None:
        self.arguments = arguments
        self.selector = selector
        self.known = known


Mapper: TypeAlias = Callable[[Question], Sequence[Resource]]
"""The resources of a call, none where it names none; raises Invalid for what is not in the grammar."""


def find_everywhere(question: Question) -> Sequence[Resource]:
    """The mapper of what crosses resources."""
    return [question.known.search()]


def as_value(told: Json, kind: AttributeKind) -> Json:
    """An attribute's value, sets in order; None where it is not of its kind, which is as good as not told."""
    match kind:
        case AttributeKind.TEXT if isinstance(told, str):
            return told
        case AttributeKind.BOOLEAN if isinstance(told, bool):
            return told
        case AttributeKind.INTEGER if isinstance(told, int) and not isinstance(told, bool):
            return told if abs(told) < INTEGERS_END else None
        case AttributeKind.TEXTS if isinstance(told, list) and all(isinstance(one, str) for one in told):
            return [*sorted({one for one in told if isinstance(one, str)})]
        case _:
            return None
