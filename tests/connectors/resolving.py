"""Resolving calls over a world whose entities are given, for tests of the mappers."""

from dataclasses import replace

from tests.connectors.test_resolve import ADA, WORLD
from wicket.connectors import catalog, resolve
from wicket.connectors.knowledge import EntitiesNeeded
from wicket.connectors.resolve import Resolution
from wicket.core.entities import ALL, Entity, EntityCache, EntityKey
from wicket.core.model import Call, Decision, JsonObject, Reason

ROUNDS = 4


def ask(service: str, tool: str, arguments: JsonObject, *entities: Entity) -> Resolution:
    """What a call comes to where these are all the entities that there are."""
    world = replace(WORLD, services=dict(catalog()), entities=EntityCache())
    for _ in range(ROUNDS):
        try:
            return resolve(world, ADA, service, tool, arguments, caller_ip="192.0.2.1")
        except EntitiesNeeded as needed:
            world.entities.keep({key: found(key, entities) for key in needed.keys})
    raise AssertionError("it goes on asking")


def found(key: EntityKey, entities: tuple[Entity, ...]) -> tuple[Entity, ...]:
    """What the store would answer."""
    return tuple(one for one in entities if one.type == key.type and key.id in (ALL, one.id))


def call_of(service: str, tool: str, arguments: JsonObject, *entities: Entity) -> Call:
    resolution = ask(service, tool, arguments, *entities)
    assert isinstance(resolution, Call), resolution
    return resolution


def targets(call: Call) -> list[str]:
    """Its resources, without the namespace: `Repository my-org/site`."""
    return [f"{one.uid.type.partition('::')[2]} {one.uid.id}" for one in call.resources]


def containers(call: Call, index: int = 0) -> list[str]:
    return [f"{one.type.partition('::')[2]} {one.id}" for one in call.resources[index].parents]


def is_rejected(service: str, tool: str, arguments: JsonObject) -> bool:
    resolution = ask(service, tool, arguments)
    return isinstance(resolution, Decision) and resolution.reason is Reason.ARGUMENTS_REJECTED
