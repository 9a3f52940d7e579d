"""The sums over the log are those of the log, however it is cut up and whoever counts."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import sqlalchemy as sa

from tests.databases import Location
from tests.runtime.recorder.support import AGENT, create_agent, ledger_at
from tests.store.audit.sums import BEGIN_US, HOUR_US, Busy, kept, scanned
from wicket.runtime.rollups import Rollups
from wicket.store import tables
from wicket.store.audit.counting import read_stretch
from wicket.store.audit.ledger import Ledger
from wicket.store.audit.rollups import (
    Overtaken,
    apply_stretch,
    bucket_of,
    find_lag_us,
    middle_of,
)
from wicket.store.db import Database

UNTRUSTED = "6f1c2b3a-0000-4000-8000-000000000002"
GONE = "6f1c2b3a-0000-4000-8000-000000000009"
"""An agent that the log names and nobody else."""


@pytest.fixture
async def busy(database: Database) -> Busy:
    await database.change(create_agent, agents=())
    await database.change(create_agent, agent_id=UNTRUSTED, agents=())
    await database.change(distrust, agents=())
    return Busy(random.Random(7), (AGENT, UNTRUSTED, GONE))


def distrust(tx: sa.Connection) -> None:
    agents = tables.agents
    tx.execute(
        sa.update(agents).where(agents.c.id == UNTRUSTED).values(trust_mode="untrusted", owner_id="o-2")
    )


@pytest.fixture
async def ledgers(location: Location, busy: Busy) -> AsyncIterator[list[Ledger]]:
    """Three writers at once."""
    async with AsyncExitStack() as stack:
        opened = []
        for now_us in (1, 2, 3):
            ledger = ledger_at(location)
            await ledger.open(now_us)
            stack.push_async_callback(ledger.close, 9)
            opened.append(ledger)
        yield opened


async def append(ledger: Ledger, busy: Busy, count: int) -> None:
    async with ledger.turn([], []) as turn:
        await turn.commit(busy.rows(count), [])


async def count_some(database: Database, rows_max: int) -> bool:
    stretch = await database.read(read_stretch, rows_max=rows_max)
    if stretch is None:
        return False
    await database.change(apply_stretch, stretch, stretch.parts, agents=())
    return True


async def test_the_sums_are_those_of_the_log_wherever_it_is_cut(
    database: Database, busy: Busy, ledgers: list[Ledger]
) -> None:
    chance = random.Random(3)
    for _ in range(60):
        await append(chance.choice(ledgers), busy, chance.randrange(1, 20))
        for _ in range(chance.randrange(3)):
            await count_some(database, chance.choice((1, 2, 5, 30, 1_000)))
    while await count_some(database, 100):
        pass
    sums = await database.read(kept)
    assert len(sums) > 1_000
    assert sums == await database.read(scanned)


async def test_a_stretch_that_somebody_else_has_counted_is_not_counted_again(
    database: Database, busy: Busy, ledgers: list[Ledger]
) -> None:
    for _ in range(2):
        await append(ledgers[0], busy, 20)
        mine, other = [await database.read(read_stretch, rows_max=rows) for rows in (40, 7)]
        assert mine is not None
        assert other is not None
        await database.change(apply_stretch, other, other.parts, agents=())
        with pytest.raises(Overtaken):
            await database.change(apply_stretch, mine, mine.parts, agents=())
    while await count_some(database, 40):
        pass
    assert await database.read(kept) == await database.read(scanned)


async def test_parts_that_were_left_behind_are_added_by_whoever_comes_next(
    database: Database, busy: Busy, ledgers: list[Ledger]
) -> None:
    chance = random.Random(5)
    for _ in range(15):
        await append(chance.choice(ledgers), busy, 40)
        stretch = await database.read(read_stretch, rows_max=chance.choice((10, 25, 1_000)))
        if stretch is not None:
            parts = sorted(stretch.parts)
            for part in parts[: chance.randrange(len(parts) + 1)]:  # and there it dies
                await database.change(apply_stretch, stretch, [part], agents=())
    assert await database.read(kept) != await database.read(scanned)
    await Rollups(database).catch_up()
    assert await database.read(kept) == await database.read(scanned)


async def test_a_long_stretch_is_added_part_by_part(
    location: Location, database: Database, busy: Busy, ledgers: list[Ledger]
) -> None:
    other = await location.open()
    counters = [Rollups(database, sums_max=150), Rollups(other, sums_max=150)]
    for _ in range(4):
        for ledger in ledgers:
            await append(ledger, busy, 60)
        await asyncio.gather(*(counter.catch_up() for counter in counters))
    await other.close()
    assert await database.read(kept) == await database.read(scanned)


async def test_several_counters_at_once_count_everything_once(
    location: Location, database: Database, busy: Busy, ledgers: list[Ledger]
) -> None:
    other = await location.open()
    counters = [Rollups(database), Rollups(other), Rollups(other)]
    for _ in range(10):
        for ledger in ledgers:
            await append(ledger, busy, 30)
        await asyncio.gather(*(counter.catch_up() for counter in counters))
    await other.close()
    assert await database.read(kept) == await database.read(scanned)


async def test_writers_that_have_ended_are_read_to_their_end(
    location: Location, database: Database, busy: Busy
) -> None:
    for now_us in range(1, 8):
        ledger = ledger_at(location)
        await ledger.open(now_us)
        await append(ledger, busy, 12)
        await ledger.close(now_us + 1)
        await count_some(database, 5)
    await Rollups(database).catch_up()
    assert await database.read(kept) == await database.read(scanned)
    assert await database.read(read_stretch, rows_max=10) is None


async def test_a_running_counter_follows_the_log(
    database: Database, busy: Busy, ledgers: list[Ledger]
) -> None:
    running = Rollups(database, interval_s=0.01)
    await running.start()
    await append(ledgers[0], busy, 200)
    expected = await database.read(scanned)
    async with asyncio.timeout(10):
        while await database.read(kept) != expected:
            await asyncio.sleep(0)
    await running.stop()
    assert expected


async def test_the_sums_tell_how_old_the_oldest_entry_is_that_they_lack(
    database: Database, busy: Busy, ledgers: list[Ledger]
) -> None:
    now_us = BEGIN_US + 365 * 24 * HOUR_US
    assert await database.read(find_lag_us, now_us=now_us) == 0
    call = busy.call()._replace(decided_at=BEGIN_US)
    async with ledgers[1].turn([], []) as turn:
        await turn.commit([call], [])
    assert await database.read(find_lag_us, now_us=now_us) == now_us - BEGIN_US
    await Rollups(database).catch_up()
    assert await database.read(find_lag_us, now_us=now_us) == 0


def test_buckets_are_nine_per_cent_wide() -> None:
    for ms in (0.0, 0.004, 0.3, 1.7, 42.0, 30_000.0):
        middle = middle_of(bucket_of(ms))
        assert abs(middle - ms) <= 0.05 * (ms + 0.001)
