"""PostgreSQL hangs up on everybody, again and again: nothing is lost, and rules still bind."""

import asyncio
import os

import asyncpg
import pytest

from tests.databases import TERMINATE_OTHERS, Location
from tests.journeys.crowd import Crowd
from tests.journeys.log import open_entries, read_log
from tests.journeys.servers import outside, several, through
from tests.reachable import AgentUnderTest, Reachable
from tests.upstreams.recording import RecordingUpstream
from wicket.core.errors import Unavailable
from wicket.core.model import AgentStatus
from wicket.store.audit.verify import verify
from wicket.store.db import Database

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.parametrize("database_kind", ["postgresql"]),
]

TIMES = int(os.environ.get("WICKET_TEST_HANG_UPS", "10"))
ENDED_S = 30


async def hang_up_on_everybody(location: Location) -> None:
    assert location.url is not None
    connection = await asyncpg.connect(location.url)
    try:
        await connection.execute(TERMINATE_OTHERS)
    finally:
        await connection.close()


async def until_all_ended(wicket: Reachable) -> None:
    async with asyncio.timeout(ENDED_S):
        while await open_entries(wicket.database):
            await asyncio.sleep(0)


async def disabled_at_last(agent: AgentUnderTest) -> None:
    """Our own connections were cut too, so a change may fail before one does not."""
    async with asyncio.timeout(ENDED_S):
        while True:
            try:
                return await agent.status(AgentStatus.DISABLED)
            except Unavailable:
                continue


async def allowed_again(crowd: Crowd, door: Reachable, key: str) -> None:
    """Until a call is decided: what cannot be recorded meanwhile is refused."""
    async with asyncio.timeout(ENDED_S):
        while not (await crowd.call(door, key)).allowed:
            pass


async def arrivals(crowd: Crowd, more: int) -> None:
    enough = crowd.count("arrived") + more
    await crowd.until(lambda: crowd.count("arrived") >= enough)


def hangs_now(crowd: Crowd) -> bool:
    return any(story.hangs and story.ended is None and story.arrived for story in crowd.stories.values())


async def check_log(database: Database, crowd: Crowd) -> None:
    entries = await read_log(database)
    allowed = {entry.number for entry in entries if entry.allowed}
    report = await database.read(verify)
    assert crowd.arrived <= allowed
    assert report.ok, report


@pytest.mark.promise("P3")
async def test_no_call_arrives_unrecorded_however_often_connections_break(location: Location) -> None:
    async with (
        RecordingUpstream() as upstream,
        several(location, 2) as servers,
        outside(location, "") as wicket,
    ):
        crowd, doors = Crowd(upstream), [through(wicket, server) for server in servers]
        agent = await wicket.agent(services={"fake": upstream.url})
        await agent.policy(service="fake", tools=["echo"])
        key = await agent.key()
        async with crowd.calling(doors, key, echo=12):
            for _ in range(TIMES):
                await hang_up_on_everybody(location)
                await arrivals(crowd, 50)
        await until_all_ended(wicket)
        await check_log(wicket.database, crowd)


@pytest.mark.promise("P7")
async def test_a_call_in_the_air_is_cut_though_the_connections_broke(location: Location) -> None:
    async with (
        RecordingUpstream() as upstream,
        several(location) as (server,),
        outside(location, server.url) as wicket,
    ):
        crowd = Crowd(upstream)
        agent = await wicket.agent(services={"fake": upstream.url})
        await agent.policy(service="fake", tools=["echo"])
        key = await agent.key()
        for _ in range(TIMES):
            call = asyncio.create_task(crowd.call(wicket, key, hangs=True))
            await crowd.until(lambda: hangs_now(crowd))
            await hang_up_on_everybody(location)
            await disabled_at_last(agent)
            async with asyncio.timeout(ENDED_S):
                story = await call
            assert story.reason == "agent_disabled"
            await agent.status(AgentStatus.ACTIVE)
            await allowed_again(crowd, wicket, key)
        await until_all_ended(wicket)
        await check_log(wicket.database, crowd)
