import asyncio
import json
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from tests.databases import Location
from tests.runtime.recorder.support import AGENT, allow_while_active, attempt, recorder_at, rows, set_status
from wicket.core.model import AgentStatus, Reason
from wicket.core.world import World
from wicket.runtime.recorder import Recorder
from wicket.store.db import Database

ENTRIES = sa.text("SELECT * FROM audit ORDER BY writer, seq")
OUTCOMES = sa.text("SELECT * FROM outcomes ORDER BY writer, seq")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_refusals_of_one_second_are_one_entry_with_a_count(
    location: Location, database: Database, world: World
) -> None:
    recorder = recorder_at(location, database)
    await recorder.start()
    one = await recorder.refuse(attempt(at=NOON), world, Reason.RATE_LIMITED)
    others = await asyncio.gather(
        *(
            recorder.refuse(attempt(at=NOON + timedelta(milliseconds=n)), world, Reason.RATE_LIMITED)
            for n in range(9)
        )
    )
    await recorder.stop()
    (entry,) = await rows(database, ENTRIES)
    (outcome,) = await rows(database, OUTCOMES)
    assert {one, *others} == {entry["id"]}
    assert entry["reason_code"] == "rate_limited"
    assert (outcome["entry_id"], outcome["outcome"]) == (entry["id"], "refused")
    assert json.loads(str(outcome["body"])) == {"count": 10}


async def test_refusals_that_come_together_are_one_entry_too(
    location: Location, database: Database, world: World
) -> None:
    recorder = recorder_at(location, database)
    await recorder.start()
    ids = await asyncio.gather(
        *(recorder.refuse(attempt(at=NOON), world, Reason.KEY_REVOKED) for _ in range(50))
    )
    await recorder.stop()
    (outcome,) = await rows(database, OUTCOMES)
    assert len(set(ids)) == 1
    assert json.loads(str(outcome["body"])) == {"count": 50}


async def test_another_second_or_another_reason_is_another_entry(
    recorder: Recorder, database: Database, world: World
) -> None:
    ids = {
        await recorder.refuse(attempt(at=NOON), world, Reason.RATE_LIMITED),
        await recorder.refuse(attempt(at=NOON), world, Reason.KEY_REVOKED),
        await recorder.refuse(attempt(at=NOON + timedelta(seconds=1)), world, Reason.RATE_LIMITED),
    }
    assert {row["id"] for row in await rows(database, ENTRIES)} == ids
    assert len(ids) == 3


async def test_the_count_is_entered_when_the_second_is_over(
    recorder: Recorder, database: Database, world: World
) -> None:
    for _ in range(3):
        await recorder.refuse(attempt(at=NOON), world, Reason.RATE_LIMITED)
    async with asyncio.timeout(5):
        while not (found := await rows(database, OUTCOMES)):
            pass
    assert json.loads(str(found[0]["body"])) == {"count": 3}


async def test_a_refusal_is_not_counted_once_its_reason_is_gone(
    recorder: Recorder, database: Database, world: World
) -> None:
    await database.change(set_status, AgentStatus.DISABLED, agents=[AGENT])
    refused = await recorder.commit(attempt(allow_while_active, at=NOON), world)
    await database.change(set_status, AgentStatus.ACTIVE, agents=[AGENT])
    recorded = await recorder.commit(attempt(allow_while_active, at=NOON), refused.world)
    assert refused.decision.reason is Reason.AGENT_DISABLED
    assert recorded.allowed
