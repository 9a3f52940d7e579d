"""The sums over the log stay exact while the processes that keep them are killed."""

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from tests.databases import Location, database, database_kind, location, postgres_server, sqlite_template
from tests.runtime.recorder.support import AGENT, create_agent, ledger_at
from tests.store.audit.sums import Busy, kept, scanned
from wicket.runtime.rollups import Rollups
from wicket.store.db import Database

__all__ = ["database", "database_kind", "location", "postgres_server", "sqlite_template"]

REPOSITORY = Path(__file__).parents[2]
COUNTERS, KILLS = 2, 4
TOLD_AT_ONCE = 10
"""Stretches that a counter is told to count before anybody listens, so that it dies in the midst of them."""


async def begin(location: Location) -> Process:
    paths = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.runtime.counting", str(location.sqlite_path), location.url or ""),
        env=os.environ | {"PYTHONPATH": paths},
        stdin=PIPE,
        stdout=PIPE,
    )


def tell(counter: Process) -> None:
    assert counter.stdin is not None
    counter.stdin.write(b"count\n" * TOLD_AT_ONCE)


async def hear(counter: Process, times: int) -> None:
    assert counter.stdout is not None
    async with asyncio.timeout(120):
        for _ in range(times):
            assert await counter.stdout.readline() == b"counted\n"


@pytest.mark.slow
async def test_no_call_is_counted_twice_or_left_out_when_counters_are_killed(
    location: Location, database: Database
) -> None:
    chance = random.Random(11)
    await database.change(create_agent, agents=())
    busy, ledger = Busy(chance, [AGENT]), ledger_at(location)
    await ledger.open(1)
    counters = [await begin(location) for _ in range(COUNTERS)]
    for _ in range(KILLS):
        for _ in range(20):
            async with ledger.turn([], []) as turn:
                await turn.commit(busy.rows(chance.randrange(1, 100)), [])
        for counter in counters:
            tell(counter)
        victim, other = chance.sample(counters, k=2)
        await hear(victim, chance.randrange(1, TOLD_AT_ONCE))
        victim.kill()
        await victim.wait()
        await hear(other, TOLD_AT_ONCE)
        counters = [other, await begin(location)]
    for counter in counters:
        counter.kill()
        await counter.wait()
    await ledger.close(2)
    some = await database.read(kept)
    await Rollups(database).catch_up()
    assert some
    assert await database.read(kept) == await database.read(scanned)
