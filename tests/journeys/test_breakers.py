"""Breakers are exact: a session's calls are counted as one, on whichever process each of them is decided."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest
import sqlalchemy as sa

from tests.databases import Location
from tests.journeys.crowd import TOOLS, CallStory, Crowd
from tests.journeys.log import Logged, read_log
from tests.journeys.servers import SLOW_ON_POSTGRES, outside, several, through
from tests.reachable import Reachable
from tests.upstreams.recording import RecordingUpstream
from wicket.core.model import Json, Tier
from wicket.store import tables

SESSIONS = 20
BEFORE_THE_BREAKER = "no_permit_matched"
BY_THE_BREAKER = "forbidden_by_policy"
AFTER_THREE: Json = [{"type": "denyCount", "operator": ">=", "value": 3}]
FEWER_THAN_SEVEN: Json = [{"type": "callCount", "operator": "<", "value": 7}]


def reasons(stories: Sequence[CallStory]) -> Counter[Json]:
    """Why calls were refused; None: they were not."""
    return Counter(story.reason for story in stories)


async def spray(
    crowd: Crowd, doors: Sequence[Reachable], key: str, session: str, **calls: int
) -> list[CallStory]:
    """So many calls of each tool at once, spread over the processes in an order of no plan."""
    tools = [tool for tool, count in calls.items() for _ in range(count)]
    random.Random(session).shuffle(tools)
    return await asyncio.gather(
        *(
            crowd.call(doors[place % len(doors)], key, tool, session=session)
            for place, tool in enumerate(tools)
        )
    )


async def judge_third_denial(crowd: Crowd, doors: Sequence[Reachable], key: str, session: str) -> bool:
    """Two denials block nothing; the third blocks what follows, whatever it is and wherever it comes in."""
    before = await spray(crowd, doors, key, session, echo=6, drop=2)
    third = await spray(crowd, doors, key, session, drop=1)
    after = await spray(crowd, doors, key, session, echo=6, drop=3)
    if not all_recorded(before, third, after):
        return False
    assert reasons(before) == {None: 6, BEFORE_THE_BREAKER: 2}
    assert reasons(third) == {BEFORE_THE_BREAKER: 1}
    assert reasons(after) == {BY_THE_BREAKER: 9}
    assert [story.arrived for story in after] == [None] * 9
    return True


async def judge_denials_at_once(crowd: Crowd, doors: Sequence[Reachable], key: str, session: str) -> bool:
    """However many are denied at the same time, exactly three of them come before the breaker."""
    stories = await spray(crowd, doors, key, session, echo=6, drop=12)
    if not all_recorded(stories):
        return False
    denied = reasons([story for story in stories if story.tool == "drop"])
    echoed = reasons([story for story in stories if story.tool == "echo"])
    assert denied == {BEFORE_THE_BREAKER: 3, BY_THE_BREAKER: 9}
    assert set(echoed) <= {None, BY_THE_BREAKER}
    return True


async def judge_count_of_calls(crowd: Crowd, doors: Sequence[Reachable], key: str, session: str) -> bool:
    """Seven of them are let through, and no eighth."""
    stories = await spray(crowd, doors, key, session, echo=24)
    if not all_recorded(stories):
        return False
    assert reasons(stories) == {None: 7, BEFORE_THE_BREAKER: 17}
    assert sum(story.arrived is not None for story in stories) == 7
    return True


def all_recorded(*phases: Sequence[CallStory]) -> bool:
    """Whether the machine was fast enough; what is not recorded in time is refused, and may have counted."""
    return not any(story.failed for stories in phases for story in stories)


async def judge_sessions(
    judge: Callable[[Crowd, Sequence[Reachable], str, str], Awaitable[bool]],
    crowd: Crowd,
    doors: Sequence[Reachable],
    key: str,
) -> int:
    """How many sessions were judged, of enough to judge `SESSIONS` even on a busy machine."""
    judged = 0
    for number in range(3 * SESSIONS):
        judged += await judge(crowd, doors, key, f"{judge.__name__}-{number}")
        if judged == SESSIONS:
            break
    return judged


async def a_key_of(
    wicket: Reachable, upstream: RecordingUpstream, name: str, *documents: dict[str, Json]
) -> str:
    """Of a new agent with these policies."""
    tiers = {"echo": Tier.READ, "drop": Tier.WRITE}
    agent = await wicket.agent(name, services={"fake": upstream.url}, tiers=tiers)
    for number, document in enumerate(documents):
        await agent.policy(name=f"policy {number}", service="fake", **document)
    return await agent.key()


def counts_by_the_log(entries: Sequence[Logged]) -> dict[str | None, tuple[int, int]]:
    """Session -> its calls and its denials."""
    calls = Counter(entry.session_id for entry in entries)
    denials = Counter(entry.session_id for entry in entries if not entry.allowed)
    return {session: (count, denials[session]) for session, count in calls.items()}


def counts_by_the_facts(tx: sa.Connection) -> dict[str | None, tuple[int, int]]:
    stored = tx.execute(sa.select(tables.tool_sessions.c.id, tables.tool_sessions.c.facts))
    facts = {row.id: json.loads(row.facts) for row in stored}
    return {session: (found["callCount"], found["denyCount"]) for session, found in facts.items()}


@pytest.mark.promise("P6")
@SLOW_ON_POSTGRES
async def test_a_breaker_counts_a_session_s_calls_over_all_processes(location: Location) -> None:
    async with (
        RecordingUpstream(tools=TOOLS) as upstream,
        several(location, 3) as servers,
        outside(location, "") as wicket,
    ):
        crowd, doors = Crowd(upstream), [through(wicket, server) for server in servers]
        breaker: dict[str, Json] = {"effect": "forbid", "tools": ["echo", "drop"], "session": AFTER_THREE}
        tripping = await a_key_of(wicket, upstream, "breaker", {"tools": ["echo"]}, breaker)
        counting = await a_key_of(
            wicket, upstream, "counter", {"tools": ["echo"], "session": FEWER_THAN_SEVEN}
        )
        assert await judge_sessions(judge_third_denial, crowd, doors, tripping) == SESSIONS
        assert await judge_sessions(judge_denials_at_once, crowd, doors, tripping) == SESSIONS
        assert await judge_sessions(judge_count_of_calls, crowd, doors, counting) == SESSIONS
        entries = await read_log(wicket.database)
        assert counts_by_the_log(entries) == await wicket.database.read(counts_by_the_facts)
        assert len({entry.writer for entry in entries}) == len(servers)
