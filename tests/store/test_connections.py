"""Connections: whose key seals them, and who may make one, on both databases."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Location
from tests.store.scene import KEY, LATER, NOW, SERVER, Scene, add_member, set_scene
from wicket.core.errors import Conflict, Invalid, NotFound
from wicket.core.keys import SealBroken, open_sealed, private_key
from wicket.core.model import AuthType
from wicket.core.world import ConnectionRef
from wicket.store import connections, connectors, keys, members, worlds
from wicket.store.connections import Connection
from wicket.store.db import Database

TOKEN = "ghp_canary_of_the_member"


async def connect(scene: Scene, **other: Any) -> Connection:
    given = {
        "agent_id": scene.agent_id,
        "member_id": scene.member.id,
        "service": "github",
        "token": TOKEN,
        "server": SERVER,
        "now": NOW,
    } | other
    return await scene.database.change(connections.put_connection, **given, agents=[scene.agent_id])


def place_of(scene: Scene) -> dict[str, str]:
    return {"agent_id": scene.agent_id, "member_id": scene.member.id}


async def test_without_a_member_key_the_server_seals(database: Database) -> None:
    scene = await set_scene(database)
    connection = await connect(scene)
    sealed = await database.read(connections.find_sealed, **place_of(scene), service="github")
    assert sealed is not None
    assert not connection.sealed_by_member
    assert SERVER.open_sealed(sealed.sealed, sealed.binding) == TOKEN.encode()
    assert TOKEN not in repr(sealed)


async def test_with_a_member_key_only_its_holder_can_open(database: Database) -> None:
    scene = await set_scene(database)
    await database.change(
        keys.put_key,
        **place_of(scene),
        key=KEY,
        current_key=None,
        server=SERVER,
        now=NOW,
        agents=[scene.agent_id],
    )
    connection = await connect(scene)
    sealed = await database.read(connections.find_sealed, **place_of(scene), service="github")
    assert sealed is not None
    assert connection.sealed_by_member
    assert open_sealed(sealed.sealed, private_key(KEY), sealed.binding) == TOKEN.encode()
    with pytest.raises(SealBroken):
        SERVER.open_sealed(sealed.sealed, sealed.binding)


async def test_a_sealed_token_opens_for_no_other_member(database: Database) -> None:
    scene = await set_scene(database)
    await connect(scene)
    sealed = await database.read(connections.find_sealed, **place_of(scene), service="github")
    assert sealed is not None
    with pytest.raises(SealBroken):
        SERVER.open_sealed(sealed.sealed, replace(sealed, member_id=scene.owner.id).binding)


async def test_connecting_again_replaces_the_token_under_a_new_version(database: Database) -> None:
    scene = await set_scene(database)
    first = await connect(scene)
    second = await connect(scene, token="ghp_other", now=LATER)
    assert (second.id, second.version) == (first.id, first.version + 1)
    assert (second.created_at, second.updated_at) == (NOW, LATER)
    world = await database.read(worlds.load, scene.agent_id)
    assert world is not None
    assert world.connections == {(scene.member.id, "github"): ConnectionRef(second.id, second.version)}
    assert await database.read(connections.list_connections, **place_of(scene)) == (second,)


async def test_a_pending_member_may_connect(database: Database) -> None:
    scene = await set_scene(database)
    pending = await database.change(
        add_member, agent_id=scene.agent_id, email="new@example.com", approved=False, agents=[scene.agent_id]
    )
    assert (await connect(scene, member_id=pending.id)).member_id == pending.id


async def test_who_has_left_may_not_connect(database: Database) -> None:
    scene = await set_scene(database)
    await database.change(members.remove, **place_of(scene), actor_id=None, now=NOW, agents=[scene.agent_id])
    with pytest.raises(Conflict) as refused:
        await connect(scene)
    assert refused.value.code == "member_not_active"
    with pytest.raises(NotFound):
        await connect(scene, member_id="nobody")


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("slack", "service_not_enabled"),
        ("notion", "token_not_accepted"),
        ("localgit", "connection_not_needed"),
    ],
)
async def test_a_service_that_takes_no_token_is_a_conflict(
    database: Database, service: str, code: str
) -> None:
    scene = await set_scene(database, services=["github", "notion", "localgit"])
    with pytest.raises(Conflict) as refused:
        await connect(scene, service=service)
    assert refused.value.code == code


@pytest.mark.parametrize("per_member", [True, False])
async def test_a_custom_connector_takes_tokens_when_each_member_has_one(
    database: Database, *, per_member: bool
) -> None:
    scene = await set_scene(database, services=["mine"])
    spec = connectors.ConnectorSpec(
        key="mine",
        name="Mine",
        url="https://mcp.example.com/mcp",
        auth=AuthType.HEADER,
        credential="shared",
        per_member=per_member,
    )
    await database.change(
        connectors.create_connector,
        account_id=scene.owner.account_id,
        spec=spec,
        tools=(),
        server=SERVER,
        now=NOW,
        agents=(),
    )
    if per_member:
        assert (await connect(scene, service="mine")).service == "mine"
    else:
        with pytest.raises(Conflict) as refused:
            await connect(scene, service="mine")
        assert refused.value.code == "connection_not_needed"


@pytest.mark.parametrize(
    "token", ["", " ghp_x", "ghp_x\n", "ghp\r\nHost: evil", "ghp_ü", "x" * 16_385, "a\x00b"]
)
def test_a_token_that_cannot_stand_in_a_header_is_refused(token: str) -> None:
    with pytest.raises(Invalid) as refused:
        connections.check_token(token)
    assert refused.value.field == "token"


async def test_a_refused_token_leaves_the_connection_as_it_was(database: Database) -> None:
    scene = await set_scene(database)
    before = await connect(scene)
    with pytest.raises(Invalid):
        await connect(scene, token="ghp\r\nHost: evil")
    assert await database.read(connections.list_connections, **place_of(scene)) == (before,)


async def test_a_deleted_connection_is_gone(database: Database) -> None:
    scene = await set_scene(database)
    await connect(scene)
    gone = {**place_of(scene), "service": "github", "actor_id": scene.member.account_id, "now": LATER}
    await database.change(connections.delete_connection, **gone, agents=[scene.agent_id])
    assert await database.read(connections.find_sealed, **place_of(scene), service="github") is None
    with pytest.raises(NotFound):
        await database.change(connections.delete_connection, **gone, agents=[scene.agent_id])
    assert (await scene.kinds())[-2:] == ["connection_saved", "connection_deleted"]


async def test_a_connection_made_anew_has_another_id(database: Database) -> None:
    scene = await set_scene(database)
    first = await connect(scene)
    await database.change(
        connections.delete_connection,
        **place_of(scene),
        service="github",
        actor_id=None,
        now=NOW,
        agents=[scene.agent_id],
    )
    assert (await connect(scene)).id != first.id


@pytest.mark.promise("P9")
@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_no_token_and_no_key_stands_in_the_database_file(
    location: Location, database: Database
) -> None:
    scene = await set_scene(database)
    await connect(scene)
    await database.change(
        keys.put_key,
        **place_of(scene),
        key=KEY,
        current_key=None,
        server=SERVER,
        now=NOW,
        agents=[scene.agent_id],
    )
    files: list[Path] = sorted(location.sqlite_path.parent.glob("wicket.db*"))
    stored = b"".join(path.read_bytes() for path in files)
    assert b"member@example.com" in stored
    assert TOKEN.encode() not in stored
    assert KEY.encode() not in stored
