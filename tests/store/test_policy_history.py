"""Which policies were in force, under a revision and at an instant, on both databases."""

from datetime import datetime, timedelta

from tests.store.scene import LATER, NOW, Scene, set_scene
from tests.store.test_policies import delete, document, save, toggle
from wicket.store import policies, worlds
from wicket.store.db import Database
from wicket.store.policies import InForce


async def under(scene: Scene, revision: int, at: datetime = NOW) -> InForce:
    return await scene.database.read(
        policies.policies_under, agent_id=scene.agent_id, revision=revision, at=at
    )


def named(found: InForce) -> list[tuple[str, int]]:
    return sorted((policy.ref.name, policy.ref.version) for policy in found.policies)


async def test_what_bound_under_a_revision_is_told_exactly(database: Database) -> None:
    scene = await set_scene(database)
    revisions, expected = [], []

    async def note(*names: tuple[str, int]) -> None:
        revision = await database.revision(scene.agent_id)
        assert revision is not None
        revisions.append(revision)
        expected.append([*names])

    await note()
    first = await save(scene, document("One"))
    await note(("One", 1))
    second = await save(scene, document("Two"))
    await note(("One", 1), ("Two", 1))
    await save(scene, document("Renamed"), policy_id=first.id)
    await note(("Renamed", 2), ("Two", 1))
    await toggle(scene, second, enabled=False)
    await note(("Renamed", 2))
    await toggle(scene, second, enabled=True)
    await note(("Renamed", 2), ("Two", 1))
    await delete(scene, first)
    await note(("Two", 1))
    # All within two instants: only revisions tell these states apart.
    found = [await under(scene, revision) for revision in revisions]
    assert [named(one) for one in found] == expected
    assert all(one.is_exact for one in found)
    world = await database.read(worlds.load, scene.agent_id)
    assert world is not None
    assert found[-1].policies == world.policies


async def test_an_instant_is_as_exact_as_the_clock(database: Database) -> None:
    scene = await set_scene(database)
    saved = await save(scene, document())
    await save(scene, document("Renamed"), policy_id=saved.id, now=LATER)
    second = timedelta(seconds=1)
    at = {
        name: await database.read(policies.policies_at, agent_id=scene.agent_id, at=instant)
        for name, instant in (("before", NOW - second), ("then", LATER - second), ("after", LATER))
    }
    assert {name: named(found) for name, found in at.items()} == {
        "before": [],
        "then": [("No merges", 1)],
        "after": [("Renamed", 2)],
    }
    assert not at["then"].is_exact
