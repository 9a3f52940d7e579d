"""Member keys: made, rotated, revoked and lost, on both databases."""

import re
from contextlib import suppress
from hashlib import sha256
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.store.scene import KEY, LATER, NOW, OTHER_KEY, SERVER, Scene, add_member, set_scene
from wicket.core.errors import Conflict, Forbidden, Invalid, NotFound
from wicket.core.keys import SealBroken, ServerKeys, is_key, make_key, open_sealed, private_key
from wicket.core.world import MemberKey
from wicket.store import connections, keys, members, tables, worlds
from wicket.store.connections import SealedConnection
from wicket.store.db import Database
from wicket.store.keys import KeyRecord

TOKEN = "ghp_canary_of_the_member"


async def put_key(scene: Scene, key: str = KEY, *, current: str | None = None, **other: Any) -> KeyRecord:
    place = {"agent_id": scene.agent_id, "member_id": scene.member.id, "server": SERVER, "now": NOW} | other
    return await scene.database.change(
        keys.put_key, **place, key=key, current_key=current, agents=[scene.agent_id]
    )


async def connect(scene: Scene, service: str = "github", token: str = TOKEN) -> None:
    await scene.database.change(
        connections.put_connection,
        agent_id=scene.agent_id,
        member_id=scene.member.id,
        service=service,
        token=token,
        server=SERVER,
        now=NOW,
        agents=[scene.agent_id],
    )


async def sealed_of(scene: Scene, service: str = "github") -> SealedConnection:
    found = await scene.database.read(
        connections.find_sealed, agent_id=scene.agent_id, member_id=scene.member.id, service=service
    )
    assert found is not None
    return found


async def key_in_world(scene: Scene, key: str) -> MemberKey:
    world = await scene.database.read(worlds.load, scene.agent_id)
    assert world is not None
    return world.keys[SERVER.digest(key)]


async def test_a_key_is_known_by_its_digest_and_shown_by_its_suffix(database: Database) -> None:
    scene = await set_scene(database)
    record = await put_key(scene)
    member = await database.read(members.get_member, agent_id=scene.agent_id, member_id=scene.member.id)
    assert member.key == record
    assert record.suffix == KEY[-4:]
    assert await database.read(worlds.agent_of_digest, SERVER.digest(KEY)) == scene.agent_id
    assert (await key_in_world(scene, KEY)).live
    assert (await scene.kinds())[-1] == "key_created"


async def test_making_a_key_seals_earlier_connections_under_it(database: Database) -> None:
    scene = await set_scene(database, services=["github", "slack"])
    await connect(scene)
    await connect(scene, "slack", "xoxp-canary")
    before = await sealed_of(scene)
    record = await put_key(scene)
    after = await sealed_of(scene)
    assert (before.key_id, after.key_id) == (None, record.id)
    assert (after.id, after.version) == (before.id, before.version + 1)
    assert open_sealed(after.sealed, private_key(KEY), after.binding) == TOKEN.encode()
    assert (await sealed_of(scene, "slack")).key_id == record.id
    with pytest.raises(SealBroken):
        SERVER.open_sealed(after.sealed, after.binding)


async def test_rotation_with_the_current_key_keeps_connections(database: Database) -> None:
    scene = await set_scene(database)
    first = await put_key(scene)
    await connect(scene)
    second = await put_key(scene, OTHER_KEY, current=KEY)
    sealed = await sealed_of(scene)
    assert sealed.key_id == second.id
    assert open_sealed(sealed.sealed, private_key(OTHER_KEY), sealed.binding) == TOKEN.encode()
    assert [(await key_in_world(scene, key)).live for key in (KEY, OTHER_KEY)] == [False, True]
    old = await database.read(keys.get_key, agent_id=scene.agent_id, key_id=first.id)
    assert old.revoked_at == NOW
    assert (await scene.kinds())[-1] == "key_rotated"


@pytest.mark.parametrize("current", [None, OTHER_KEY, "not a key", make_key(bytes(24))])
async def test_rotation_needs_the_current_key_while_it_seals_something(
    database: Database, current: str | None
) -> None:
    scene = await set_scene(database)
    await put_key(scene)
    await connect(scene)
    before = await sealed_of(scene)
    with pytest.raises(Conflict) as refused:
        await put_key(scene, OTHER_KEY, current=current)
    assert refused.value.code == "current_key_required"
    assert await sealed_of(scene) == before
    assert (await key_in_world(scene, KEY)).live


async def test_rotation_needs_no_current_key_while_nothing_is_sealed(database: Database) -> None:
    scene = await set_scene(database)
    await put_key(scene)
    await put_key(scene, OTHER_KEY)
    assert (await key_in_world(scene, OTHER_KEY)).live


async def test_a_revoked_key_is_remembered_and_can_still_hand_over_what_it_seals(database: Database) -> None:
    scene = await set_scene(database)
    await put_key(scene)
    await connect(scene)
    place = {"agent_id": scene.agent_id, "member_id": scene.member.id}
    answers = [
        await database.change(keys.revoke_key, **place, actor_id=None, now=LATER, agents=[scene.agent_id])
        for _ in range(2)
    ]
    assert answers == [True, False]
    assert not (await key_in_world(scene, KEY)).live
    assert await database.read(keys.find_live_key, **place) is None
    with pytest.raises(Conflict):
        await put_key(scene, OTHER_KEY)
    record = await put_key(scene, OTHER_KEY, current=KEY)
    assert (await sealed_of(scene)).key_id == record.id


