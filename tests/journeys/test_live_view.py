"""A live view that is cut again and again under load, and taken up at whichever server: nothing is lost."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest
import sqlalchemy as sa

from tests.databases import Location
from tests.events import bearer, listening
from tests.journeys.servers import SLOW_ON_POSTGRES, outside, several, through
from tests.reachable import Reachable, now
from tests.upstreams.recording import RecordingUpstream
from wicket.store import accounts, tables
from wicket.store.accounts import Scope

CALLERS = 3
EVENTS_BETWEEN_CUTS = 40


async def token_of(wicket: Reachable, account_id: str) -> str:
    made = await wicket.change(
        accounts.create_token,
        account_id=account_id,
        name="tests",
        scopes=frozenset({Scope.READ}),
        expires_at=None,
        now=now(),
        agents=(),
    )
    return made.token


@asynccontextmanager
async def under_load(wickets: Sequence[Reachable], key: str) -> AsyncIterator[None]:
    """Calls without end, through every server at once."""
    is_over = False

    async def call(wicket: Reachable) -> None:
        while not is_over:
            await wicket.call(key, "fake__echo", {"text": "hello"})
            await wicket.call(key, "fake__nothing")

    callers = [asyncio.create_task(call(wicket)) for wicket in wickets for _ in range(CALLERS)]
    try:
        yield
    finally:
        is_over = True
        await asyncio.gather(*callers)


def _told_of(tx: sa.Connection) -> Counter[tuple[str, str]]:
    """What the log holds: each entry once, and each of their ends."""
    entries = tx.execute(sa.select(tables.audit.c.id)).scalars()
    ends = tx.execute(sa.select(tables.outcomes.c.entry_id)).scalars()
    return Counter([*(("entry", one) for one in entries), *(("outcome", one) for one in ends)])


async def heard_through_cuts(
    location: Location, *, servers: int, cuts: int
) -> tuple[Counter[tuple[str, str]], ...]:
    """What a client has heard, and what it should have."""
    chance = random.Random(cuts)
    heard: Counter[tuple[str, str]] = Counter()
    async with (
        RecordingUpstream() as upstream,
        several(location, servers) as running,
        outside(location, running[0].url) as wicket,
        aiohttp.ClientSession() as http,
    ):
        agent = await wicket.agent(services={"fake": upstream.url})
        await agent.policy(service="fake", tools=["echo"])
        key, who = await agent.key(), bearer(await token_of(wicket, agent.owner_account))
        place = ""
        async with listening(http, running[0].url, who) as source:
            place = source.last_id
        async with under_load([through(wicket, server) for server in running], key):
            for _ in range(cuts):
                async with listening(http, chance.choice(running).url, who, after=place) as source:
                    for event in await source.take(chance.randrange(1, EVENTS_BETWEEN_CUTS)):
                        heard[event.name, event.data["id"]] += 1
                    place = source.last_id
        expected = await all_told(wicket)
        async with listening(http, running[-1].url, who, after=place) as source:
            for event in await source.take(expected.total() - heard.total()):
                heard[event.name, event.data["id"]] += 1
    return heard, expected


async def all_told(wicket: Reachable) -> Counter[tuple[str, str]]:
    """What the log holds once every allowed call has ended."""
    async with asyncio.timeout(20):
        while True:
            told = await wicket.database.read(_told_of)
            allowed = await wicket.database.read(
                lambda tx: tx.execute(sa.select(sa.func.count()).where(~tables.audit.c.denied)).scalar_one()
            )
            if sum(count for (name, _), count in told.items() if name == "outcome") >= allowed:
                return told


@pytest.mark.slow
async def test_a_view_cut_fifty_times_under_load_misses_and_repeats_nothing(location: Location) -> None:
    heard, expected = await heard_through_cuts(location, servers=3, cuts=50)
    assert heard == expected
    assert heard.total() > 500


@SLOW_ON_POSTGRES
async def test_a_view_cut_a_few_times_under_load_misses_and_repeats_nothing(
    location: Location, database_kind: str
) -> None:
    heard, expected = await heard_through_cuts(location, servers=1, cuts=4)
    assert heard == expected, database_kind
