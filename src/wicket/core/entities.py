"""What is known of the resources behind a connector, as far as a decision reads it.

An agent's entities change under its revision like everything else that rules are made of, so what was read of them
is kept with the world that it belongs to, and goes with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from wicket.core.model import Json

CACHED_MAX: Final = 2_000
"""Answers that a world keeps at hand."""
LISTED_MAX: Final = 500
"""Entities of one type that are read together (`ALL`); of a type with more, none is known by its name."""
ALL: Final = "*"
"""In place of an id: every entity of the type."""


class EntityKey(NamedTuple):
    """Which entities of an agent are meant; `id` is an id, or `ALL`."""

    service: str
    type: str
    id: str


class EntityRef(NamedTuple):
    """An entity of the same service."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Entity:
    """What was harvested or imported of one resource: metadata, never contents."""

    type: str
    """Name of its type, without the namespace: `Repository`."""
    id: str
    name: str
    attributes: Mapping[str, Json] = field(default_factory=dict)
    parents: tuple[EntityRef, ...] = ()


class EntityCache:
    """What a world has been told, bounded. The event loop alone adds to it; any thread may look into it."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[EntityKey, tuple[Entity, ...]] = {}

    def find(self, key: EntityKey) -> tuple[Entity, ...] | None:
        """What there is of `key`; empty: nothing; None: nobody has looked it up."""
        return self._known.get(key)

    def keep(self, found: Mapping[EntityKey, tuple[Entity, ...]]) -> None:
        """Take in what was looked up; the oldest goes first when there is too much."""
        self._known.update(found)
        self._drop(max(0, len(self._known) - CACHED_MAX))

    def _drop(self, count: int) -> None:
        oldest: Iterable[EntityKey] = list(self._known)[:count] if count else ()
        for key in oldest:
            self._known.pop(key, None)