async def test_who_has_lost_the_key_keeps_what_the_server_can_open(database: Database) -> None:
    scene = await set_scene(database, services=["github", "slack"])
    await put_key(scene)
    await connect(scene)
    place = {"agent_id": scene.agent_id, "member_id": scene.member.id}
    await database.change(keys.revoke_key, **place, actor_id=None, now=NOW, agents=[scene.agent_id])
    await connect(scene, "slack", "xoxp-canary")
    cleared = await database.change(
        keys.reset_lost, **place, server=SERVER, now=LATER, agents=[scene.agent_id]
    )
    assert cleared == ("github",)
    await put_key(scene, OTHER_KEY)
    sealed = await sealed_of(scene, "slack")
    assert open_sealed(sealed.sealed, private_key(OTHER_KEY), sealed.binding) == b"xoxp-canary"


async def test_a_lost_live_key_is_dead_after_the_reset(database: Database) -> None:
    scene = await set_scene(database)
    await put_key(scene)
    await connect(scene)
    cleared = await database.change(
        keys.reset_lost,
        agent_id=scene.agent_id,
        member_id=scene.member.id,
        server=SERVER,
        now=LATER,
        agents=[scene.agent_id],
    )
    assert cleared == ("github",)
    assert not (await key_in_world(scene, KEY)).live
    assert (await scene.kinds())[-2:] == ["key_revoked", "connection_deleted"]


async def test_what_a_lost_server_secret_seals_stops_a_new_key_until_it_is_reset(database: Database) -> None:
    scene = await set_scene(database)
    await connect(scene)
    other_server = ServerKeys([b"another server secret of at least thirty-two bytes"])
    with pytest.raises(Conflict) as refused:
        await put_key(scene, server=other_server)
    assert refused.value.code == "connection_broken"
    cleared = await database.change(
        keys.reset_lost,
        agent_id=scene.agent_id,
        member_id=scene.member.id,
        server=other_server,
        now=LATER,
        agents=[scene.agent_id],
    )
    assert cleared == ("github",)


async def test_a_rotated_server_secret_still_recognises_and_opens(database: Database) -> None:
    scene = await set_scene(database)
    await put_key(scene)
    await connect(scene)
    newer = ServerKeys(
        [b"a newer server secret of thirty-two bytes or more", b"a server secret of thirty-two bytes or more"]
    )
    await put_key(scene, OTHER_KEY, current=KEY, server=newer)
    assert await database.read(worlds.agent_of_digest, newer.digest(OTHER_KEY)) == scene.agent_id


async def test_only_an_approved_member_makes_a_key(database: Database) -> None:
    scene = await set_scene(database)
    pending = await database.change(
        add_member, agent_id=scene.agent_id, email="new@example.com", approved=False, agents=[scene.agent_id]
    )
    with pytest.raises(Forbidden) as refused:
        await put_key(scene, member_id=pending.id)
    assert refused.value.code == "member_not_approved"
    with pytest.raises(NotFound):
        await put_key(scene, member_id="nobody")


async def test_text_that_is_no_key_is_refused(database: Database) -> None:
    scene = await set_scene(database)
    with pytest.raises(Invalid) as refused:
        await put_key(scene, "secret")
    assert refused.value.field == "key"


async def test_a_new_key_moves_the_revision(database: Database) -> None:
    scene = await set_scene(database)
    before = await database.revision(scene.agent_id)
    await put_key(scene)
    assert before is not None
    assert await database.revision(scene.agent_id) == before + 1


async def test_neither_keys_nor_tokens_stand_in_the_database(database: Database) -> None:
    scene = await set_scene(database)
    await connect(scene)
    await put_key(scene)
    await connect(scene, token=TOKEN)
    await put_key(scene, OTHER_KEY, current=KEY)

    def everything(tx: sa.Connection) -> bytes:
        rows = [
            value
            for table in tables.METADATA.sorted_tables
            for row in tx.execute(sa.select(table))
            for value in row
        ]
        return b"\n".join(bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for v in rows)

    stored = await database.read(everything)
    assert b"member@example.com" in stored
    for secret in (TOKEN, KEY, OTHER_KEY):
        assert secret.encode() not in stored


def _values(tx: sa.Connection) -> set[bytes]:
    """Everything that is stored, and what lies in it: texts, blobs, and whatever a document holds."""
    found: set[bytes] = set()
    for table in tables.METADATA.sorted_tables:
        for row in tx.execute(sa.select(table)):
            for value in row:
                raw = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                found |= {raw, *re.findall(rb"[A-Za-z0-9+/_-]{22,}", raw)}
    return found


def _private_halves(value: bytes) -> set[bytes]:
    """What somebody could try as the private half that opens a seal."""
    windows = {value[at : at + 32] for at in range(max(1, len(value) - 31))}
    return {
        half for half in (*windows, sha256(value).digest(), value.ljust(32, b"\0")[:32]) if len(half) == 32
    }


async def test_a_stolen_database_opens_no_token(database: Database) -> None:
    """Neither what it holds, nor anything made from that as keys are made, opens what a member key seals."""
    scene = await set_scene(database, services=["github", "slack"])
    await put_key(scene)
    await connect(scene)
    await put_key(scene, OTHER_KEY, current=KEY)
    await connect(scene, "slack", "xoxp-canary")
    sealed = await sealed_of(scene), await sealed_of(scene, "slack")
    values = await database.read(_values)
    halves = {half for value in values for half in _private_halves(value)}
    texts = {
        value[at : at + 32].decode() for value in values if value.isascii() for at in range(len(value) - 31)
    }
    tried = [X25519PrivateKey.from_private_bytes(half) for half in halves]
    tried += [private_key(text) for text in texts if is_key(text)]
    opened = []
    for connection in sealed:
        for private in tried:
            with suppress(SealBroken):
                opened.append(open_sealed(connection.sealed, private, connection.binding))
    assert len(tried) > 500
    assert opened == []
    assert open_sealed(sealed[0].sealed, private_key(OTHER_KEY), sealed[0].binding) == TOKEN.encode()
