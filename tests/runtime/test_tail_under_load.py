"""However much is committed, and however slowly it is read: who watches an agent hears of what concerns it."""

import asyncio
from collections.abc import Callable
from typing import cast

from tests.databases import database, database_kind, location, postgres_server, sqlite_template
from tests.runtime.recorder.support import AGENT, create_agent, set_status
from wicket.core.model import AgentStatus
from wicket.runtime.tail import Tail
from wicket.store.audit.following import Stretch, read_revisions
from wicket.store.db import Database

__all__ = ["database", "database_kind", "location", "postgres_server", "sqlite_template"]

OTHER = "6f1c2b3a-0000-4000-8000-000000000002"


class Busy:
    """A database into which more is committed than can be read, once it `is_busy`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_busy = False
        self.has_read_rows = asyncio.Event()

    async def read(self, fn: Callable[..., object], /, *args: object) -> object:
        found = await self._database.read(fn, *args)
        if self.is_busy and isinstance(found, Stretch):
            self.has_read_rows.set()
            return Stretch(found.rows, found.position, is_end=False)
        return found


class Slow:
    """A database that answers for revisions when it may, so that others come in between."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.has_read = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def read(self, fn: Callable[..., object], /, *args: object) -> object:
        found = await self._database.read(fn, *args)
        if fn is read_revisions:
            self.has_read.set()
            await self.may_answer.wait()
        return found


async def test_a_change_is_heard_of_though_rows_never_end(database: Database) -> None:
    await database.change(create_agent, agents=[])
    busy = Busy(database)
    tail = Tail(cast("Database", busy), interval_s=0.01)
    await tail.start()
    subscription = await tail.subscribe()
    reader = asyncio.create_task(anext(subscription))
    async with asyncio.timeout(5):
        while not subscription.is_live:
            await asyncio.sleep(0)
    busy.is_busy = True
    moved = asyncio.Event()
    async with asyncio.timeout(5):
        await busy.has_read_rows.wait()
        tail.watch(AGENT, lambda _revision: moved.set(), revision=1)
        await database.change(set_status, AgentStatus.DISABLED, agents=[AGENT])
        await moved.wait()
    assert moved.is_set()
    await tail.stop()
    reader.cancel()


async def test_a_watch_that_begins_during_a_look_is_told_nothing_by_it(database: Database) -> None:
    await database.change(create_agent, agents=[])
    await database.change(create_agent, agent_id=OTHER, agents=[])
    slow = Slow(database)
    tail = Tail(cast("Database", slow), interval_s=0.01)
    told: list[int | None] = []
    tail.watch(AGENT, lambda _revision: None, revision=1)
    await tail.start()
    async with asyncio.timeout(5):
        await slow.has_read.wait()
        tail.watch(OTHER, told.append, revision=1)
        slow.has_read.clear()
        slow.may_answer.set()
        await slow.has_read.wait()
    assert told == []
    await tail.stop()
