"""What is known of the resources behind connectors: imported, listed, looked up for decisions."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
import sqlalchemy as sa

from tests.runtime.recorder.support import AGENT, create_agent
from wicket.connectors import catalog, resolve
from wicket.core.entities import ALL, LISTED_MAX, Entity, EntityCache, EntityKey, EntityRef
from wicket.core.errors import Invalid, Unavailable
from wicket.core.model import Call, Json, MemberStatus, Role
from wicket.core.world import Member, World
from wicket.store import entities, tables, worlds
from wicket.store.db import Database
from wicket.store.entities import IMPORT_MAX, check_import
from wicket.store.lookups import informed, look_up

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SITE = Entity("Repository", "my-org/site", "Site", {"visibility": "private", "topics": ["b", "a", "a"]})
TEAM = Entity("Team", "a" * 8 + "-0000-4000-8000-" + "a" * 12, "Engineering", {"teamKey": "ENG"})
TOO_MANY: Json = [str(n) for n in range(101)]
ADA = Member("ada", "user-ada", "ada@example.org", Role.OWNER, MemberStatus.APPROVED)


async def tell(database: Database, service: str, *told: Entity, replace: bool = False) -> int:
    return await database.change(
        entities.put_entities,
        agent_id=AGENT,
        service=service,
        entities=check_import(service, told),
        replace=replace,
        actor_id=None,
        now=NOW,
        agents=[AGENT],
    )


async def listed(database: Database, **wanted: str) -> list[str]:
    page = await database.read(entities.list_entities, agent_id=AGENT, limit=100, offset=0, **wanted)
    assert page.total == len(page.items)
    return [stored.entity.id for stored in page.items]


async def test_what_is_imported_is_found_under_the_revision_that_it_made(database: Database) -> None:
    await database.change(create_agent, agents=[])
    before = await database.revision(AGENT)
    assert await tell(database, "github", SITE) == 1
    keys = [EntityKey("github", "Repository", one) for one in ("my-org/site", "my-org/other")]
    revision, found = await database.read(look_up, AGENT, keys)
    assert before is not None
    assert revision == before + 1
    assert found[keys[0]] == (replace(SITE, attributes={"visibility": "private", "topics": ["a", "b"]}),)
    assert found[keys[1]] == ()


async def test_an_import_replaces_what_it_names_or_everything_of_the_service(database: Database) -> None:
    await database.change(create_agent, agents=[])
    other = Entity("Repository", "my-org/other", "Other")
    await tell(database, "github", SITE, other)
    await tell(database, "linear", TEAM)
    assert await tell(database, "github", Entity("Repository", "my-org/site", "Renamed")) == 2
    assert await listed(database, search="RENAM") == ["my-org/site"]
    assert await tell(database, "github", other, replace=True) == 1
    assert await listed(database) == ["my-org/other", TEAM.id]
    assert await listed(database, service="linear", kind="Team") == [TEAM.id]


async def test_a_search_folds_the_letters_of_ascii_and_no_others(database: Database) -> None:
    await database.change(create_agent, agents=[])
    await tell(database, "github", Entity("Repository", "my-org/site", "\u00c4pfel SITE"))
    assert await listed(database, search="site") == ["my-org/site"]
    assert await listed(database, search="\u00c4PFEL") == ["my-org/site"]
    assert await listed(database, search="\u00e4pfel") == []


async def test_a_search_takes_wildcards_at_their_word(database: Database) -> None:
    await database.change(create_agent, agents=[])
    await tell(database, "github", SITE, Entity("Repository", "my-org/a_b", "100%"))
    assert await listed(database, search="%") == ["my-org/a_b"]
    assert await listed(database, search="a_b") == ["my-org/a_b"]
    assert await listed(database, search="y_o") == []


async def test_all_of_a_type_are_found_together_unless_there_are_too_many(database: Database) -> None:
    await database.change(create_agent, agents=[])
    key = EntityKey("github", "Owner", ALL)
    owners = [Entity("Owner", f"owner-{n}", "") for n in range(LISTED_MAX + 1)]
    await tell(database, "github", *owners[:LISTED_MAX])
    _, found = await database.read(look_up, AGENT, [key])
    assert len(found[key]) == LISTED_MAX
    await tell(database, "github", owners[-1])
    _, found = await database.read(look_up, AGENT, [key])
    assert found[key] == ()


async def test_a_damaged_entity_is_not_taken_for_one_that_is_not_there(database: Database) -> None:
    await database.change(create_agent, agents=[])
    await tell(database, "github", SITE)
    await database.change(_damage, agents=[AGENT])
    with pytest.raises(Unavailable) as failed:
        await database.read(look_up, AGENT, [EntityKey("github", "Repository", "my-org/site")])
    assert failed.value.code == "rules_unreadable"


async def test_a_call_is_resolved_with_what_it_asks_for(database: Database) -> None:
    await database.change(create_agent, agents=[])
    await tell(database, "github", SITE)
    world = await database.read(_world)
    ask = partial(
        resolve,
        world,
        ADA,
        "github",
        "get_commit",
        {"owner": "My-Org", "repo": "site"},
        caller_ip="192.0.2.1",
    )
    call = await database.read(informed, world, ask)
    assert isinstance(call, Call)
    assert call.resources[0].attributes["visibility"] == "private"


@pytest.mark.parametrize(
    ("service", "entity", "field"),
    [
        ("nothing", SITE, "service"),
        ("github", Entity("Planet", "earth", ""), "entities[0].type"),
        ("github", Entity("Repository", "My-Org/site", ""), "entities[0].id"),
        ("github", Entity("Repository", "my-org", ""), "entities[0].id"),
        ("github", Entity("Repository", "my-org/site.git", ""), "entities[0].id"),
        ("github", Entity("Repository", "my-org/?", ""), "entities[0].id"),
        ("github", Entity("Issue", "my-org/site#0", ""), "entities[0].id"),
        ("github", Entity("Issue", "my-org/site#new", ""), "entities[0].id"),
        ("slack", Entity("Channel", "general", ""), "entities[0].id"),
        ("github", Entity("Repository", "my-org/site", "x\x00"), "entities[0].name"),
        ("github", Entity("Repository", "my-org/site", "x" * 513), "entities[0].name"),
        (
            "github",
            Entity("Repository", "my-org/site", "", {"archived": "no"}),
            "entities[0].attributes.archived",
        ),
        ("github", Entity("Repository", "my-org/site", "", {"stars": 5}), "entities[0].attributes.stars"),
        (
            "github",
            Entity("Issue", "my-org/site#1", "", {"visibility": "public"}),
            "entities[0].attributes.visibility",
        ),
        (
            "github",
            Entity("Repository", "my-org/site", "", {"topics": TOO_MANY}),
            "entities[0].attributes.topics",
        ),
        (
            "linear",
            Entity("Issue", "ENG-1", "", {}, (EntityRef("Issue", "ENG-2"),)),
            "entities[0].parents[0].type",
        ),
        (
            "linear",
            Entity("Issue", "ENG-1", "", {}, (EntityRef("Team", "ENG"),)),
            "entities[0].parents[0].id",
        ),
    ],
)
def test_what_no_decision_would_find_is_refused(service: str, entity: Entity, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_import(service, [entity])
    assert refused.value.field == field


def test_an_import_is_bounded_and_names_each_entity_once() -> None:
    with pytest.raises(Invalid) as refused:
        check_import("github", [SITE, SITE])
    assert refused.value.field == "entities[1].id"
    with pytest.raises(Invalid) as too_many:
        check_import("github", [Entity("Owner", f"o{n}", "") for n in range(IMPORT_MAX + 1)])
    assert too_many.value.field == "entities"


def _damage(tx: sa.Connection) -> None:
    tx.execute(sa.update(tables.entities).values(attributes="[1]"))


def _world(tx: sa.Connection) -> World:
    world = worlds.load(tx, AGENT)
    assert world is not None
    return replace(world, services={"github": catalog()["github"]}, entities=EntityCache())
