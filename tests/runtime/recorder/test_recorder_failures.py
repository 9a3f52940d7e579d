import asyncio
import json
import threading
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest
import sqlalchemy as sa

from tests.databases import Location
from tests.runtime.recorder.support import AGENT, attempt, deny, ledger_at, recorder_at, rows
from wicket.core.entities import EntityKey
from wicket.core.errors import Refused, Unavailable
from wicket.core.model import Reason
from wicket.core.world import World
from wicket.runtime.recorder import Limits, Recorded, Recorder
from wicket.store.audit.entry import Row
from wicket.store.audit.ledger import Ledger, LedgerFailed, SessionFacts, SessionSeed, Turn
from wicket.store.db import Database, bucket_of
from wicket.store.gate import WriteGate
from wicket.store.lookups import Found

ENTRIES = sa.text("SELECT * FROM audit ORDER BY writer, seq")
OUTCOMES = sa.text("SELECT * FROM outcomes ORDER BY writer, seq")
GAPS = sa.text("SELECT body FROM events WHERE kind = 'gap' ORDER BY writer, seq")
WRITERS = sa.text("SELECT id, ended_at FROM writers ORDER BY id")


@dataclass
class Faults:
    """What goes wrong in the ledgers of a test, until it is set otherwise."""

    opening: bool = False
    appending: bool = False
    answering: bool = False
    """The COMMIT happens and its answer is lost."""
    gate: threading.Event = field(default_factory=threading.Event)
    """Unset: transactions wait behind their COMMIT."""
    reached: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()


class FaultyTurn:
    """A real transaction that fails when told to."""

    def __init__(self, real: Turn, faults: Faults) -> None:
        self._real = real
        self._faults = faults
        self.revisions = real.revisions
        self.sessions = real.sessions

    async def load_world(self, agent_id: str) -> World | None:
        return await self._real.load_world(agent_id)

    async def load_entities(self, agent_id: str, keys: Collection[EntityKey]) -> Found:
        return await self._real.load_entities(agent_id, keys)

    async def commit(self, rows: Sequence[Row], sessions: Sequence[SessionFacts]) -> None:
        if self._faults.appending:
            raise LedgerFailed("disk full")
        await self._real.commit(rows, sessions)
        self._faults.reached.set()
        await asyncio.to_thread(self._faults.gate.wait)
        if self._faults.answering:
            raise LedgerFailed("connection lost", in_doubt=True)


class FaultyLedger:
    """A real ledger that fails when told to."""

    def __init__(self, real: Ledger, faults: Faults) -> None:
        self._real = real
        self._faults = faults

    @property
    def writer(self) -> int:
        return self._real.writer

    async def open(self, now_us: int) -> None:
        if self._faults.opening:
            raise LedgerFailed("no database")
        await self._real.open(now_us)

    @asynccontextmanager
    async def turn(self, agents: Collection[str], seeds: Collection[SessionSeed]) -> AsyncIterator[Turn]:
        async with self._real.turn(agents, seeds) as turn:
            yield FaultyTurn(turn, self._faults)

    async def sweep(self, now_us: int) -> bool:
        return await self._real.sweep(now_us)

    async def find_entries(self, entry_ids: Collection[str]) -> set[str]:
        return await self._real.find_entries(entry_ids)

    async def close(self, stopped_at_us: int | None) -> None:
        if not self._faults.opening:
            await self._real.close(stopped_at_us)


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
async def faulty(
    location: Location, database: Database, world: World, faults: Faults
) -> AsyncIterator[Recorder]:
    assert world.agent_id == AGENT
    limits = Limits(retry_min_s=0.01, retry_max_s=0.02)
    recorder = recorder_at(
        location, database, limits=limits, open_ledger=lambda: FaultyLedger(ledger_at(location), faults)
    )
    await recorder.start()
    yield recorder
    faults.gate.set()
    await recorder.stop()


async def refused(recorder: Recorder, world: World) -> Refused:
    with pytest.raises(Refused) as raised:
        await recorder.commit(attempt(), world)
    return raised.value


