import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.databases import Location, database, database_kind, location, postgres_server, sqlite_template
from tests.journeys.servers import SLOW_ON_POSTGRES
from tests.runtime.recorder.support import (
    AGENT,
    allow,
    append_calls,
    attempt,
    create_agent,
    delete_agent,
    deny,
    ledger_at,
    load_world,
    recorder_at,
    set_status,
)
from wicket.core.errors import Invalid
from wicket.core.model import AgentStatus, Outcome
from wicket.core.world import World
from wicket.runtime.recorder import Ending
from wicket.runtime.tail import Subscription, Tail
from wicket.store.audit.following import (
    PAGE_ROWS,
    STRETCH_ROWS,
    Committed,
    Position,
    parse_position,
    read_after,
    render_position,
)
from wicket.store.db import Database

__all__ = ["database", "database_kind", "location", "postgres_server", "sqlite_template"]


@pytest.fixture
async def world(database: Database) -> World:
    await database.change(create_agent, agents=[])
    loaded = await database.read(load_world, AGENT)
    assert loaded is not None
    return loaded


@pytest.fixture
async def tail(database: Database) -> AsyncIterator[Tail]:
    running = Tail(database, interval_s=0.01)
    await running.start()
    yield running
    await running.stop()


async def take(subscription: Subscription, count: int) -> list[Committed]:
    async with asyncio.timeout(5):
        return [await anext(subscription) for _ in range(count)]


def told(rows: list[Committed]) -> list[tuple[str, str | None]]:
    return [(row.entry.id, None if row.outcome is None else row.outcome.outcome) for row in rows]


async def test_a_subscriber_hears_of_each_entry_and_of_its_end_once(
    tail: Tail, location: Location, database: Database, world: World
) -> None:
    recorder, other = recorder_at(location, database), recorder_at(location, database)
    await recorder.start()
    await recorder.commit(attempt(deny), world)
    subscription = await tail.subscribe()
    one = await recorder.commit(attempt(), world)
    first = await take(subscription, 1)
    await other.start()
    two = await other.commit(attempt(), world)
    second = await take(subscription, 1)
    recorder.end(one, Ending(Outcome.OK))
    third = await take(subscription, 1)
    await other.stop()
    fourth = await take(subscription, 1)
    await recorder.stop()
    assert told([*first, *second, *third, *fourth]) == [
        (one.entry_id, None),
        (two.entry_id, None),
        (one.entry_id, "ok"),
        (two.entry_id, "interrupted"),
    ]


async def test_who_comes_back_misses_and_repeats_nothing(
    tail: Tail, location: Location, world: World
) -> None:
    first, second = ledger_at(location), ledger_at(location)
    await first.open(1)
    subscription = await tail.subscribe()
    ids = await append_calls(first, world, [allow] * (PAGE_ROWS + 10))
    await second.open(2)
    ids += await append_calls(second, world, [deny] * 5)
    heard = [row.entry.id for row in await take(subscription, 7)]
    while len(heard) < len(ids):
        position = subscription.position
        subscription.close()
        subscription = await tail.subscribe(position)
        heard += [row.entry.id for row in await take(subscription, min(100, len(ids) - len(heard)))]
    await first.close(3)
    ids += await append_calls(second, world, [deny])
    heard += [row.entry.id for row in await take(subscription, 1)]
    await second.close(4)
    assert len(heard) == len(set(heard))
    assert set(heard) == set(ids)


async def test_all_subscribers_hear_everything_wherever_they_began(
    tail: Tail, location: Location, world: World
) -> None:
    ledger = ledger_at(location)
    await ledger.open(1)
    begun = await tail.subscribe()
    ids: list[str] = []
    listeners = []
    for number in range(1, 6):
        ids += await append_calls(ledger, world, [allow] * number)
        position = begun.position
        listeners.append(asyncio.create_task(take(await tail.subscribe(position), 15)))
    heard = await asyncio.gather(*listeners)
    await ledger.close(2)
    assert [[row.entry.id for row in rows] for rows in heard] == [ids] * 5


