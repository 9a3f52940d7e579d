"""Calls in the air are cut when their agent's rules no longer admit them, whatever gets in the way."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tests.upstreams.calls import recorded_call
from wicket.core.errors import Unavailable
from wicket.core.model import AgentStatus, MemberStatus, Reason, Role
from wicket.core.world import Member, MemberKey, World
from wicket.gateway.flights import Cut, Flight, Flights

KEY = MemberKey("k1", "m1", b"d" * 32, live=True)
WORLD = replace(
    recorded_call().world,
    members={"m1": Member("m1", "u1", "ann@example.com", Role.OWNER, MemberStatus.APPROVED)},
    keys={KEY.digest: KEY},
)
DISABLED = replace(WORLD, revision=3, status=AgentStatus.DISABLED)


@dataclass
class Agent:
    """Its world as the database has it, told of by a tail that a test plays."""

    world: World = WORLD
    moved: list[Callable[[int | None], None]] = field(default_factory=list)
    asked: int = 0
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    failures: list[BaseException] = field(default_factory=list)

    def watch(
        self, agent_id: str, moved: Callable[[int | None], None], *, revision: int | None
    ) -> Callable[[], None]:
        assert (agent_id, revision) == (WORLD.agent_id, WORLD.revision)
        self.moved.append(moved)
        return lambda: self.moved.remove(moved)

    async def current(self, _agent_id: str) -> World:
        """What it is when it is asked for, answered when it may be."""
        world = self.world
        self.asked += 1
        if self.failures:
            raise self.failures.pop()
        await self.may_answer.wait()
        return world

    def move(self, world: World) -> None:
        self.world = world
        for moved in tuple(self.moved):
            moved(world.revision)


async def fly(flight: Flight) -> Reason | None:
    """Wait for ever, and say why that ended."""
    try:
        with flight:
            await asyncio.Event().wait()
    except Cut as cut:
        return cut.reason
    return None


async def started(agent: Agent, flights: Flights) -> asyncio.Task[Reason | None]:
    flying = asyncio.create_task(fly(flights.open(WORLD, KEY, "slot", 1)))
    async with asyncio.timeout(5):
        while not agent.moved:
            await asyncio.sleep(0)
    return flying


async def asked(agent: Agent, times: int) -> None:
    async with asyncio.timeout(5):
        while agent.asked < times:
            await asyncio.sleep(0)


async def test_a_call_in_the_air_is_cut_when_its_agent_is_disabled() -> None:
    agent = Agent()
    flights = Flights(watch=agent.watch, current=agent.current)
    flying = await started(agent, flights)
    agent.may_answer.set()
    agent.move(DISABLED)
    async with asyncio.timeout(5):
        assert await flying is Reason.AGENT_DISABLED


async def test_a_call_that_takes_off_under_rules_that_have_moved_is_looked_at_at_once() -> None:
    agent = Agent()
    flights = Flights(watch=agent.watch, current=agent.current)
    agent.may_answer.set()
    earlier = await started(agent, flights)
    agent.move(replace(WORLD, revision=3))
    await asked(agent, 1)
    agent.world = replace(DISABLED, revision=4)
    late = asyncio.create_task(fly(flights.open(WORLD, KEY, "slot", 2)))
    async with asyncio.timeout(5):
        assert (await earlier, await late) == (Reason.AGENT_DISABLED, Reason.AGENT_DISABLED)


async def test_an_agent_is_watched_once_and_not_for_ever() -> None:
    agent = Agent()
    flights = Flights(watch=agent.watch, current=agent.current, linger_s=0)
    flying = [await started(agent, flights) for _ in range(3)]
    assert len(agent.moved) == 1
    agent.may_answer.set()
    agent.move(DISABLED)
    async with asyncio.timeout(5):
        assert set(await asyncio.gather(*flying)) == {Reason.AGENT_DISABLED}
        while agent.moved:
            await asyncio.sleep(0)
    again = await started(agent, flights)
    await flights.stop()
    assert agent.moved == []
    again.cancel()
    with pytest.raises(asyncio.CancelledError):
        await again


async def test_a_change_that_comes_while_an_earlier_one_is_looked_at_is_looked_at_too() -> None:
    agent = Agent()
    flights = Flights(watch=agent.watch, current=agent.current)
    flying = await started(agent, flights)
    agent.move(replace(WORLD, revision=2))
    await asked(agent, 1)
    agent.move(DISABLED)
    agent.may_answer.set()
    async with asyncio.timeout(5):
        assert await flying is Reason.AGENT_DISABLED


@pytest.mark.parametrize("failure", [Unavailable("the database is gone"), RuntimeError("a defect")])
async def test_a_look_that_fails_is_taken_again(failure: Exception) -> None:
    agent = Agent(failures=[failure])
    flights = Flights(watch=agent.watch, current=agent.current)
    flying = await started(agent, flights)
    agent.may_answer.set()
    agent.move(DISABLED)
    async with asyncio.timeout(5):
        assert await flying is Reason.AGENT_DISABLED


async def test_a_change_that_admits_the_caller_cuts_nothing() -> None:
    agent = Agent()
    flights = Flights(watch=agent.watch, current=agent.current)
    flying = await started(agent, flights)
    agent.may_answer.set()
    agent.move(replace(WORLD, revision=2))
    await asked(agent, 1)
    agent.move(replace(WORLD, revision=3))
    await asked(agent, 2)
    assert not flying.done()
    flying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flying
    await flights.stop()
