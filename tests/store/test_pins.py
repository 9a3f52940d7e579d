"""Pinned tools: what is accepted, held and reviewed, on both databases."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.store.scene import LATER, NOW, SERVER, Scene, set_scene
from wicket.core.errors import Invalid, NotFound
from wicket.core.model import JsonObject, Tier
from wicket.core.world import ToolPin
from wicket.store import connectors, members, pins, worlds
from wicket.store.db import Database
from wicket.store.pins import PinnedTool, SeenTool
from wicket.store.pins.observing import PINS_MAX


def seen(
    name: str, hash_: str = "h1", tier: Tier = Tier.DESTRUCTIVE, *, annotations: JsonObject | None = None
) -> SeenTool:
    definition: JsonObject = {"name": name, "annotations": annotations or {}}
    return SeenTool(name, hash_, definition, tier)


async def observe(
    scene: Scene, *tools: SeenTool, service: str = "github", member_id: str | None = None, now: Any = NOW
) -> bool:
    return await scene.database.change(
        pins.observe,
        agent_id=scene.agent_id,
        service=service,
        member_id=member_id or scene.member.id,
        seen=tools,
        now=now,
        agents=[scene.agent_id],
    )


async def review(scene: Scene, tool: str, *, service: str = "github", **word: Any) -> PinnedTool:
    return await scene.database.change(
        pins.review,
        agent_id=scene.agent_id,
        service=service,
        tool=tool,
        actor_id=scene.owner.account_id,
        now=LATER,
        **word,
        agents=[scene.agent_id],
    )


async def listed(scene: Scene, service: str = "github") -> Sequence[PinnedTool]:
    return await scene.database.read(pins.list_tools, agent_id=scene.agent_id, service=service)


async def pin_of(scene: Scene, tool: str, service: str = "github") -> ToolPin:
    world = await scene.database.read(worlds.load, scene.agent_id)
    assert world is not None
    return world.pins[service, tool]


async def test_the_first_definition_of_a_catalog_tool_is_accepted(database: Database) -> None:
    scene = await set_scene(database)
    assert await observe(scene, seen("delete_file"))
    assert await pin_of(scene, "delete_file") == ToolPin(tier=None, accepted=frozenset({"h1"}))
    (tool,) = await listed(scene)
    assert (tool.tier, tool.held, tool.changes) == (Tier.DESTRUCTIVE, False, ())


async def test_seeing_the_same_again_changes_nothing(database: Database) -> None:
    scene = await set_scene(database)
    await observe(scene, seen("delete_file"))
    before = await scene.kinds()
    assert not await observe(scene, seen("delete_file"), now=LATER)
    assert not await observe(scene, seen("delete_file"), member_id=scene.owner.id)
    assert await scene.kinds() == before


async def test_a_tool_in_no_table_waits_for_a_review(database: Database) -> None:
    scene = await set_scene(database)
    assert await observe(scene, seen("brand_new", tier=Tier.READ))
    (tool,) = await listed(scene)
    assert (tool.tier, tool.proposed_tier) == (None, Tier.READ)
    assert (await pin_of(scene, "brand_new")).tier is None
    assert (await scene.kinds())[-1] == "tools_observed"
    reviewed = await review(scene, "brand_new", tier=Tier.WRITE)
    assert (reviewed.tier, reviewed.reviewed_at) == (Tier.WRITE, LATER)
    assert (await pin_of(scene, "brand_new")).tier is Tier.WRITE
    assert (await scene.kinds())[-1] == "tool_reviewed"


@pytest.mark.promise("P14")
async def test_a_changed_definition_is_held_for_its_member_alone(database: Database) -> None:
    scene = await set_scene(database)
    await observe(scene, seen("delete_file"))
    assert await observe(scene, seen("delete_file", "h2"), now=LATER)
    pin = await pin_of(scene, "delete_file")
    assert (pin.accepted, pin.changed_for) == (frozenset({"h1"}), frozenset({scene.member.id}))
    (tool,) = await listed(scene)
    (change,) = tool.changes
    assert (change.member_id, change.hash, change.seen_at) == (scene.member.id, "h2", LATER)
    assert not await observe(scene, seen("delete_file"), member_id=scene.owner.id)


async def test_a_definition_that_changes_back_is_no_longer_held(database: Database) -> None:
    scene = await set_scene(database)
    await observe(scene, seen("delete_file"))
    await observe(scene, seen("delete_file", "h2"))
    assert await observe(scene, seen("delete_file"))
    assert (await pin_of(scene, "delete_file")).changed_for == frozenset()
    assert not await observe(scene, seen("delete_file"))


async def test_a_definition_that_changes_twice_is_held_as_it_is_now(database: Database) -> None:
    scene = await set_scene(database)
    await observe(scene, seen("delete_file"))
    await observe(scene, seen("delete_file", "h2"))
    assert await observe(scene, seen("delete_file", "h3"), now=LATER)
    (tool,) = await listed(scene)
    assert [change.hash for change in tool.changes] == ["h3"]


async def test_a_review_accepts_everything_that_is_pending(database: Database) -> None:
    scene = await set_scene(database)
    await observe(scene, seen("delete_file"))
    await observe(scene, seen("delete_file", "h2"))
    await observe(
        scene,
        seen("delete_file", "h3", annotations={"readOnlyHint": False}),
        member_id=scene.owner.id,
        now=LATER,
    )
    tool = await review(scene, "delete_file", tier=Tier.DESTRUCTIVE)
    assert (tool.accepted, tool.changes) == (("h1", "h2", "h3"), ())
    assert tool.definition == seen("delete_file", "h3", annotations={"readOnlyHint": False}).definition
    for hash_ in ("h1", "h2", "h3"):
        assert not await observe(scene, seen("delete_file", hash_))


async def test_a_held_tool_is_held_until_a_tier_is_given(database: Database) -> None:
    scene = await set_scene(database)
    await observe(scene, seen("delete_file"))
    await observe(scene, seen("delete_file", "h2"))
    held = await review(scene, "delete_file", hold=True)
    assert (held.held, len(held.changes)) == (True, 1)
    assert (await pin_of(scene, "delete_file")).held
    freed = await review(scene, "delete_file", tier=Tier.DESTRUCTIVE)
    assert (freed.held, freed.changes) == (False, ())


async def test_a_catalog_tool_may_be_held_before_it_is_seen(database: Database) -> None:
    scene = await set_scene(database)
    await review(scene, "delete_file", hold=True)
    assert await observe(scene, seen("delete_file"))
    assert await pin_of(scene, "delete_file") == ToolPin(tier=None, accepted=frozenset({"h1"}), held=True)


async def test_a_tier_given_before_a_tool_is_seen_stands(database: Database) -> None:
    scene = await set_scene(database)
    await review(scene, "get_me", tier=Tier.WRITE)
    await observe(scene, seen("get_me", annotations={"destructiveHint": True}))
    assert (await pin_of(scene, "get_me")).tier is Tier.WRITE


@pytest.mark.parametrize("word", [{}, {"tier": Tier.READ, "hold": True}])
async def test_a_review_says_one_thing(database: Database, word: dict[str, Any]) -> None:
    scene = await set_scene(database)
    await observe(scene, seen("delete_file"))
    with pytest.raises(Invalid):
        await review(scene, "delete_file", **word)


async def test_a_tool_that_nobody_knows_cannot_be_reviewed(database: Database) -> None:
    scene = await set_scene(database)
    with pytest.raises(NotFound):
        await review(scene, "never_seen", tier=Tier.READ)


async def test_annotations_raise_the_tier_of_a_catalog_tool_and_never_lower_it(database: Database) -> None:
    scene = await set_scene(database)
    cases: list[tuple[str, JsonObject, Tier | None]] = [
        ("get_me", {}, None),
        ("list_branches", {"readOnlyHint": True}, None),
        ("get_commit", {"readOnlyHint": False}, Tier.WRITE),
        ("get_tag", {"readOnlyHint": False, "destructiveHint": True}, Tier.DESTRUCTIVE),
        ("list_tags", {"readOnlyHint": True, "destructiveHint": True}, None),
        ("push_files", {"readOnlyHint": False}, None),
        ("create_branch", {"destructiveHint": True}, Tier.DESTRUCTIVE),
        ("create_gist", {"readOnlyHint": True}, None),
        ("delete_file", {"readOnlyHint": True, "destructiveHint": False}, None),
        ("merge_pull_request", {"destructiveHint": True}, None),
    ]
    await observe(scene, *(seen(tool, annotations=annotations) for tool, annotations, _ in cases))
    assert [(await pin_of(scene, tool)).tier for tool, *_ in cases] == [raised for *_, raised in cases]


async def test_a_name_listed_twice_is_held_when_one_definition_is_foreign(database: Database) -> None:
    scene = await set_scene(database)
    await observe(scene, seen("delete_file"))
    assert await observe(scene, seen("delete_file"), seen("delete_file", "h2"))
    assert (await pin_of(scene, "delete_file")).changed_for == {scene.member.id}


async def test_a_name_that_no_call_can_have_is_not_pinned(database: Database) -> None:
    scene = await set_scene(database)
    names = ("", "delete file", "delete_file\u200b", "d\u0435lete_file", "a" * 129, "a::b", "delete_file\n")
    tools = [seen(name) for name in names]
    assert not await observe(scene, *tools)
    assert not pins.may_be_news({}, service="github", member_id=scene.member.id, seen=tools)
    assert await listed(scene) == ()


async def test_an_upstream_cannot_fill_the_database_with_names(database: Database) -> None:
    scene = await set_scene(database)
    await observe(scene, *(seen(f"tool_{n}") for n in range(PINS_MAX + 5)))
    assert len(await listed(scene)) == PINS_MAX
    assert await observe(scene, seen("delete_file"))
    assert not await observe(scene, seen("one_more"))


async def test_what_a_world_calls_news_is_news(database: Database) -> None:
    scene = await set_scene(database)
    steps = [
        [seen("delete_file"), seen("brand_new")],
        [seen("delete_file")],
        [seen("delete_file", "h2")],
        [seen("delete_file"), seen("brand_new")],
        [seen("delete_file"), seen("brand_new")],
    ]
    for step in steps:
        world = await database.read(worlds.load, scene.agent_id)
        assert world is not None
        told = pins.may_be_news(world.pins, service="github", member_id=scene.member.id, seen=step)
        assert told == await observe(scene, *step)


async def test_the_changes_of_a_removed_member_wait_for_nobody(database: Database) -> None:
    scene = await set_scene(database)
    await observe(scene, seen("delete_file"))
    await observe(scene, seen("delete_file", "h2"))
    await database.change(
        members.remove,
        agent_id=scene.agent_id,
        member_id=scene.member.id,
        actor_id=None,
        now=LATER,
        agents=[scene.agent_id],
    )
    (tool,) = await listed(scene)
    assert tool.changes == ()


async def test_tiers_accepted_with_a_custom_connector_hold_for_those_definitions_only(
    database: Database,
) -> None:
    scene = await set_scene(database, services=["mine"])
    look, wipe = seen("look", tier=Tier.READ), seen("wipe")
    spec = connectors.ConnectorSpec(
        key="mine", name="Mine", url="https://mcp.example.com/mcp", tier_from_annotations=True
    )
    await database.change(
        connectors.create_connector,
        account_id=scene.owner.account_id,
        spec=spec,
        tools=(look, wipe),
        server=SERVER,
        now=NOW,
        agents=(),
    )
    await observe(scene, look, replace(wipe, hash="other"), seen("later", tier=Tier.READ), service="mine")
    tiers = {tool.name: tool.tier for tool in await listed(scene, "mine")}
    assert tiers == {"look": Tier.READ, "wipe": None, "later": None}


async def test_an_agent_that_enables_a_custom_connector_has_its_tools_at_once(database: Database) -> None:
    scene = await set_scene(database, services=["mine"])
    spec = connectors.ConnectorSpec(
        key="mine", name="Mine", url="https://mcp.example.com/mcp", tier_from_annotations=True
    )
    await database.change(
        connectors.create_connector,
        account_id=scene.owner.account_id,
        spec=spec,
        tools=[seen("look", tier=Tier.READ)],
        server=SERVER,
        now=NOW,
        agents=(),
    )
    for _ in range(2):
        await database.change(
            pins.seed_connector_tools,
            agent_id=scene.agent_id,
            service="mine",
            now=NOW,
            agents=[scene.agent_id],
        )
    assert await pin_of(scene, "look", "mine") == ToolPin(tier=Tier.READ, accepted=frozenset({"h1"}))
    assert not await observe(scene, seen("look", tier=Tier.READ), service="mine")