async def test_a_subscription_ends_when_the_tail_stops(database: Database, world: World) -> None:
    assert world.agent_id == AGENT
    tail = Tail(database)
    await tail.start()
    subscription = await tail.subscribe()
    waiting = asyncio.create_task(anext(subscription, None))
    await asyncio.sleep(0)
    await tail.stop()
    async with asyncio.timeout(5):
        assert await waiting is None


class Heard:
    """Revisions that a watcher was told of."""

    def __init__(self) -> None:
        self.revisions: list[int | None] = []
        self._more = asyncio.Event()

    def __call__(self, revision: int | None) -> None:
        self.revisions.append(revision)
        self._more.set()

    async def next(self) -> int | None:
        async with asyncio.timeout(5):
            await self._more.wait()
        self._more.clear()
        return self.revisions[-1]


async def test_a_watcher_hears_that_its_agent_has_changed(
    tail: Tail, database: Database, world: World
) -> None:
    heard = Heard()
    end = tail.watch(AGENT, heard, revision=world.revision)
    await database.change(set_status, AgentStatus.DISABLED, agents=[AGENT])
    tail.wake()
    assert await heard.next() == world.revision + 1
    await database.change(delete_agent, agents=[AGENT])
    assert await heard.next() is None
    end()
    end()
    assert heard.revisions == [world.revision + 1, None]


async def test_a_change_before_the_watch_began_is_heard_too(
    tail: Tail, database: Database, world: World
) -> None:
    await database.change(set_status, AgentStatus.DISABLED, agents=[AGENT])
    heard = Heard()
    tail.watch(AGENT, heard, revision=world.revision)
    assert await heard.next() == world.revision + 1


async def test_a_watcher_that_fails_silences_nobody(tail: Tail, database: Database, world: World) -> None:
    def fail(_revision: int | None) -> None:
        raise RuntimeError("a defect")

    heard = Heard()
    tail.watch(AGENT, fail, revision=world.revision)
    tail.watch(AGENT, heard, revision=world.revision)
    await database.change(set_status, AgentStatus.DISABLED, agents=[AGENT])
    assert await heard.next() == world.revision + 1


@pytest.mark.parametrize(
    "position", [Position(0, {}), Position(7, {3: 9, 7: 2**60}), Position(900, {n: n for n in range(900)})]
)
def test_a_position_survives_its_way_outside(position: Position) -> None:
    assert parse_position(render_position(position)) == position


@pytest.mark.parametrize("text", ["", "x", "é", "AAAA", render_position(Position(-1, {})), "eJwDAAAAAAE"])
def test_a_foreign_position_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as raised:
        parse_position(text)
    assert raised.value.field == "Last-Event-ID"


@SLOW_ON_POSTGRES
async def test_who_was_away_for_many_starts_reads_them_in_stretches(
    location: Location, database: Database, world: World
) -> None:
    ids = []
    living = ledger_at(location)
    await living.open(1)
    for number in range(12):
        ledger = ledger_at(location)
        await ledger.open(2)
        ids += await append_calls(ledger, world, [deny] * (PAGE_ROWS + number))
        await ledger.close(3)
        ids += await append_calls(living, world, [deny])
    position, heard, is_end = Position(0, {}), list[str](), False
    while not is_end:
        stretch = await database.read(read_after, position)
        assert len(stretch.rows) < STRETCH_ROWS + 2 * PAGE_ROWS
        heard += [row.entry.id for row in stretch.rows]
        position, is_end = parse_position(render_position(stretch.position)), stretch.is_end
        if len(heard) < len(ids):
            ids += await append_calls(living, world, [deny])
    await living.close(4)
    assert len(heard) == len(set(heard))
    assert set(heard) == set(ids)
