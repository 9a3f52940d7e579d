"""What it costs to append to a log, by how long it is already."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from statistics import median
from time import perf_counter

from tests.bench.big_log import Calls, World
from tests.databases import Location
from tests.runtime.recorder.support import ledger_at
from wicket.store.audit.entry import Row
from wicket.store.audit.ledger import Ledger
from wicket.store.instants import to_us

ROWS, TURNS, ROUNDS = 64, 20, 20
"""Rows in a transaction, transactions in a round, rounds in turns; what is told is of the second half of them."""


APPEND_EVERY_S = 0.02
AT_ONCE = 256
"""Rows in a transaction when there are many: on PostgreSQL it must not take half a second."""


async def cost_of_rows(locations: Sequence[Location], world: World) -> list[float]:
    """Microseconds a row, in each of the databases, with everything that the recorder does to make it durable."""
    now = datetime.now(UTC)
    calls = iter(_rows(world, now))
    ledgers = [ledger_at(location) for location in locations]
    for ledger in ledgers:
        await ledger.open(to_us(now))
    taken: list[list[float]] = [[] for _ in ledgers]
    for _ in range(ROUNDS):
        for ledger, found in zip(ledgers, taken, strict=True):
            found.extend([await _turn(ledger, list(islice(calls, ROWS))) for _ in range(TURNS)])
    for ledger in ledgers:
        await ledger.close(to_us(datetime.now(UTC)))
    return [1e6 * median(found[len(found) // 2 :]) / ROWS for found in taken]


async def append_hours(location: Location, world: World, rows: int, *, hours: int) -> None:
    """What comes in while nobody sums up."""
    now = datetime.now(UTC)
    ledger = ledger_at(location)
    await ledger.open(to_us(now))
    for batch in Calls(world, now - timedelta(hours=hours), rows, hours=hours).batches():
        for begin in range(0, len(batch), AT_ONCE):
            await _turn(ledger, batch[begin : begin + AT_ONCE])
    await ledger.close(to_us(datetime.now(UTC)))


async def append_steadily(location: Location, world: World, *, per_s: int, seconds: float) -> int:
    """What comes in from another process while somebody looks on; answers how many entries that were."""
    begin = datetime.now(UTC)
    calls = Calls(world, begin, per_s)
    ledger = ledger_at(location)
    await ledger.open(to_us(begin))
    began, written = perf_counter(), 0
    while (passed := perf_counter() - began) < seconds:
        due = int(passed * per_s) - written
        instant_us = to_us(datetime.now(UTC))
        if rows := [row for number in range(due) for row in calls.at(instant_us + number)]:
            await _turn(ledger, rows)
        written += due
        await asyncio.sleep(APPEND_EVERY_S)
    await ledger.close(to_us(datetime.now(UTC)))
    return written


def _rows(world: World, now: datetime) -> list[Row]:
    wanted = 3 * ROWS * TURNS * ROUNDS
    calls = Calls(world, now - timedelta(hours=1), wanted, hours=1)
    return [row for batch in calls.batches() for row in batch]


async def _turn(ledger: Ledger, rows: list[Row]) -> float:
    began = perf_counter()
    async with ledger.turn([], []) as turn:
        await turn.commit(rows, [])
    return perf_counter() - began
