"""What a decision looks up of an agent's entities: a few rows by their keys, with the revision they belong to."""

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import sqlalchemy as sa

from wicket.connectors.knowledge import EntitiesNeeded
from wicket.core.entities import ALL, LISTED_MAX, Entity, EntityKey, EntityRef
from wicket.core.errors import Unavailable
from wicket.core.world import World
from wicket.store import tables
from wicket.store.db import Database

Found: TypeAlias = Mapping[EntityKey, tuple[Entity, ...]]
"""Of every key that was asked for; empty where there is nothing, or too much of a type."""

T = TypeVar("T")

ROUNDS_MAX: Final = 4
"""What is found in one look may name what the next one needs."""
LookUp: TypeAlias = Callable[[str, Collection[EntityKey]], Awaitable[tuple[int | None, Found]]]
"""`look_up` over a database."""
_rows = tables.entities.c
COLUMNS = (_rows.service, _rows.type, _rows.id, _rows.name, _rows.attributes, _rows.parents)


def look_up(tx: sa.Connection, agent_id: str, keys: Collection[EntityKey]) -> tuple[int | None, Found]:
    """(the agent's revision, or None when it is gone; the entities), in one snapshot."""
    agents = tables.agents.c
    revision = tx.execute(
        sa.select(agents.revision).where(agents.id == agent_id, agents.deleted_at.is_(None))
    ).scalar_one_or_none()
    return revision, load_entities(tx, agent_id, keys)


def looking_up(database: Database) -> LookUp:
    """Looks up entities in read snapshots of their own."""

    async def find(agent_id: str, keys: Collection[EntityKey]) -> tuple[int | None, Found]:
        return await database.read(look_up, agent_id, keys)

    return find


def load_entities(tx: sa.Connection, agent_id: str, keys: Collection[EntityKey]) -> Found:
    """The entities of each key; raises Unavailable when a row cannot be understood."""
    found: dict[EntityKey, tuple[Entity, ...]] = dict.fromkeys(keys, ())
    ids: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for key in keys:
        if key.id != ALL:
            ids[key.service, key.type].append(key.id)
            continue
        every = sa.select(*COLUMNS).where(
            _rows.agent_id == agent_id, _rows.service == key.service, _rows.type == key.type
        )
        listed = [parse_entity(row) for row in tx.execute(every.order_by(_rows.id).limit(LISTED_MAX + 1))]
        found[key] = tuple(listed) if len(listed) <= LISTED_MAX else ()
    if ids:
        named = sa.select(*COLUMNS).where(_rows.agent_id == agent_id, sa.or_(*_among(ids.items())))
        for row in tx.execute(named):
            found[EntityKey(row.service, row.type, row.id)] = (parse_entity(row),)
    return found


def parse_entity(row: sa.Row[*tuple[Any, ...]]) -> Entity:
    """A row of `COLUMNS` as a value; raises Unavailable when somebody else has damaged it."""
    try:
        attributes = dict(json.loads(row.attributes))
        refs = tuple(EntityRef(str(kind), str(entity_id)) for kind, entity_id in json.loads(row.parents))
    except (ValueError, TypeError) as error:
        raise Unavailable(
            f"the entity `{row.id}` of `{row.service}` cannot be read: the database was changed by something else",
            code="rules_unreadable",
        ) from error
    return Entity(row.type, row.id, row.name, attributes, refs)


def _among(ids: Iterable[tuple[tuple[str, str], list[str]]]) -> list[sa.ColumnElement[bool]]:
    return [
        sa.and_(_rows.service == service, _rows.type == kind, _rows.id.in_(wanted))
        for (service, kind), wanted in ids
    ]


async def informed_apart(database: Database, world: World, ask: Callable[[], Awaitable[T]]) -> T:
    """As `informed`, for an answer that takes long: the database is read in between, and not held meanwhile."""
    for _ in range(ROUNDS_MAX):
        try:
            return await ask()
        except EntitiesNeeded as needed:
            world.entities.keep(await database.read(load_entities, world.agent_id, needed.keys))
    return await ask()


def informed(tx: sa.Connection, world: World, ask: Callable[[], T]) -> T:
    """The answer of what raises EntitiesNeeded where `world` has not been told enough, after telling it."""
    for _ in range(ROUNDS_MAX):
        try:
            return ask()
        except EntitiesNeeded as needed:
            world.entities.keep(load_entities(tx, world.agent_id, needed.keys))
    return ask()
