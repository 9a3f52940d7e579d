"""The wall clock of a real server steps by an hour and by ten years, both ways: durations stay durations, and the
order of the log is that of its sequence.
"""

import asyncio
import json
import mmap
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa

from tests.faults.process import Served, served
from tests.faults.storage_disk import compile_faults
from tests.gateway.scene import until
from tests.journeys.log import open_entries
from tests.reachable import Reachable
from tests.upstreams.holding import Holding
from tests.upstreams.recording import RecordingUpstream
from wicket.core.model import AgentStatus
from wicket.store import tables
from wicket.store.audit.verify import verify

HOUR: Final = timedelta(hours=1)
TEN_YEARS: Final = timedelta(days=3653)
STEPS: Final = (HOUR, timedelta(), -HOUR, timedelta(), TEN_YEARS, timedelta(), -TEN_YEARS, timedelta(), HOUR)
CALLS: Final = 5
REFUSED: Final = 10
DURATION_MS_MAX: Final = 120_000
_AHEAD = struct.Struct("<q")


class WallClock:
    """How much a server's clock is ahead of ours."""

    def __init__(self, library: Path, control: Path) -> None:
        control.write_bytes(bytes(_AHEAD.size))
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _AHEAD.size)
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK": str(control)}

    def step(self, ahead: timedelta) -> None:
        _AHEAD.pack_into(self._control, 0, ahead // timedelta(microseconds=1))


@pytest.fixture
def wall_clock(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> WallClock:
    library = compile_faults(tmp_path_factory.getbasetemp(), Path(__file__).with_name("wall_clock.c"))
    return WallClock(library, tmp_path / "wall_clock")


async def settled(wicket: Reachable) -> None:
    """Until no call is open; and the log is whole."""

    async def is_so() -> bool:
        return not await open_entries(wicket.database)

    await until(is_so)
    report = await wicket.database.read(verify)
    assert report.ok, report


def _durations(tx: sa.Connection) -> list[float]:
    bodies = [json.loads(body) for body in tx.execute(sa.select(tables.outcomes.c.body)).scalars()]
    return [
        body[name] for body in bodies for name in ("durationMs", "upstreamMs", "recordMs") if name in body
    ]


def _instants(tx: sa.Connection) -> list[datetime]:
    """When each entry says it was decided, in the order of the log."""
    column = tables.audit.c.decided_at
    at = tx.execute(sa.select(column).order_by(tables.audit.c.writer, tables.audit.c.seq)).scalars()
    return [datetime.fromtimestamp(us / 1_000_000, UTC) for us in at]


def _refused(tx: sa.Connection) -> int:
    """How many calls the refusals of the log stand for."""
    denied = set(tx.execute(sa.select(tables.audit.c.id).where(tables.audit.c.denied)).scalars())
    counted = tx.execute(sa.select(tables.outcomes.c.entry_id, tables.outcomes.c.body))
    more = [int(json.loads(row.body)["count"]) - 1 for row in counted if row.entry_id in denied]
    return len(denied) + sum(more)


@pytest.mark.slow
async def test_however_the_clock_steps_calls_are_decided_timed_and_ordered(
    wall_clock: WallClock, tmp_path: Path
) -> None:
    async with RecordingUpstream() as upstream, served(tmp_path, wall_clock.environment) as server:
        agent = await server.wicket.agent(services={"fake": upstream.url})
        await agent.policy(service="fake")
        key = await agent.key()
        for number, ahead in enumerate(STEPS):
            holding = Holding()
            upstream.on("tools/call", holding)
            in_the_air = [asyncio.create_task(called(server, key)) for _ in range(CALLS)]
            await upstream.wait_for("tools/call", number * 2 * CALLS + CALLS)
            wall_clock.step(ahead)
            holding.go_on.set()
            after = await asyncio.gather(*(called(server, key) for _ in range(CALLS)))
            assert {*after, *await asyncio.gather(*in_the_air)} == {200}, ahead
        await settled(server.wicket)
        durations = await server.wicket.database.read(_durations)
        instants = await server.wicket.database.read(_instants)
        now = datetime.now(UTC)
    assert len(instants) == len(STEPS) * 2 * CALLS
    assert [ms for ms in durations if not 0 <= ms <= DURATION_MS_MAX] == []
    # That the steps were really made, as the log has them.
    assert max(instants) - now > TEN_YEARS - HOUR
    assert now - min(instants) > TEN_YEARS - HOUR


@pytest.mark.slow
async def test_refusals_that_are_counted_are_all_entered_though_the_clock_steps(
    wall_clock: WallClock, tmp_path: Path
) -> None:
    async with RecordingUpstream() as upstream, served(tmp_path, wall_clock.environment) as server:
        agent = await server.wicket.agent(services={"fake": upstream.url})
        key = await agent.key()
        await agent.status(AgentStatus.DISABLED)
        for ahead in STEPS:
            wall_clock.step(ahead)
            assert set(await asyncio.gather(*(called(server, key) for _ in range(REFUSED)))) == {403}

        async def are_counted() -> bool:
            return await server.wicket.database.read(_refused) == len(STEPS) * REFUSED

        await until(are_counted)
        await settled(server.wicket)
        assert upstream.calls == []


async def called(server: Served, key: str) -> int:
    return (await server.wicket.call(key, "fake__echo", {"owner": "1"})).status
