"""Policies: saves, versions, toggles and what may be named in them, on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from tests.store.scene import LATER, NOW, SERVER, Scene, add_member, set_scene
from wicket.core.errors import Conflict, Invalid, NotFound
from wicket.core.model import Json, JsonObject, Tier, TrustMode
from wicket.core.policy.document import PolicyDocument, digest_of, parse_policy
from wicket.store import connectors, members, pins, policies, worlds
from wicket.store.db import Database
from wicket.store.pins import SeenTool
from wicket.store.policies import StoredPolicy, slug_of


def document(name: str = "No merges", **fields: Json) -> PolicyDocument:
    raw: JsonObject = {"name": name, "service": "github", "effect": "forbid", "tools": ["merge_pull_request"]}
    return parse_policy(raw | fields)


async def save(scene: Scene, given: PolicyDocument, **other: Any) -> StoredPolicy:
    known = await scene.database.read(policies.load_known_tools, agent_id=scene.agent_id)
    fields = {"actor_id": scene.owner.account_id, "note": None, "now": NOW} | other
    verb = policies.update_policy if "policy_id" in fields else policies.create_policy
    return await scene.database.change(
        verb, agent=scene, document=given, known_tools=known, **fields, agents=[scene.agent_id]
    )


async def toggle(scene: Scene, policy: StoredPolicy, *, enabled: bool | None) -> StoredPolicy:
    return await scene.database.change(
        policies.toggle_policy,
        agent_id=scene.agent_id,
        policy_id=policy.id,
        enabled=enabled,
        actor_id=None,
        now=LATER,
        agents=[scene.agent_id],
    )


async def check(scene: Scene, policy: StoredPolicy, *etags: str) -> None:
    await scene.database.read(
        policies.check_policy, agent_id=scene.agent_id, policy_id=policy.id, etags=etags
    )


async def delete(scene: Scene, policy: StoredPolicy) -> None:
    await scene.database.change(
        policies.delete_policy,
        agent_id=scene.agent_id,
        policy_id=policy.id,
        actor_id=None,
        now=LATER,
        agents=[scene.agent_id],
    )


async def names_in_force(scene: Scene) -> list[str]:
    world = await scene.database.read(worlds.load, scene.agent_id)
    assert world is not None
    return [policy.ref.name for policy in world.policies]


async def test_a_saved_policy_is_in_force_and_read_back_as_given(database: Database) -> None:
    scene = await set_scene(database)
    given = document(denyMessage="Not now.", time={"hoursFrom": 18, "hoursTo": 6})
    saved = await save(scene, given)
    assert (saved.key, saved.version, saved.document) == ("no-merges", 1, given)
    assert await database.read(policies.get_policy, agent_id=scene.agent_id, policy_id=saved.id) == saved
    assert await database.read(policies.find_agent_of, policy_id=saved.id) == scene.agent_id
    world = await database.read(worlds.load, scene.agent_id)
    assert world is not None
    (loaded,) = world.policies
    assert (loaded.document, loaded.ref.digest) == (given, digest_of(given, 1))
    assert (await scene.kinds())[-1] == "policy_created"


async def test_every_save_is_a_version_with_author_and_note(database: Database) -> None:
    scene = await set_scene(database)
    first = await save(scene, document())
    second = await save(scene, document("Renamed"), policy_id=first.id, note="clearer", now=LATER)
    assert (second.key, second.version, second.created_at, second.updated_at) == ("no-merges", 2, NOW, LATER)
    page = await database.read(policies.list_versions, agent_id=scene.agent_id, policy_id=first.id)
    assert [(v.version, v.note, v.saved_at, v.document.name) for v in page.items] == [
        (2, "clearer", LATER, "Renamed"),
        (1, None, NOW, "No merges"),
    ]
    assert {v.saved_by for v in page.items} == {scene.owner.account_id}
    assert page.total == 2
    assert await names_in_force(scene) == ["Renamed"]


@pytest.mark.promise("P13")
async def test_who_saw_an_older_version_is_told_so(database: Database) -> None:
    scene = await set_scene(database)
    first = await save(scene, document())
    seen = policies.etag_of(first)
    await check(scene, first, seen)
    await save(scene, document("Renamed"), policy_id=first.id)
    with pytest.raises(Conflict) as refused:
        await check(scene, first, seen)
    assert refused.value.code == "version_conflict"
    assert await names_in_force(scene) == ["Renamed"]


async def test_a_toggle_is_no_version(database: Database) -> None:
    scene = await set_scene(database)
    saved = await save(scene, document())
    off = await toggle(scene, saved, enabled=None)
    assert policies.etag_of(off) != policies.etag_of(saved)
    assert (off.version, off.document.enabled) == (1, False)
    assert await names_in_force(scene) == []
    before = await scene.kinds()
    assert before[-1] == "policy_toggled"
    assert await toggle(scene, saved, enabled=False) == off
    assert await scene.kinds() == before
    assert (await toggle(scene, saved, enabled=True)).document.enabled
    assert await names_in_force(scene) == ["No merges"]


async def test_a_policy_saved_as_disabled_is_not_in_force(database: Database) -> None:
    scene = await set_scene(database)
    saved = await save(scene, document(enabled=False))
    assert not saved.document.enabled
    assert await names_in_force(scene) == []
    read = await database.read(policies.get_policy, agent_id=scene.agent_id, policy_id=saved.id)
    assert not read.document.enabled


async def test_a_deleted_policy_is_gone_but_its_key_stays_taken(database: Database) -> None:
    scene = await set_scene(database)
    saved = await save(scene, document())
    await delete(scene, saved)
    assert await names_in_force(scene) == []
    assert await database.read(policies.find_agent_of, policy_id=saved.id) is None
    with pytest.raises(NotFound):
        await database.read(policies.get_policy, agent_id=scene.agent_id, policy_id=saved.id)
    with pytest.raises(NotFound):
        await toggle(scene, saved, enabled=True)
    assert (await save(scene, document())).key == "no-merges-2"


async def test_keys_are_slugs_unique_in_an_agent(database: Database) -> None:
    scene = await set_scene(database)
    keys = [
        (await save(scene, document(name))).key
        for name in ("No merges!", "no  merges", "NO-MERGES", "No merges 2")
    ]
    assert keys == ["no-merges", "no-merges-2", "no-merges-3", "no-merges-2-2"]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("No merges at night", "no-merges-at-night"),
        ("  Ärger -- überall ", "arger-uberall"),
        ("夜間", "policy"),
        ("x" * 200, "x" * 80),
        ("100% safe_mode", "100-safe-mode"),
    ],
)
def test_a_slug_is_made_of_small_letters_and_digits(name: str, slug: str) -> None:
    assert slug_of(name) == slug


async def test_a_rollback_is_a_new_version_and_keeps_the_switch(database: Database) -> None:
    scene = await set_scene(database)
    first = await save(scene, document())
    await save(scene, document("Renamed"), policy_id=first.id)
    await toggle(scene, first, enabled=False)
    known = await database.read(policies.load_known_tools, agent_id=scene.agent_id)
    back = await database.change(
        policies.rollback_policy,
        agent=scene,
        policy_id=first.id,
        version=1,
        actor_id=None,
        note=None,
        now=LATER,
        known_tools=known,
        agents=[scene.agent_id],
    )
    assert (back.version, back.document.name, back.document.enabled) == (3, "No merges", False)
    with pytest.raises(NotFound):
        await database.read(policies.get_version, agent_id=scene.agent_id, policy_id=first.id, version=4)


@pytest.mark.parametrize(
    ("tools", "field"),
    [
        (["no_such_tool"], "tools[0]"),
        (["merge_pull_request", "Merge_Pull_Request"], "tools[1]"),
        (["merge_pull_request::now"], "tools[0]"),
        (["tier:read", "label_write::destroy"], "tools[1]"),
    ],
)
async def test_a_tool_that_does_not_exist_is_refused(
    database: Database, tools: list[Json], field: str
) -> None:
    scene = await set_scene(database)
    with pytest.raises(Invalid) as refused:
        await save(scene, document(tools=tools))
    assert (refused.value.field, refused.value.code) == (field, "unknown_tool")
    assert await names_in_force(scene) == []


@pytest.mark.parametrize(
    "tools",
    [
        ["label_write::delete"],
        ["tier:read", "tier:write"],
        ["issue_read::get_comments"],
        ["delete_file", "push_files"],
    ],
)
async def test_tools_selectors_and_tiers_of_the_catalog_may_be_named(
    database: Database, tools: list[Json]
) -> None:
    scene = await set_scene(database)
    assert list((await save(scene, document(tools=tools))).document.tools) == tools


async def test_a_service_that_nobody_knows_is_refused(database: Database) -> None:
    scene = await set_scene(database)
    with pytest.raises(Invalid) as refused:
        await save(scene, document(service="gitlab", tools=["tier:read"]))
    assert refused.value.field == "service"


async def test_a_policy_for_every_service_names_no_tools(database: Database) -> None:
    scene = await set_scene(database)
    saved = await save(scene, document(service="*", tools=["*"]))
    assert saved.document.tools == ("*",)


async def test_tools_of_an_own_connector_and_pinned_tools_may_be_named(database: Database) -> None:
    scene = await set_scene(database, services=["github", "localgit"])
    tools = [SeenTool("look", "h1", {"name": "look"}, Tier.READ)]
    await database.change(
        connectors.create_connector,
        account_id=scene.owner.account_id,
        spec=connectors.ConnectorSpec(key="mine", name="Mine", url="https://mcp.example.com/mcp"),
        tools=tools,
        server=SERVER,
        now=NOW,
        agents=(),
    )
    await database.change(
        pins.observe,
        agent_id=scene.agent_id,
        service="localgit",
        member_id=scene.member.id,
        seen=tools,
        now=NOW,
        agents=[scene.agent_id],
    )
    for service in ("mine", "localgit"):
        assert (await save(scene, document(service=service, tools=["look", "tier:write"]))).version == 1
        with pytest.raises(Invalid):
            await save(scene, document(service=service, tools=["look::closer"]))


async def test_arguments_are_those_of_the_tools_pinned_schema(database: Database) -> None:
    scene = await set_scene(database, services=["localgit"])
    schema: JsonObject = {"type": "object", "properties": {"path": {"type": "string"}}}
    seen = [SeenTool("look", "h1", {"name": "look", "inputSchema": schema}, Tier.READ)]
    await database.change(
        pins.observe,
        agent_id=scene.agent_id,
        service="localgit",
        member_id=scene.member.id,
        seen=seen,
        now=NOW,
        agents=[scene.agent_id],
    )
    given = document(
        service="localgit",
        tools=["look"],
        arguments=[{"path": "path", "operator": "startsWith", "value": "src/"}],
    )
    assert (await save(scene, given)).document == given
    for path, value, part in (("paths", "src/", "path"), ("path", 7, "value")):
        condition: JsonObject = {"path": path, "operator": "equals", "value": value}
        with pytest.raises(Invalid) as refused:
            await save(scene, document(service="localgit", tools=["look"], arguments=[condition]))
        assert refused.value.field == f"arguments[0].{part}"


async def test_another_accounts_connector_is_unknown(database: Database) -> None:
    scene = await set_scene(database)
    await database.change(
        connectors.create_connector,
        account_id=scene.member.account_id,
        spec=connectors.ConnectorSpec(key="theirs", name="Theirs", url="https://mcp.example.com/mcp"),
        tools=(),
        server=SERVER,
        now=NOW,
        agents=(),
    )
    with pytest.raises(Invalid) as refused:
        await save(scene, document(service="theirs", tools=["tier:read"]))
    assert refused.value.field == "service"


async def test_a_policy_of_a_trusted_agent_is_no_single_members(database: Database) -> None:
    scene = await set_scene(database)
    with pytest.raises(Invalid) as refused:
        await save(scene, document(memberId=scene.member.id))
    assert refused.value.field == "memberId"


async def test_a_policy_of_an_untrusted_agent_says_whose_it_is(database: Database) -> None:
    scene = await set_scene(database, trust_mode=TrustMode.UNTRUSTED)
    for member_id in (None, "nobody"):
        with pytest.raises(Invalid) as refused:
            await save(scene, document(memberId=member_id))
        assert refused.value.field == "memberId"
    saved = await save(scene, document(memberId=scene.member.id))
    world = await database.read(worlds.load, scene.agent_id)
    assert world is not None
    assert [p.ref.id for p in world.policies_of(scene.member.id)] == [saved.id]
    assert world.policies_of(scene.owner.id) == ()


async def test_who_has_left_gets_no_policy(database: Database) -> None:
    scene = await set_scene(database, trust_mode=TrustMode.UNTRUSTED)
    await database.change(
        members.remove,
        agent_id=scene.agent_id,
        member_id=scene.member.id,
        actor_id=None,
        now=NOW,
        agents=[scene.agent_id],
    )
    with pytest.raises(Invalid):
        await save(scene, document(memberId=scene.member.id))


async def test_policies_are_listed_by_service_and_member_in_pages(database: Database) -> None:
    scene = await set_scene(database, trust_mode=TrustMode.UNTRUSTED)
    other = await database.change(
        add_member, agent_id=scene.agent_id, email="other@example.com", agents=[scene.agent_id]
    )
    for n in range(3):
        await save(scene, document(f"mine {n}", memberId=scene.member.id), now=NOW + timedelta(seconds=n))
    await save(scene, document("theirs", service="slack", tools=["tier:read"], memberId=other.id), now=LATER)
    for asked, names, total in (
        ({}, ["mine 0", "mine 1", "mine 2", "theirs"], 4),
        ({"service": "slack"}, ["theirs"], 1),
        ({"member_id": scene.member.id, "limit": 2, "offset": 2}, ["mine 2"], 3),
        ({"service": "linear"}, [], 0),
    ):
        page = await database.read(policies.list_policies, agent_id=scene.agent_id, **asked)
        assert [policy.document.name for policy in page.items] == names
        assert page.total == total


async def test_a_note_has_its_limit(database: Database) -> None:
    scene = await set_scene(database)
    with pytest.raises(Invalid) as refused:
        await save(scene, document(), note="x" * 501)
    assert refused.value.field == "note"


async def test_a_policy_of_another_agent_is_not_found(database: Database) -> None:
    scene = await set_scene(database)
    saved = await save(scene, document())
    with pytest.raises(NotFound):
        await database.read(policies.get_policy, agent_id="another", policy_id=saved.id)
