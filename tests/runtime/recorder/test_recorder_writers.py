import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.databases import Location
from tests.evidence import SEED, asked, note
from tests.runtime.recorder.support import (
    AGENT,
    allow,
    append_calls,
    attempt,
    deny,
    deny_while_disabled,
    ledger_at,
    recorder_at,
    rows,
    set_status,
)
from wicket.core.model import AgentStatus
from wicket.core.world import World
from wicket.runtime.recorder import Limits, Recorder
from wicket.store.audit.ledger import SWEEP_ROWS_MAX
from wicket.store.audit.statements import CLOCKS_APART_US
from wicket.store.audit.verify import verify
from wicket.store.db import Database

KILLS = 25
KILLS_IN_TEST_ALL = asked("WICKET_TEST_KILLS", 500)
TOGGLES = 25
SWEPT_S = 60
REPOSITORY = Path(__file__).parents[3]

OPEN = sa.text(
    "SELECT id FROM audit WHERE NOT denied AND NOT EXISTS (SELECT 1 FROM outcomes WHERE entry_id = audit.id)"
)
INTERRUPTED = sa.text("SELECT * FROM outcomes WHERE outcome = 'interrupted'")
STARTS = sa.text("SELECT body FROM events WHERE kind = 'writer_started' ORDER BY writer")
LIVING = sa.text("SELECT id FROM writers WHERE ended_at IS NULL")


async def run_module(name: str, location: Location, *arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"tests.runtime.recorder.{name}",
        str(location.sqlite_path),
        location.url or "",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])},
    )
    answer, _ = await process.communicate()
    assert process.returncode == 0
    return answer


async def check_kills(location: Location, database: Database, kills: int) -> None:
    acknowledged = json.loads(await run_module("victims", location, str(kills), str(asked(SEED, 7))))
    survivor = recorder_at(location, database)
    await survivor.start()
    async with asyncio.timeout(SWEPT_S):
        while len(await rows(database, LIVING)) > 1:
            pass
    await survivor.stop()
    entries = {row["id"] for row in await rows(database, sa.text("SELECT id FROM audit"))}
    interrupted = [row["entry_id"] for row in await rows(database, INTERRUPTED)]
    report = await database.read(verify)
    note(
        "recorder-kills-sqlite" if location.url is None else "recorder-kills-postgresql",
        kills,
        wrong={
            "acknowledged and lost": len(set(acknowledged) - entries),
            "entries left open, or ended twice": len(set(entries) ^ set(interrupted))
            + len(interrupted)
            - len(set(interrupted)),
            "flaws in the log": int(not report.ok),
        },
        acknowledged=len(acknowledged),
        entries=len(entries),
        chains=report.writers,
    )
    assert len(acknowledged) >= kills
    assert set(acknowledged) <= entries
    assert sorted(interrupted) == sorted(entries)
    assert report.ok, report.first_bad


@pytest.mark.promise("P3")
async def test_a_killed_recorder_loses_nothing_and_leaves_nothing_open(
    location: Location, database: Database, world: World
) -> None:
    assert world.agent_id == AGENT
    await check_kills(location, database, KILLS)


@pytest.mark.promise("P3")
@pytest.mark.slow
async def test_however_often_it_is_killed(location: Location, database: Database, world: World) -> None:
    assert world.agent_id == AGENT
    await check_kills(location, database, KILLS_IN_TEST_ALL)


async def test_facts_are_exact_over_two_recorders_in_each_of_three_processes(
    location: Location, database: Database, world: World
) -> None:
    assert world.agent_id == AGENT
    answers = await asyncio.gather(*(run_module("crowd", location, "50", "60") for _ in range(3)))
    (session,) = await rows(database, sa.text("SELECT facts FROM tool_sessions"))
    assert sum(map(int, answers)) == 50
    assert json.loads(str(session["facts"]))["callCount"] == 180


