"""`wicket serve` on a disk or a database that is made to fail under it, callers who go on, and what must hold.

async with scene(location, disk.environment) as scene:
    disk.fail(Kind.WRITE, error=errno.ENOSPC)
    await scene.call()
    disk.work()
    await scene.until_it_works()
    await scene.check()
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import sqlalchemy as sa

from tests.databases import Location
from tests.journeys.crowd import TOOLS, CallStory, Crowd
from tests.journeys.log import read_log
from tests.journeys.servers import Server, outside, through
from tests.reachable import AgentUnderTest, Reachable
from tests.upstreams.recording import RecordingUpstream
from wicket.core.errors import Unavailable
from wicket.core.model import Tier
from wicket.store import tables
from wicket.store.audit.entry import EventKind
from wicket.store.audit.verify import verify
from wicket.store.db import Database

CALLERS = 18
WORKS_AGAIN_S = 30
SETTLED_S = 30


class Serve(Server):
    """The command, in one process."""

    ADDRESS = re.compile(r" serves (http://[\d.]+:\d+)")
    STARTED = " serves "

    def _command(self) -> Sequence[str]:
        return ("-m", "wicket.cli", "serve", "--port", "0")

    @property
    def said(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._lines)


@dataclass
class Scene:
    """One server, one agent that may `echo` and not `drop`, and every call that was ever made."""

    server: Serve
    wicket: Reachable
    crowd: Crowd
    agent: AgentUnderTest
    key: str

    @property
    def door(self) -> Reachable:
        return through(self.wicket, self.server)

    async def call(self, tool: str = "echo", *, key: str | None = None) -> CallStory:
        story = await self.crowd.call(self.door, key or self.key, tool)
        assert story.answer is not None, "the server has gone"
        assert story.answer.status != HTTPStatus.INTERNAL_SERVER_ERROR, self.server.said
        return story

    async def call_at_once(self) -> None:
        """Many calls, each to its end: what everybody was told is known."""
        await asyncio.gather(*(self.call(tool) for tool in ["echo", "echo", "drop"] * (CALLERS // 3)))

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """Many callers at a time, who call again and again while the block runs."""
        is_over = asyncio.Event()

        async def go_on() -> None:
            while not is_over.is_set():
                await self.call_at_once()

        callers = asyncio.create_task(go_on())
        try:
            yield
        finally:
            is_over.set()
            await callers

    async def until_it_works(self, key: str | None = None) -> CallStory:
        """The first call that is decided and recorded again, by the same process.

        A disk that takes longer than a quarter of a second over one record has that call refused, then too.
        """
        async with asyncio.timeout(WORKS_AGAIN_S):
            while (story := await self.call(key=key)).failed:
                await asyncio.sleep(0)
        return story

    async def until_settled(self) -> None:
        """Nobody calls: until every allowed call has its last outcome, and every refused one is counted."""
        async with asyncio.timeout(SETTLED_S):
            while not await self._is_settled():
                await asyncio.sleep(0)

    async def _is_settled(self) -> bool:
        try:
            entries = {entry.number: entry for entry in await read_log(self.wicket.database)}
            counted = await self.wicket.database.read(_counted_in_gaps)
        except Unavailable:
            return False  # our own connections have been broken too
        missed = [story for story in self.failed if story.number not in entries]
        assert counted <= len(missed), "the gaps count calls that were not refused"
        return counted == len(missed) and all(
            entry.outcomes and entry.outcomes[-1] == wanted_outcome(self.crowd.stories[number])
            for number, entry in entries.items()
            if entry.allowed
        )

    @property
    def failed(self) -> list[CallStory]:
        return [story for story in self.crowd.stories.values() if story.failed]

    async def check(self) -> None:
        """Nothing lost, nothing forwarded without a row, nothing counted twice, every chain whole."""
        await self.until_settled()
        entries = await read_log(self.wicket.database)
        of_number = {entry.number: entry for entry in entries}
        assert len(of_number) == len(entries), "a call is on record twice"
        allowed = {entry.number for entry in entries if entry.allowed}
        denied = {entry.id for entry in entries if not entry.allowed}
        assert self.crowd.arrived <= allowed, "forwarded without a row"
        for story in self.crowd.stories.values():
            if story.answer is not None:
                check_story(story, allowed, denied)
        report = await self.wicket.database.read(verify)
        assert report.ok, report


def wanted_outcome(story: CallStory) -> str:
    """How an allowed call has ended. What was left open by a writer that failed is `interrupted` until then."""
    if story.failed:
        return "refused"
    return "ok" if story.allowed else "cancelled"


def check_story(story: CallStory, allowed: Collection[int], denied: Collection[str]) -> None:
    """What a caller was told is what the log says; equal refusals of one second share an entry."""
    if story.failed:
        assert story.answer is not None
        assert (story.answer.status, story.data["retryable"]) == (503, True)
        assert story.arrived is None
    elif story.allowed:
        assert story.number in allowed, story
    else:
        assert story.arrived is None
        assert story.data["decisionId"] in denied, story


def _counted_in_gaps(tx: sa.Connection) -> int:
    bodies = sa.select(tables.events.c.body).where(tables.events.c.kind == EventKind.GAP)
    return sum(int(json.loads(body)["count"]) for body in tx.execute(bodies).scalars())


async def count_events(database: Database, kind: str) -> int:
    """How many events of a kind the log has."""

    def count(tx: sa.Connection) -> int:
        found = sa.select(sa.func.count()).where(tables.events.c.kind == kind)
        return int(tx.execute(found).scalar_one())

    return await database.read(count)


@asynccontextmanager
async def staged(location: Location, settings: Mapping[str, str] | None = None) -> AsyncIterator[Scene]:
    """Everything in place, and one call of each kind made; stopped in order in the end."""
    async with (
        RecordingUpstream(tools=TOOLS) as upstream,
        outside(location, "") as people,
        Serve(location, settings=settings) as server,
    ):
        crowd = Crowd(upstream)
        agent = await people.agent(
            services={"fake": upstream.url}, tiers={"echo": Tier.READ, "drop": Tier.WRITE}
        )
        await agent.policy(service="fake", tools=["echo"])
        await server.start()
        scene = Scene(server, people, crowd, agent, await agent.key())
        await scene.until_it_works()
        await scene.call("drop")
        await scene.until_settled()
        yield scene
        await server.stop()  # nothing where the test has killed it
