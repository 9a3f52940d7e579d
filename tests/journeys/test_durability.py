"""No decision is lost: the whole server is killed under load, at random points, and what it did is on record."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from tests.databases import Location
from tests.evidence import SEED, asked, note
from tests.journeys.crowd import TOOLS, CallStory, Crowd
from tests.journeys.log import open_entries, read_log
from tests.journeys.servers import SLOW_ON_POSTGRES, Server, outside, several, through
from tests.reachable import Reachable
from tests.upstreams.recording import RecordingUpstream
from wicket.core.model import Tier
from wicket.store.audit.verify import verify

KILLS = "WICKET_TEST_SERVER_KILLS"
SWEPT_S = 30


@dataclass
class Losses:
    """What should stay empty, over all lives; and what shows that there was something to lose."""

    unrecorded: set[int] = field(default_factory=set)
    """Calls that arrived at the upstream without an ALLOW entry."""
    forgotten: set[str] = field(default_factory=set)
    """Denials whose caller was given an id that is not on record."""
    wrong_outcome: dict[int, tuple[str, ...]] = field(default_factory=dict)
    flaws: int = 0
    """Of the log."""
    kills: int = 0
    arrived: int = 0
    denied: int = 0
    interrupted: int = 0

    def count(self) -> dict[str, int]:
        return {
            "calls upstream without an ALLOW on record": len(self.unrecorded),
            "denials told and not on record": len(self.forgotten),
            "calls in flight that did not end as interrupted": len(self.wrong_outcome),
            "flaws in the log": self.flaws,
        }


async def kill_at_a_random_point(server: Server, crowd: Crowd, chance: random.Random) -> None:
    """After so many calls have started, arrived or ended, whichever was chosen."""
    event = chance.choice(["started", "arrived", "ended"])
    enough = crowd.count(event) + chance.randrange(1, 150)
    await crowd.until(lambda: crowd.count(event) >= enough and crowd.count("arrived") > 0)
    await server.kill()


async def until_swept(wicket: Reachable) -> None:
    """Nobody calls, so whatever is still open was left by the dead."""
    async with asyncio.timeout(SWEPT_S):
        while await open_entries(wicket.database):
            await asyncio.sleep(0)


async def count_losses(wicket: Reachable, crowd: Crowd, kills: int) -> Losses:
    entries = await read_log(wicket.database)
    report = await wicket.database.read(verify)
    allowed = {entry.number: entry for entry in entries if entry.allowed}
    denied = {entry.id for entry in entries if not entry.allowed}
    stories = crowd.stories.values()
    told = {str(story.data["decisionId"]) for story in stories if story.tool == "drop" and story.refused}
    hanging = {story.number for story in stories if story.hangs and story.arrived is not None}
    return Losses(
        unrecorded=crowd.arrived - allowed.keys(),
        forgotten=told - denied,
        wrong_outcome={
            number: allowed[number].outcomes
            for number in hanging & allowed.keys()
            if allowed[number].outcomes != ("interrupted",)
        },
        flaws=int(not report.ok),
        kills=kills,
        arrived=len(crowd.arrived),
        denied=len(told),
        interrupted=sum(entry.outcomes == ("interrupted",) for entry in entries),
    )


async def killed_under_load(location: Location, *, kills: int, workers: int) -> Losses:
    """Until something was lost, or so often."""
    chance = random.Random(asked(SEED, 11))
    async with RecordingUpstream(tools=TOOLS) as upstream, Server(location, workers=workers) as server:
        crowd = Crowd(upstream)
        async with outside(location, "", keep_alive=workers == 1) as people:
            await server.start()
            agent = await people.agent(
                services={"fake": upstream.url}, tiers={"echo": Tier.READ, "drop": Tier.WRITE}
            )
            await agent.policy(service="fake", tools=["echo"])
            key = await agent.key()
            losses = Losses()
            while losses.kills < kills and not any(losses.count().values()):
                async with crowd.calling([through(people, server)], key, echo=8, drop=4, hang=4):
                    await kill_at_a_random_point(server, crowd, chance)
                await server.start()
                await until_swept(people)
                losses = await count_losses(people, crowd, losses.kills + 1)
            await server.stop()
    return losses


async def check_kills(location: Location, part: str, *, kills: int, workers: int = 1) -> None:
    losses = await killed_under_load(location, kills=kills, workers=workers)
    note(
        f"server-kills-{part}",
        losses.kills,
        wrong=losses.count(),
        arrived=losses.arrived,
        denied=losses.denied,
        interrupted=losses.interrupted,
    )
    assert not losses.unrecorded
    assert not losses.forgotten
    assert not losses.wrong_outcome
    assert not losses.flaws
    assert losses.kills == kills
    assert losses.arrived >= kills
    assert losses.interrupted >= kills
    assert losses.denied > 0


@pytest.mark.promise("P3")
@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_a_killed_server_has_lost_no_decision(location: Location) -> None:
    await check_kills(location, "quick", kills=1)


@pytest.mark.promise("P3")
@pytest.mark.slow
@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_however_often_the_server_is_killed_no_decision_is_lost(location: Location) -> None:
    await check_kills(location, "sqlite", kills=asked(KILLS, 20))


@pytest.mark.promise("P3")
@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_however_often_the_server_is_killed_postgresql_has_it_all(location: Location) -> None:
    await check_kills(location, "postgresql", kills=asked(KILLS, 10))


@pytest.mark.promise("P3")
@pytest.mark.slow
@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_killed_workers_have_lost_no_decision(location: Location) -> None:
    await check_kills(location, "workers", kills=asked(KILLS, 4), workers=2)


async def hanging_calls(crowd: Crowd, door: Reachable, key: str, count: int) -> list[asyncio.Task[CallStory]]:
    """Calls that are in the air: the upstream has them, and does not answer."""
    before = crowd.count("arrived")
    calls = [asyncio.create_task(crowd.call(door, key, hangs=True)) for _ in range(count)]
    await crowd.until(lambda: crowd.count("arrived") == before + count)
    return calls


async def outcomes_of(wicket: Reachable, upto: int) -> list[tuple[str, ...]]:
    """What is on record of the first so many calls."""
    entries = {entry.number: entry for entry in await read_log(wicket.database) if entry.allowed}
    return [entries[number].outcomes for number in range(1, upto + 1)]


@pytest.mark.promise("P3")
@pytest.mark.slow
@SLOW_ON_POSTGRES
async def test_when_one_server_dies_the_calls_of_the_living_are_left_alone(location: Location) -> None:
    async with (
        RecordingUpstream() as upstream,
        several(location, 2) as (victim, other),
        outside(location, "") as wicket,
    ):
        crowd = Crowd(upstream)
        agent = await wicket.agent(services={"fake": upstream.url})
        await agent.policy(service="fake", tools=["echo"])
        key = await agent.key()
        dying = await hanging_calls(crowd, through(wicket, victim), key, 5)
        living = await hanging_calls(crowd, through(wicket, other), key, 5)
        await victim.kill()
        await asyncio.gather(*dying)
        await victim.start()
        async with asyncio.timeout(SWEPT_S):
            while await open_entries(wicket.database) > len(living):
                await asyncio.sleep(0)
        assert await outcomes_of(wicket, 10) == [("interrupted",)] * 5 + [()] * 5
        upstream.drop_connections()
        assert {(await call).answer is not None for call in living} == {True}
        async with asyncio.timeout(SWEPT_S):
            while await open_entries(wicket.database):
                await asyncio.sleep(0)
        assert await outcomes_of(wicket, 10) == [("interrupted",)] * 5 + [("upstream_error",)] * 5
