"""When keys were last used, on both databases: noted at once, written later, and in nobody's way."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from tests.databases import Location, database, database_kind, location, postgres_server, sqlite_template
from tests.gateway.scene import scene as running_scene
from tests.store.scene import KEY, NOW, OTHER_KEY, SERVER, Scene, set_scene
from wicket.core.errors import Unavailable
from wicket.core.world import MemberKey
from wicket.runtime.key_uses import KeyUses
from wicket.store import keys, tables
from wicket.store.db import Database, open_database
from wicket.store.db.postgres import PostgresDatabase

__all__ = ["database", "database_kind", "location", "postgres_server", "sqlite_template"]

DIGEST = bytes(32)


async def put_key(scene: Scene, key: str = KEY) -> keys.KeyRecord:
    place: dict[str, Any] = {"agent_id": scene.agent_id, "member_id": scene.member.id, "now": NOW}
    return await scene.database.change(
        keys.put_key, **place, key=key, current_key=None, server=SERVER, agents=[scene.agent_id]
    )


async def last_used(scene: Scene, key_id: str) -> bool:
    record = await scene.database.read(keys.get_key, agent_id=scene.agent_id, key_id=key_id)
    return record.last_used_at is not None


async def test_uses_are_written_together_and_move_no_revision(database: Database) -> None:
    scene = await set_scene(database)
    old, new = await put_key(scene), await put_key(scene, OTHER_KEY)
    before = await database.revision(scene.agent_id)
    uses = KeyUses(database)
    for key_id, live in ((old.id, False), (new.id, True), (new.id, True), ("gone", True)):
        uses.note(scene.agent_id, MemberKey(key_id, scene.member.id, DIGEST, live))
    assert not await last_used(scene, new.id)
    await uses.flush()
    assert await last_used(scene, new.id)
    assert not await last_used(scene, old.id)
    assert await database.revision(scene.agent_id) == before


async def test_an_older_use_does_not_hide_a_newer_one(database: Database) -> None:
    scene = await set_scene(database)
    record = await put_key(scene)
    for at_us in (2_000_000, 1_000_000):
        use = keys.KeyUse(scene.agent_id, record.id, at_us)
        await database.change(keys.note_uses, uses=[use], agents=())
    stored = await database.read(keys.get_key, agent_id=scene.agent_id, key_id=record.id)
    assert stored.last_used_at is not None
    assert stored.last_used_at.timestamp() == 2


@pytest.mark.postgres
@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_a_key_that_is_being_changed_is_passed_over(database: Database, location: Location) -> None:
    """Neither waits for the other: the revocation stays open until the uses have been written."""
    scene, other = await set_scene(database), await location.open()
    assert isinstance(other, PostgresDatabase)
    record = await put_key(scene)
    place: dict[str, Any] = {"agent_id": scene.agent_id, "member_id": scene.member.id}
    has_locked = asyncio.Event()

    def revoke(tx: sa.Connection) -> None:
        keys.revoke_key(tx, **place, actor_id=None, now=NOW)
        has_locked.set()
        tx.execute(sa.text("SELECT pg_advisory_xact_lock(99)"))

    gate = await other.connect_raw()
    await gate.execute("SELECT pg_advisory_lock(99)")
    revoking = asyncio.create_task(database.change(revoke, agents=[scene.agent_id]))
    async with asyncio.timeout(10):
        await has_locked.wait()
        await other.change(keys.note_uses, uses=[keys.KeyUse(scene.agent_id, record.id, 1)], agents=())
        await gate.execute("SELECT pg_advisory_unlock(99)")
        await revoking
    await gate.close()
    await other.close()
    assert not await last_used(scene, record.id)


class Failing:
    """A database that fails once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._has_failed = False

    async def change(self, *given: Any, **named: Any) -> Any:
        if not self._has_failed:
            self._has_failed = True
            raise Unavailable("not now")
        return await self._database.change(*given, **named)


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_what_cannot_be_written_is_written_the_next_time(database: Database) -> None:
    scene = await set_scene(database)
    record = await put_key(scene)
    uses = KeyUses(cast("Database", Failing(database)))
    uses.note(scene.agent_id, MemberKey(record.id, scene.member.id, DIGEST, live=True))
    with pytest.raises(Unavailable):
        await uses.flush()
    await uses.flush()
    assert await last_used(scene, record.id)


async def test_a_call_is_a_use_and_a_refused_key_is_none(tmp_path: Path) -> None:
    async with running_scene(tmp_path) as s:
        member_id = await s.agent.member("ben@example.com")
        revoked = await s.agent.key("ben@example.com")
        await s.revoke(member_id)
        answers = [await s.call(), await s.call(key=revoked)]
        agent_id = s.agent.id
    assert [answer.status for answer in answers] == [200, 401]
    left = await open_database(sqlite_path=tmp_path / "data" / "wicket.db")
    used = await left.read(_last_uses, agent_id=agent_id)
    await left.close()
    assert {key for key, is_used in used.items() if is_used} == {s.agent.owner_member}
    assert member_id in used


def _last_uses(tx: sa.Connection, *, agent_id: str) -> dict[str, bool]:
    found = tables.member_keys.c
    rows = tx.execute(sa.select(found.member_id, found.last_used_at).where(found.agent_id == agent_id))
    return {row.member_id: row.last_used_at is not None for row in rows}