async def test_the_living_are_not_swept(
    recorder: Recorder, location: Location, database: Database, world: World
) -> None:
    recorded = await recorder.commit(attempt(), world)
    other = recorder_at(location, database)
    await other.start()
    await other.stop()
    assert [row["id"] for row in await rows(database, OPEN)] == [recorded.entry_id]


async def test_several_who_sweep_at_once_mark_each_entry_once(
    location: Location, database: Database, world: World
) -> None:
    dead = ledger_at(location)
    await dead.open(1)
    open_ids = await append_calls(dead, world, [allow] * 20)
    await append_calls(dead, world, [deny])
    await dead.close(None)
    others = [recorder_at(location, database, limits=Limits(sweep_every_s=0.01)) for _ in range(4)]
    await asyncio.gather(*(other.start() for other in others))
    async with asyncio.timeout(5):
        while await rows(database, OPEN):
            pass
    await asyncio.gather(*(other.stop() for other in others))
    assert sorted(row["entry_id"] for row in await rows(database, INTERRUPTED)) == sorted(open_ids)


async def test_a_long_chain_of_a_dead_writer_is_swept_stretch_by_stretch(
    location: Location, database: Database, world: World
) -> None:
    dead, survivor = ledger_at(location), ledger_at(location)
    await dead.open(1)
    await survivor.open(1)
    open_ids = await append_calls(dead, world, [allow] * (2 * SWEEP_ROWS_MAX + 10))
    await dead.close(None)
    async with asyncio.timeout(5):
        while await rows(database, OPEN):
            await survivor.sweep(2)
    while await survivor.sweep(2):
        pass
    living = await rows(database, LIVING)
    await survivor.close(3)
    assert len(await rows(database, INTERRUPTED)) == len(open_ids)
    assert [row["id"] for row in living] == [survivor.writer]


async def test_a_start_names_the_heads_of_the_other_chains(
    location: Location, database: Database, world: World
) -> None:
    first, second = recorder_at(location, database), recorder_at(location, database)
    await first.start()
    await first.commit(attempt(deny), world)
    await second.start()
    await second.stop()
    await first.stop()
    _, body = [json.loads(str(row["body"])) for row in await rows(database, STARTS)]
    (entry,) = await rows(database, sa.text("SELECT seq, hash FROM audit"))
    assert body["heads"]["1"] == [entry["seq"], bytes(entry["hash"]).hex()]
    assert body["heads"]["0"][0] == 0


async def test_a_start_does_not_name_again_what_ended_long_before_the_start_before_it(
    location: Location, database: Database
) -> None:
    for started_day, ended_day in ((100, 101), (103, 104), (109, 110)):
        ledger = ledger_at(location)
        await ledger.open(started_day * CLOCKS_APART_US)
        await ledger.close(ended_day * CLOCKS_APART_US)
    named = [sorted(json.loads(str(row["body"]))["heads"]) for row in await rows(database, STARTS)]
    assert named == [["0"], ["0", "1"], ["0", "2"]]


@pytest.mark.promise("P6")
async def test_a_call_that_starts_after_a_change_is_decided_under_it(
    recorder: Recorder, location: Location, database: Database, world: World
) -> None:
    """With others calling all the time, from worlds that are always too old."""
    stop = asyncio.Event()

    async def call_all_the_time(session: str) -> None:
        while not stop.is_set():
            await recorder.commit(attempt(deny_while_disabled, session=session), world)

    callers = [asyncio.create_task(call_all_the_time(f"s{number}")) for number in range(8)]
    for toggle in range(TOGGLES):
        status = (AgentStatus.DISABLED, AgentStatus.ACTIVE)[toggle % 2]
        await database.change(set_status, status, agents=[AGENT])
        recorded = await recorder.commit(attempt(deny_while_disabled), world)
        assert recorded.allowed is (status is AgentStatus.ACTIVE)
    stop.set()
    await asyncio.gather(*callers)
