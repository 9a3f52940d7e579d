"""Worlds in memory: fresh when it matters, loaded once for many, never older than what was known."""

import asyncio
from dataclasses import dataclass, field
from types import MappingProxyType

import pytest

from wicket.core.errors import Unavailable
from wicket.core.model import AgentStatus, TrustMode
from wicket.core.world import AgentSettings, MemberKey, World
from wicket.runtime import snapshot
from wicket.runtime.snapshot import Snapshot


def world(agent_id: str, revision: int, *digests: bytes) -> World:
    keys = {digest: MemberKey(digest.hex(), "member", digest, live=True) for digest in digests}
    return World(
        agent_id=agent_id,
        agent_name=agent_id,
        revision=revision,
        status=AgentStatus.ACTIVE,
        trust_mode=TrustMode.TRUSTED,
        settings=AgentSettings(),
        members={},
        keys=MappingProxyType(keys),
        services={},
        policies=(),
        pins={},
        connections={},
    )


@dataclass
class Database:
    """Worlds as they are now, and what was asked of it."""

    worlds: dict[str, World] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)
    lookups: list[bytes] = field(default_factory=list)
    gate: asyncio.Event | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def load(self, agent_id: str) -> World | None:
        self.loads.append(agent_id)
        read = self.worlds.get(agent_id)
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        return read

    async def find_agent(self, digest: bytes) -> str | None:
        self.lookups.append(digest)
        return next((one.agent_id for one in self.worlds.values() if digest in one.keys), None)

    async def revision(self, agent_id: str) -> int | None:
        known = self.worlds.get(agent_id)
        return None if known is None else known.revision

    def snapshot(self) -> Snapshot:
        return Snapshot(load=self.load, find_agent=self.find_agent, read_revision=self.revision)


async def test_a_key_is_looked_up_once_and_then_known() -> None:
    database = Database({"a": world("a", 1, b"one")})
    worlds = database.snapshot()
    for _ in range(3):
        assert await worlds.of([b"one"]) == (database.worlds["a"], b"one")
    assert database.lookups == [b"one"]
    assert database.loads == ["a"]


async def test_a_stranger_is_looked_up_every_time_and_loads_nothing() -> None:
    database = Database({"a": world("a", 1, b"one")})
    worlds = database.snapshot()
    assert [await worlds.of([b"none"]) for _ in range(2)] == [None, None]
    assert database.loads == []


async def test_the_digest_that_is_on_record_counts() -> None:
    """With two server keys a bearer has two digests, newest first."""
    database = Database({"a": world("a", 1, b"old")})
    assert await database.snapshot().of([b"new", b"old"]) == (database.worlds["a"], b"old")


async def test_a_key_that_was_made_elsewhere_works_at_once() -> None:
    database = Database({"a": world("a", 1, b"one")})
    worlds = database.snapshot()
    await worlds.of([b"one"])
    database.worlds["a"] = world("a", 2, b"one", b"two")
    found = await worlds.of([b"two"])
    assert found == (database.worlds["a"], b"two")


async def test_a_key_is_unknown_when_its_agent_has_gone() -> None:
    database = Database({"a": world("a", 1, b"one")})
    worlds = database.snapshot()
    stale = await worlds.of([b"one"])
    assert stale is not None
    del database.worlds["a"]
    assert await worlds.current(stale[0]) is None
    assert await worlds.of([b"one"]) is None


async def test_the_current_world_is_the_one_at_hand_while_its_revision_stands() -> None:
    database = Database({"a": world("a", 1, b"one")})
    worlds = database.snapshot()
    found = await worlds.of([b"one"])
    assert found is not None
    assert await worlds.current(found[0]) is found[0]
    database.worlds["a"] = world("a", 2, b"one")
    assert await worlds.current(found[0]) is database.worlds["a"]
    assert database.loads == ["a", "a"]
    assert await worlds.current_of("a") is database.worlds["a"]
    assert await worlds.current_of("nobody") is None


async def test_many_who_ask_at_once_share_one_load() -> None:
    database = Database({"a": world("a", 1, b"one")}, gate=asyncio.Event())
    worlds = database.snapshot()
    asking = [asyncio.create_task(worlds.of([b"one"])) for _ in range(20)]
    async with asyncio.timeout(5):
        await database.begun.wait()
        assert database.gate is not None
        database.gate.set()
        found = await asyncio.gather(*asking)
    assert {one[0].revision for one in found if one is not None} == {1}
    assert len(database.loads) <= 2  # one under way when the others asked, and one that began later


async def test_a_load_that_began_before_the_change_does_not_count() -> None:
    database = Database({"a": world("a", 1, b"one")}, gate=asyncio.Event())
    worlds = database.snapshot()
    early = asyncio.create_task(worlds.reload("a"))
    async with asyncio.timeout(5):
        await database.begun.wait()
        database.worlds["a"] = world("a", 2, b"one")
        late = asyncio.create_task(worlds.reload("a"))
        assert database.gate is not None
        database.gate.set()
        first, second = await asyncio.gather(early, late)
    assert first is not None
    assert second is not None
    assert (first.revision, second.revision) == (1, 2)


async def test_who_goes_away_does_not_stop_the_load_that_others_wait_for() -> None:
    database = Database({"a": world("a", 1, b"one")}, gate=asyncio.Event())
    worlds = database.snapshot()
    leaving, staying = (asyncio.create_task(worlds.reload("a")) for _ in range(2))
    async with asyncio.timeout(5):
        await database.begun.wait()
        leaving.cancel()
        assert database.gate is not None
        database.gate.set()
        assert await staying == database.worlds["a"]


@pytest.mark.promise("P10")
async def test_memory_is_bounded_by_agents() -> None:
    names = [f"agent{number}" for number in range(snapshot.AGENTS_MAX + 10)]
    database = Database({name: world(name, 1, name.encode()) for name in names})
    worlds = database.snapshot()
    for name in names:
        await worlds.of([name.encode()])
    loaded = len(database.loads)
    await worlds.of([names[-1].encode()])
    assert len(database.loads) == loaded
    await worlds.of([names[0].encode()])
    assert len(database.loads) == loaded + 1


async def test_a_database_that_does_not_answer_is_not_waited_for() -> None:
    database = Database({"a": world("a", 1, b"k")}, gate=asyncio.Event())
    known = Snapshot(
        load=database.load,
        find_agent=database.find_agent,
        read_revision=database.revision,
        lookup_wait_s=0.01,
    )
    with pytest.raises(Unavailable):
        await known.of([b"k"])
    assert database.gate is not None
    database.gate.set()
    async with asyncio.timeout(5):
        while "a" not in known._worlds:
            await asyncio.sleep(0)
    assert (await known.of([b"k"])) is not None
    assert database.loads == ["a"]