async def recorded_at_last(recorder: Recorder, world: World) -> Recorded:
    """Try until it works again."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await recorder.commit(attempt(deny), world)
            except Refused:
                continue


@asynccontextmanager
async def held_lock(location: Location) -> AsyncIterator[None]:
    """Somebody else holds what the recorder needs to write."""
    if location.url is None:
        with WriteGate(location.sqlite_path) as gate, gate.turn():
            yield
        return
    connection = await asyncpg.connect(location.url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(7, $1)", bucket_of(AGENT))
            yield
    finally:
        await connection.close()


async def test_a_call_is_refused_within_250_ms_while_nothing_can_be_recorded(
    location: Location, database: Database, world: World
) -> None:
    recorder = recorder_at(location, database, limits=Limits())
    await recorder.start()
    loop = asyncio.get_running_loop()
    async with held_lock(location):
        began = loop.time()
        failures = await asyncio.gather(*(refused(recorder, world) for _ in range(5)))
        took_s = loop.time() - began
    await recorded_at_last(recorder, world)
    await recorder.stop()
    (gap,) = await rows(database, GAPS)
    counted = json.loads(str(gap["body"]))
    assert took_s < 0.5
    assert {(one.status, one.reason, one.facts["retryable"]) for one in failures} == {
        (503, Reason.AUDIT_UNAVAILABLE, True)
    }
    assert counted["count"] == 5
    assert counted["from"] <= counted["to"]
    assert len(await rows(database, ENTRIES)) == 1


@pytest.mark.promise("P2")
async def test_a_full_disk_refuses_calls_and_the_next_ledger_is_a_new_writer(
    faulty: Recorder, faults: Faults, database: Database, world: World
) -> None:
    faults.appending = True
    for _ in range(3):
        assert (await refused(faulty, world)).reason is Reason.AUDIT_UNAVAILABLE
    faults.appending = False
    recorded = await recorded_at_last(faulty, world)
    (entry,) = [row for row in await rows(database, ENTRIES) if row["id"] == recorded.entry_id]
    counts = [json.loads(str(row["body"]))["count"] for row in await rows(database, GAPS)]
    writers = await rows(database, WRITERS)
    assert sum(counts) >= 3
    assert len(writers) > 1
    assert entry["writer"] == writers[-1]["id"]


async def test_a_row_that_was_committed_though_its_caller_was_refused_ends_as_refused(
    faulty: Recorder, faults: Faults, database: Database, world: World
) -> None:
    faults.gate.clear()
    failure = await refused(faulty, world)
    faults.gate.set()
    async with asyncio.timeout(5):
        while not (outcomes := await rows(database, OUTCOMES)):
            pass
    (entry,) = await rows(database, ENTRIES)
    assert failure.reason is Reason.AUDIT_UNAVAILABLE
    assert (outcomes[0]["entry_id"], outcomes[0]["outcome"]) == (entry["id"], "refused")
    assert await rows(database, GAPS) == []


@pytest.mark.promise("P3")
async def test_a_commit_whose_answer_was_lost_is_looked_up(
    faulty: Recorder, faults: Faults, database: Database, world: World
) -> None:
    faults.answering = True
    assert (await refused(faulty, world)).reason is Reason.AUDIT_UNAVAILABLE
    faults.answering = False
    async with asyncio.timeout(5):
        while "refused" not in {row["outcome"] for row in await rows(database, OUTCOMES)}:
            pass
    (entry,) = await rows(database, ENTRIES)
    assert {row["entry_id"] for row in await rows(database, OUTCOMES)} == {entry["id"]}
    assert await rows(database, GAPS) == []


async def test_no_more_wait_than_the_queue_holds(
    location: Location, database: Database, world: World, faults: Faults
) -> None:
    recorder = recorder_at(
        location,
        database,
        limits=Limits(queue_max=2, batch_max=1),
        open_ledger=lambda: FaultyLedger(ledger_at(location), faults),
    )
    await recorder.start()
    faults.gate.clear()
    under_way = asyncio.create_task(recorder.commit(attempt(deny), world))
    await asyncio.to_thread(faults.reached.wait, 5)
    waiting = [asyncio.create_task(recorder.commit(attempt(deny), world)) for _ in range(2)]
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await refused(recorder, world)).status == 503
    took_s = loop.time() - began
    faults.gate.set()
    await asyncio.gather(under_way, *waiting)
    await recorder.stop()
    (gap,) = await rows(database, GAPS)
    assert took_s < 0.1
    assert json.loads(str(gap["body"]))["count"] == 1


async def test_a_recorder_that_cannot_register_does_not_start(
    location: Location, database: Database, faults: Faults
) -> None:
    faults.opening = True
    recorder = recorder_at(location, database, open_ledger=lambda: FaultyLedger(ledger_at(location), faults))
    with pytest.raises(Unavailable):
        await recorder.start()
    await recorder.stop()


@pytest.mark.promise("P3")
async def test_outcomes_outlive_a_ledger_that_fails(
    faulty: Recorder, faults: Faults, database: Database, world: World
) -> None:
    recorded = await faulty.commit(attempt(), world)
    faults.appending = True
    faulty.expire(recorded)
    await refused(faulty, world)
    faults.appending = False
    await recorded_at_last(faulty, world)
    outcomes = {
        row["outcome"] for row in await rows(database, OUTCOMES) if row["entry_id"] == recorded.entry_id
    }
    assert "expired" in outcomes


async def test_a_stopped_recorder_records_nothing_more(
    location: Location, database: Database, world: World
) -> None:
    recorder = recorder_at(location, database)
    await recorder.start()
    await recorder.stop()
    assert (await refused(recorder, world)).reason is Reason.AUDIT_UNAVAILABLE


async def test_the_tenth_failure_is_overcome_as_soon_as_the_first(
    location: Location, database: Database, world: World, faults: Faults
) -> None:
    recorder = recorder_at(
        location,
        database,
        limits=Limits(retry_min_s=0.01, retry_max_s=60),
        open_ledger=lambda: FaultyLedger(ledger_at(location), faults),
    )
    await recorder.start()
    for _ in range(12):
        faults.appending = True
        await refused(recorder, world)
        faults.appending = False
        assert (await recorded_at_last(recorder, world)).entry_id
    await recorder.stop()


async def test_a_lost_connection_is_a_new_writer(
    location: Location, database: Database, world: World, database_kind: str
) -> None:
    if location.url is None:
        pytest.skip("SQLite has no connection to lose")
    recorder = recorder_at(location, database, limits=Limits(retry_min_s=0.01))
    await recorder.start()
    before = await recorder.commit(attempt(), world)
    stranger = await asyncpg.connect(location.url)
    await stranger.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wicket-recorder'"
    )
    await stranger.close()
    after = await recorded_at_last(recorder, world)
    await recorder.stop()
    entries = {row["id"]: row["writer"] for row in await rows(database, ENTRIES)}
    assert entries[before.entry_id] != entries[after.entry_id]
