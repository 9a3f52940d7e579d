"""Custom connectors, on both databases."""

from dataclasses import replace
from typing import Any

import pytest

from tests.store.scene import LATER, NOW, SERVER, Scene, add_account, set_scene
from wicket.core.errors import Conflict, Invalid, NotFound
from wicket.core.keys import Binding
from wicket.core.model import AuthType, ConnectorKind, Tier
from wicket.store import connections, connectors, pins, worlds
from wicket.store.connectors import ConnectorSpec, CustomConnector
from wicket.store.db import ALL_AGENTS, Database
from wicket.store.pins import SeenTool

PLAIN = ConnectorSpec(key="mine", name="Mine", url="https://mcp.example.com/mcp")
SHARED = replace(PLAIN, auth=AuthType.HEADER, auth_header="X-Api-Key", credential="canary-credential")
PER_MEMBER = replace(PLAIN, auth=AuthType.HEADER, per_member=True)
TOOLS = (
    SeenTool("look", "h1", {"name": "look", "annotations": {"readOnlyHint": True}}, Tier.READ),
    SeenTool("wipe", "h2", {"name": "wipe"}, Tier.DESTRUCTIVE),
)


async def create(scene: Scene, spec: ConnectorSpec = PLAIN, **other: Any) -> CustomConnector:
    given = {"account_id": scene.owner.account_id, "tools": TOOLS, "server": SERVER, "now": NOW} | other
    return await scene.database.change(connectors.create_connector, spec=spec, **given, agents=())


async def update(scene: Scene, connector: CustomConnector, spec: ConnectorSpec) -> CustomConnector:
    return await scene.database.change(
        connectors.update_connector,
        account_id=scene.owner.account_id,
        connector_id=connector.id,
        spec=spec,
        tools=TOOLS,
        server=SERVER,
        now=LATER,
        agents=ALL_AGENTS,
    )


async def stage_use(scene: Scene) -> None:
    """A member's token and the agent's pins for the connector `mine`."""
    await scene.database.change(
        connections.put_connection,
        agent_id=scene.agent_id,
        member_id=scene.member.id,
        service="mine",
        token="member-token",
        server=SERVER,
        now=NOW,
        agents=[scene.agent_id],
    )
    await scene.database.change(
        pins.seed_connector_tools, agent_id=scene.agent_id, service="mine", now=NOW, agents=[scene.agent_id]
    )


async def used(scene: Scene) -> tuple[int, int]:
    """How many connections and pins are left for it."""
    kept = await scene.database.read(
        connections.list_connections, agent_id=scene.agent_id, member_id=scene.member.id
    )
    tools = await scene.database.read(pins.list_tools, agent_id=scene.agent_id, service="mine")
    return len(kept), len(tools)


async def test_a_connector_is_its_makers_and_calls_can_use_it(database: Database) -> None:
    scene = await set_scene(database, services=["mine"])
    made = await create(scene)
    assert await database.read(connectors.list_connectors, account_id=scene.owner.account_id) == (made,)
    assert await database.read(connectors.list_connectors, account_id=scene.member.account_id) == ()
    loaded = await database.read(connectors.load_connectors, ["mine", "other"])
    assert set(loaded) == {"mine"}
    assert (loaded["mine"].kind, loaded["mine"].namespace) == (ConnectorKind.CUSTOM, "Custom_mineMCP")
    world = await database.read(worlds.load, scene.agent_id)
    assert world is not None
    assert world.services == loaded


async def test_another_accounts_connector_is_not_found(database: Database) -> None:
    scene = await set_scene(database)
    made = await create(scene)
    with pytest.raises(NotFound):
        await database.read(
            connectors.get_connector, account_id=scene.member.account_id, connector_id=made.id
        )


async def test_a_shared_credential_is_sealed_and_bound_to_its_connector(database: Database) -> None:
    scene = await set_scene(database)
    made = await create(scene, SHARED)
    loaded = (await database.read(connectors.load_connectors, ["mine"]))["mine"]
    assert made.has_credential
    assert loaded.sealed_credential is not None
    assert SERVER.open_sealed(loaded.sealed_credential, Binding.of_connector(made.id)) == b"canary-credential"
    assert "canary" not in repr(SHARED)


async def test_a_credential_for_each_member_is_not_stored_with_the_connector(database: Database) -> None:
    scene = await set_scene(database)
    made = await create(scene, replace(PER_MEMBER, credential="only to fetch the list"))
    assert (made.per_member, made.has_credential) == (True, False)


@pytest.mark.parametrize(
    ("accepted", "tiers"), [(True, [Tier.READ, Tier.DESTRUCTIVE]), (False, [None, None])]
)
async def test_tiers_come_from_annotations_only_when_the_owner_says_so(
    database: Database, *, accepted: bool, tiers: list[Tier | None]
) -> None:
    scene = await set_scene(database)
    made = await create(scene, replace(PLAIN, tier_from_annotations=accepted))
    assert [tool.tier for tool in made.tools] == tiers


