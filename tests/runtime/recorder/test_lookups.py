"""Calls whose world has not been told of what they target: looked up first, wherever they are decided."""

from collections.abc import Collection
from functools import partial

import pytest

from tests.databases import Location
from tests.runtime.recorder.support import (
    AGENT,
    ALLOWED,
    CALL,
    FORBIDDEN,
    PATIENT,
    attempt,
    ledger_at,
    reader,
    recorder_at,
)
from tests.store.test_entities import SITE, tell
from wicket.core.entities import Entity, EntityKey
from wicket.core.errors import Refused
from wicket.core.model import Decision, Effect
from wicket.core.session import Facts
from wicket.core.world import World
from wicket.runtime.recorder import Judged, Recorder
from wicket.store.db import Database
from wicket.store.lookups import Found, looking_up

KEY = EntityKey("github", "Repository", "my-org/site")
PUBLIC = Entity("Repository", "my-org/site", "Site", {"visibility": "public"})


def allow_public(world: World, _facts: Facts) -> Judged:
    """As the gateway judges what targets a repository that only public ones are permitted for."""
    found = world.entities.find(KEY)
    if found is None:
        return Judged(Decision(), lacks=frozenset({KEY}))
    is_public = any(one.attributes.get("visibility") == "public" for one in found)
    return Judged(ALLOWED if is_public else FORBIDDEN, CALL)


async def test_what_a_world_has_not_been_told_is_looked_up_once(
    location: Location, database: Database, world: World
) -> None:
    await tell(database, "github", PUBLIC)
    fresh = await reader(database)(AGENT)
    assert fresh is not None
    asked: list[int] = []

    async def look_up(agent_id: str, keys: Collection[EntityKey]) -> tuple[int | None, Found]:
        asked.append(len(keys))
        return await looking_up(database)(agent_id, keys)

    recorder = Recorder(
        open_ledger=partial(ledger_at, location),
        reload_world=reader(database),
        read_revision=database.revision,
        look_up=look_up,
        limits=PATIENT,
    )
    await recorder.start()
    try:
        effects = [(await recorder.commit(attempt(allow_public), fresh)).decision.effect for _ in range(3)]
    finally:
        await recorder.stop()
    assert effects == [Effect.ALLOW] * 3
    assert asked == [1]
    assert world.revision != fresh.revision


async def test_what_belongs_to_another_revision_is_not_judged_with(
    recorder: Recorder, database: Database, world: World
) -> None:
    await tell(database, "github", PUBLIC)
    recorded = await recorder.commit(attempt(allow_public), world)
    assert recorded.decision.effect is Effect.ALLOW
    assert recorded.world.revision == world.revision + 1
    assert world.entities.find(KEY) is None


@pytest.mark.promise("P6")
async def test_an_import_binds_the_next_call_of_every_process(
    location: Location, recorder: Recorder, database: Database, world: World
) -> None:
    await tell(database, "github", PUBLIC)
    other = recorder_at(location, database)
    await other.start()
    try:
        known = [(await one.commit(attempt(allow_public), world)).world for one in (recorder, other)]
        await tell(database, "github", SITE)
        decided = [
            await one.commit(attempt(allow_public), told)
            for one, told in zip((recorder, other), known, strict=True)
        ]
    finally:
        await other.stop()
    assert [told.entities.find(KEY) for told in known] == [(PUBLIC,), (PUBLIC,)]
    assert [one.decision.effect for one in decided] == [Effect.DENY, Effect.DENY]


async def test_the_third_time_it_is_looked_up_inside_the_transaction(
    location: Location, database: Database, world: World
) -> None:
    async def always_too_late(_agent_id: str) -> World:
        return world

    recorder = Recorder(
        open_ledger=partial(ledger_at, location),
        reload_world=always_too_late,
        read_revision=database.revision,
        look_up=looking_up(database),
        limits=PATIENT,
    )
    await tell(database, "github", PUBLIC)
    await recorder.start()
    try:
        recorded = await recorder.commit(attempt(allow_public), world)
    finally:
        await recorder.stop()
    assert recorded.decision.effect is Effect.ALLOW
    assert recorded.world.revision == world.revision + 1
    assert recorded.world.entities.find(KEY) == (PUBLIC,)


async def test_what_goes_on_asking_is_not_decided(recorder: Recorder, world: World) -> None:
    def insatiable(_world: World, _facts: Facts) -> Judged:
        return Judged(Decision(Effect.ALLOW), CALL, lacks=frozenset({KEY}))

    with pytest.raises(Refused) as refused:
        await recorder.commit(attempt(insatiable), world)
    assert refused.value.status == 503
