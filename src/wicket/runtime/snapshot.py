"""Worlds in memory: loaded on first use with their revision, bounded, replaced whole an agent at a time.

A world may be old: that is why the recorder compares revisions when it commits. What never passes the commit
(lists, refusals, streams) asks for the `current` world, which costs one read of the agent's revision.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from wicket.core.errors import Unavailable
from wicket.core.world import World

AGENTS_MAX: Final = 1_000
DIGESTS_MAX: Final = 200_000
LOOKUP_WAIT_S: Final = 5.0
"""For a database that has fallen silent to tell whose key it is, or what a world is."""

LoadWorld = Callable[[str], Awaitable[World | None]]
FindAgent = Callable[[bytes], Awaitable[str | None]]
ReadRevision = Callable[[str], Awaitable[int | None]]


class Snapshot:
    """The worlds that this process knows."""

    def __init__(
        self,
        *,
        load: LoadWorld,
        find_agent: FindAgent,
        read_revision: ReadRevision,
        lookup_wait_s: float = LOOKUP_WAIT_S,
    ) -> None:
        self._load = load
        self._find_agent = find_agent
        self._read_revision = read_revision
        self._lookup_wait_s = lookup_wait_s
        self._worlds: OrderedDict[str, World] = OrderedDict()
        self._agent_of: OrderedDict[bytes, str] = OrderedDict()
        self._loading: dict[str, asyncio.Task[World | None]] = {}

    async def of(self, digests: Sequence[bytes]) -> tuple[World, bytes] | None:
        """The world of a key, and which of its digests is on record; None when no key has any of them.

        A digest that is not in memory is looked up in the database: a key made elsewhere works at once.
        """
        for digest in digests:
            agent_id = self._agent_of.get(digest) or await self._look_up(digest)
            if agent_id is None:
                continue
            world = self._worlds.get(agent_id)
            if world is None or digest not in world.keys:
                world = await self.reload(agent_id)
            if world is not None and digest in world.keys:
                self._remember(digest, agent_id)
                return world, digest
        return None

    async def current(self, world: World) -> World | None:
        """The world as the database has it now; None when the agent is gone."""
        if await self._read_revision(world.agent_id) == world.revision:
            return world
        return await self.reload(world.agent_id)

    async def current_of(self, agent_id: str) -> World | None:
        """As `current`, for an agent whose world may not be in memory."""
        world = self._worlds.get(agent_id)
        return await self.reload(agent_id) if world is None else await self.current(world)

    async def reload(self, agent_id: str) -> World | None:
        """Load an agent's world anew. A load that began before this call does not count: it may be older."""
        async with self._in_time():
            return await self._reload(agent_id)

    async def _reload(self, agent_id: str) -> World | None:
        if (earlier := self._loading.get(agent_id)) is not None:
            await asyncio.wait({earlier})
        task = self._loading.get(agent_id)
        if task is None:
            task = self._loading[agent_id] = asyncio.create_task(self._replace(agent_id))
        return await asyncio.shield(task)

    async def _replace(self, agent_id: str) -> World | None:
        try:
            world = await self._load(agent_id)
        finally:
            del self._loading[agent_id]
        if world is None:
            self._worlds.pop(agent_id, None)
            return None
        known = self._worlds.get(agent_id)
        if known is None or known.revision <= world.revision:
            self._worlds[agent_id] = world
        self._worlds.move_to_end(agent_id)
        while len(self._worlds) > AGENTS_MAX:
            self._worlds.popitem(last=False)
        return world

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Raise Unavailable when the database takes too long."""
        try:
            async with asyncio.timeout(self._lookup_wait_s):
                yield
        except TimeoutError as error:
            raise Unavailable("the database does not answer: try again in a moment") from error

    async def _look_up(self, digest: bytes) -> str | None:
        async with self._in_time():
            # Left to itself when it takes too long: to take a question back means to ask the database again.
            return await asyncio.shield(asyncio.ensure_future(self._find_agent(digest)))

    def _remember(self, digest: bytes, agent_id: str) -> None:
        self._agent_of[digest] = agent_id
        self._agent_of.move_to_end(digest)
        while len(self._agent_of) > DIGESTS_MAX:
            self._agent_of.popitem(last=False)