async def test_a_key_is_unique_in_the_instance(database: Database) -> None:
    scene = await set_scene(database)
    await create(scene)
    with pytest.raises(Conflict) as refused:
        await create(scene, account_id=scene.member.account_id)
    assert refused.value.code == "key_taken"


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("key", replace(PLAIN, key="github")),
        ("key", replace(PLAIN, key="Mine")),
        ("key", replace(PLAIN, key="1mine")),
        ("key", replace(PLAIN, key="my__tool")),
        ("key", replace(PLAIN, key="a" * 32)),
        ("key", replace(PLAIN, key="mine\n")),
        ("key", replace(PLAIN, key="")),
        ("key", replace(PLAIN, key="local")),
        ("name", replace(PLAIN, name=" ")),
        ("name", replace(PLAIN, name="a\nb")),
        ("url", replace(PLAIN, url="ftp://example.com/")),
        ("url", replace(PLAIN, url="https://")),
        ("url", replace(PLAIN, url="https://user:secret@example.com/")),
        ("url", replace(PLAIN, url="https://example.com/#x")),
        ("url", replace(PLAIN, url="https://exämple.com/")),
        ("url", replace(PLAIN, url="https://example.com:99999/")),
        ("url", replace(PLAIN, url="https://exa mple.com/")),
        ("url", replace(PLAIN, url="https://[::1/")),
        ("auth", replace(PLAIN, credential="x")),
        ("auth", replace(PLAIN, per_member=True)),
        ("auth.header", replace(SHARED, auth_header="Host")),
        ("auth.header", replace(SHARED, auth_header="Mcp-Session-Id")),
        ("auth.header", replace(SHARED, auth_header="X Key")),
        ("auth.header", replace(SHARED, auth_header="X-Key:")),
        ("auth.value", replace(SHARED, credential=None)),
        ("auth.value", replace(SHARED, credential="a\r\nb")),
    ],
)
def test_what_cannot_be_a_connector_is_refused(field: str, spec: ConnectorSpec) -> None:
    with pytest.raises(Invalid) as refused:
        connectors.check_spec(spec, stdio_keys=["local"])
    assert refused.value.field == field


async def test_a_refused_connector_is_not_made(database: Database) -> None:
    scene = await set_scene(database)
    with pytest.raises(Invalid):
        await create(scene, replace(PLAIN, key="local"), stdio_keys=["local"])
    many = [SeenTool(f"tool_{n}", "h1", {}, Tier.READ) for n in range(connectors.TOOLS_MAX + 1)]
    with pytest.raises(Invalid):
        await create(scene, tools=many)
    assert await database.read(connectors.list_connectors, account_id=scene.owner.account_id) == ()


async def test_a_new_url_drops_secrets_and_pins(database: Database) -> None:
    scene = await set_scene(database, services=["mine"])
    made = await create(scene, PER_MEMBER)
    await stage_use(scene)
    assert await used(scene) == (1, 2)
    moved = await update(scene, made, replace(PER_MEMBER, url="https://other.example.com/mcp"))
    assert moved.url == "https://other.example.com/mcp"
    assert await used(scene) == (0, 0)


async def test_a_new_url_needs_the_shared_credential_again(database: Database) -> None:
    scene = await set_scene(database)
    made = await create(scene, SHARED)
    silent = replace(SHARED, credential=None)
    kept = await update(scene, made, replace(silent, name="Renamed"))
    assert (kept.name, kept.has_credential) == ("Renamed", True)
    with pytest.raises(Invalid) as refused:
        await update(scene, made, replace(silent, url="https://other.example.com/mcp"))
    assert refused.value.field == "auth.value"
    plain = await update(scene, made, PLAIN)
    assert not plain.has_credential


async def test_the_same_url_keeps_tokens_and_pins(database: Database) -> None:
    scene = await set_scene(database, services=["mine"])
    made = await create(scene, PER_MEMBER)
    await stage_use(scene)
    await update(scene, made, replace(PER_MEMBER, name="Renamed"))
    assert await used(scene) == (1, 2)


async def test_a_connector_keeps_its_key(database: Database) -> None:
    scene = await set_scene(database)
    made = await create(scene)
    with pytest.raises(Invalid) as refused:
        await update(scene, made, replace(PLAIN, key="another"))
    assert refused.value.field == "key"


async def test_a_deleted_connector_is_taken_from_every_agent(database: Database) -> None:
    scene = await set_scene(database, services=["mine", "github"])
    made = await create(scene, PER_MEMBER)
    await stage_use(scene)
    revision = await database.revision(scene.agent_id)
    await database.change(
        connectors.delete_connector,
        account_id=scene.owner.account_id,
        connector_id=made.id,
        now=LATER,
        agents=ALL_AGENTS,
    )
    world = await database.read(worlds.load, scene.agent_id)
    assert world is not None
    assert list(world.services) == ["github"]
    assert await used(scene) == (0, 0)
    assert (await scene.kinds())[-1] == "service_disabled"
    assert revision is not None
    assert await database.revision(scene.agent_id) == revision + 1
    with pytest.raises(NotFound):
        await update(scene, made, PER_MEMBER)


async def test_the_key_of_a_deleted_connector_is_free_and_enables_nothing(database: Database) -> None:
    scene = await set_scene(database, services=["mine"])
    made = await create(scene)
    await database.change(
        connectors.delete_connector,
        account_id=scene.owner.account_id,
        connector_id=made.id,
        now=LATER,
        agents=ALL_AGENTS,
    )
    stranger = await database.change(add_account, email="stranger@example.com", agents=())
    await create(scene, replace(PLAIN, url="https://evil.example.com/"), account_id=stranger)
    world = await database.read(worlds.load, scene.agent_id)
    assert world is not None
    assert dict(world.services) == {}
