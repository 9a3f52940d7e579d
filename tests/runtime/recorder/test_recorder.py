import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from tests.databases import Location
from tests.runtime.recorder.support import (
    AGENT,
    ALLOWED,
    CALL,
    PATIENT,
    PERMIT,
    allow_first,
    allow_while_active,
    attempt,
    delete_agent,
    deny,
    deny_while_disabled,
    ledger_at,
    load_world,
    reader,
    recorder_at,
    rows,
    set_status,
)
from wicket.core.model import AgentStatus, Decision, Outcome, Reason
from wicket.core.session import Facts
from wicket.core.world import World
from wicket.runtime.recorder import Clocks, Ending, Judged, Recorded, Recorder
from wicket.store.audit.entry import EventKind
from wicket.store.db import Database
from wicket.store.lookups import looking_up

ENTRIES = sa.text("SELECT * FROM audit ORDER BY writer, seq")
OUTCOMES = sa.text("SELECT * FROM outcomes ORDER BY writer, seq")
SESSIONS = sa.text("SELECT * FROM tool_sessions ORDER BY created_at, id")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def disable(database: Database) -> None:
    await database.change(set_status, AgentStatus.DISABLED, agents=[AGENT])


async def nothing(_database: Database) -> None:
    pass


Change = Callable[[Database], Awaitable[None]]


@pytest.mark.promise("P3")
async def test_a_decision_is_in_the_database_when_commit_returns(
    recorder: Recorder, database: Database, world: World
) -> None:
    call = attempt()
    recorded = await recorder.commit(call, world)
    (row,) = await rows(database, ENTRIES)
    assert recorded.allowed
    assert (row["id"], row["agent_id"], row["reason_code"]) == (call.entry_id, AGENT, "permitted")
    assert row["session_id"] == recorded.session_id
    body = json.loads(str(row["body"]))
    assert body["matchedPolicies"][0]["digest"] == PERMIT.digest
    assert body["memberName"] == "ann@example.com"
    assert await rows(database, sa.text("SELECT policy_id, entry_id FROM audit_policies")) == [
        {"policy_id": PERMIT.id, "entry_id": call.entry_id}
    ]


async def test_a_denial_is_recorded_with_its_message(
    recorder: Recorder, database: Database, world: World
) -> None:
    recorded = await recorder.commit(attempt(deny), world)
    (row,) = await rows(database, ENTRIES)
    assert not recorded.allowed
    assert bool(row["denied"])
    assert row["deny_message"] == "not today"
    assert row["resource"] == 'GitHubMCP::Service::"github"'


async def test_nobody_else_makes_a_recorded(recorder: Recorder, world: World) -> None:
    recorded = await recorder.commit(attempt(deny), world)
    with pytest.raises(ValueError, match="mint"):
        replace(recorded, judged=Judged(ALLOWED, CALL))  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Recorded(attempt(), "e", None, Judged(ALLOWED, CALL), world, 0, 0.0, 0.0, mint=object())


async def test_a_decision_under_old_rules_is_taken_again(
    recorder: Recorder, database: Database, world: World
) -> None:
    await disable(database)
    recorded = await recorder.commit(attempt(deny_while_disabled), world)
    assert recorded.decision.reason is Reason.FORBIDDEN_BY_POLICY
    assert recorded.world.revision == world.revision + 1
    assert len(await rows(database, ENTRIES)) == 1


async def test_a_world_from_the_future_is_as_stale_as_one_from_the_past(
    recorder: Recorder, world: World
) -> None:
    recorded = await recorder.commit(attempt(), replace(world, revision=99))
    assert recorded.world.revision == world.revision


async def test_the_third_time_it_is_decided_inside_the_transaction(
    location: Location, database: Database, world: World
) -> None:
    reloads: list[str] = []

    async def always_too_late(agent_id: str) -> World:
        reloads.append(agent_id)
        return world

    recorder = Recorder(
        open_ledger=partial(ledger_at, location),
        reload_world=always_too_late,
        read_revision=database.revision,
        look_up=looking_up(database),
        limits=PATIENT,
    )
    await recorder.start()
    await disable(database)
    recorded = await recorder.commit(attempt(deny_while_disabled), world)
    await recorder.stop()
    assert recorded.decision.reason is Reason.FORBIDDEN_BY_POLICY
    assert recorded.world.revision == world.revision + 1
    assert len(reloads) == 2


async def test_a_call_of_a_deleted_agent_is_entered_as_of_a_dead_key(
    recorder: Recorder, database: Database, world: World
) -> None:
    await database.change(delete_agent, agents=[AGENT])
    recorded = await recorder.commit(attempt(), world)
    (row,) = await rows(database, ENTRIES)
    assert recorded.decision.reason is Reason.KEY_REVOKED
    assert row["reason_code"] == "key_revoked"


async def test_each_call_of_a_session_sees_the_ones_before_it(
    recorder: Recorder, database: Database, world: World
) -> None:
    calls = [recorder.commit(attempt(allow_first(3)), world) for _ in range(20)]
    recorded = await asyncio.gather(*calls)
    (session,) = await rows(database, SESSIONS)
    assert sum(one.allowed for one in recorded) == 3
    assert {one.session_id for one in recorded} == {session["id"]}
    facts = json.loads(str(session["facts"]))
    assert facts["callCount"] == 20
    assert facts["denyCount"] == 17
    assert facts["toolsUsed"] == {"github:delete_file": 20}
    assert facts["policiesAllowCounts"] == {"all-of-it": 3}


async def test_two_recorders_count_as_one(
    recorder: Recorder, location: Location, database: Database, world: World
) -> None:
    other = recorder_at(location, database)
    await other.start()
    calls = [one.commit(attempt(allow_first(7)), world) for _ in range(15) for one in (recorder, other)]
    recorded = await asyncio.gather(*calls)
    await other.stop()
    assert sum(one.allowed for one in recorded) == 7


async def test_many_new_sessions_at_once_are_one_row_each(
    recorder: Recorder, location: Location, database: Database, world: World
) -> None:
    other = recorder_at(location, database)
    await other.start()
    calls = [
        one.commit(attempt(session=f"s{number}"), world)
        for number in range(20)
        for one in (recorder, other, recorder)
    ]
    recorded = await asyncio.gather(*calls)
    await other.stop()
    sessions = await rows(database, SESSIONS)
    assert len(sessions) == 20
    assert all(json.loads(str(row["facts"]))["callCount"] == 3 for row in sessions)
    assert len({one.session_id for one in recorded}) == 20


async def test_a_session_ends_when_it_was_idle_and_a_fresh_one_starts(
    location: Location, database: Database, world: World
) -> None:
    recorder = recorder_at(location, database, open_ledger=partial(ledger_at, location, session_idle_s=60))
    await recorder.start()
    first = await recorder.commit(attempt(allow_first(1), at=NOON), world)
    within = await recorder.commit(attempt(allow_first(1), at=NOON + timedelta(seconds=60)), world)
    after = await recorder.commit(attempt(allow_first(1), at=NOON + timedelta(seconds=121)), world)
    await recorder.stop()
    ended, live = await rows(database, SESSIONS)
    assert (first.allowed, within.allowed, after.allowed) == (True, False, True)
    assert (ended["id"], live["id"]) == (first.session_id, after.session_id)
    assert ended["ended_reason"] == "inactivity"
    assert live["ended_at"] is None


async def test_a_refusal_that_is_no_decision_does_not_count_in_the_session(
    recorder: Recorder, database: Database, world: World
) -> None:
    await disable(database)
    recorded = await recorder.commit(attempt(allow_while_active), world)
    assert recorded.decision.reason is Reason.AGENT_DISABLED
    assert recorded.session_id is None
    assert await rows(database, sa.text("SELECT * FROM tool_sessions WHERE version > 1")) == []


async def test_a_call_that_was_not_understood_counts_as_a_denial(
    recorder: Recorder, database: Database, world: World
) -> None:
    await recorder.commit(attempt(lambda _w, _f: Judged(Decision(reason=Reason.UNKNOWN_TOOL))), world)
    (session,) = await rows(database, SESSIONS)
    facts = json.loads(str(session["facts"]))
    assert (facts["callCount"], facts["denyCount"], facts["toolsUsed"]) == (1, 1, {})


@pytest.mark.promise("P2")
async def test_a_judge_that_raises_is_a_denial_on_record(
    recorder: Recorder, database: Database, world: World
) -> None:
    def broken(_world: World, _facts: Facts) -> Judged:
        raise RuntimeError("a defect")

    recorded = await recorder.commit(attempt(broken), world)
    (row,) = await rows(database, ENTRIES)
    assert recorded.decision.reason is Reason.POLICY_ERRORED
    assert row["reason_code"] == "policy_errored"


@pytest.mark.parametrize("name", ["\0", "\ud800", "é" * 3, "`'\"\\"])
async def test_any_name_can_be_recorded(
    recorder: Recorder, database: Database, world: World, name: str
) -> None:
    call = attempt(lambda _w, _f: Judged(ALLOWED))._replace(
        tool=name, client_name=name, redacted_args={name: name}
    )
    await recorder.commit(call, world)
    assert len(await rows(database, ENTRIES)) == 1


async def test_a_call_whose_caller_leaves_is_recorded_as_cancelled(
    location: Location, database: Database, world: World
) -> None:
    recorder = recorder_at(location, database)
    await recorder.start()
    task = asyncio.create_task(recorder.commit(attempt(), world))
    await asyncio.sleep(0)  # the call is on its way to the writer
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await recorder.stop()
    (entry,) = await rows(database, ENTRIES)
    (outcome,) = await rows(database, OUTCOMES)
    assert (outcome["entry_id"], outcome["outcome"]) == (entry["id"], "cancelled")


async def test_a_call_whose_caller_leaves_while_its_world_is_loaded_is_recorded_too(
    location: Location, database: Database, world: World
) -> None:
    loading = asyncio.Event()

    async def reload(agent_id: str) -> World | None:
        if not loading.is_set():
            loading.set()
            await asyncio.Event().wait()
        return await database.read(load_world, agent_id)

    recorder = Recorder(
        open_ledger=partial(ledger_at, location),
        reload_world=reload,
        read_revision=database.revision,
        look_up=looking_up(database),
        limits=PATIENT,
    )
    await recorder.start()
    task = asyncio.create_task(recorder.commit(attempt(), replace(world, revision=0)))
    async with asyncio.timeout(5):
        await loading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await recorder.stop()
    (outcome,) = await rows(database, OUTCOMES)
    assert outcome["outcome"] == "cancelled"


async def test_the_first_ending_of_a_call_counts(
    location: Location, database: Database, world: World
) -> None:
    recorder = recorder_at(location, database)
    await recorder.start()
    recorded = await recorder.commit(attempt(), world)
    recorder.end(recorded, Ending(Outcome.OK, upstream_status=200, duration_ms=12.5))
    recorder.end(recorded, Ending(Outcome.TIMEOUT))
    recorder.expire(recorded)
    await recorder.stop()
    (outcome,) = await rows(database, OUTCOMES)
    body = json.loads(str(outcome["body"]))
    assert outcome["outcome"] == "ok"
    assert (body["upstreamStatus"], body["durationMs"]) == (200, 12.5)
    assert body["recordMs"] > 0


@pytest.mark.promise("P3")
async def test_what_is_open_at_a_stop_is_interrupted_and_the_chain_says_that_it_ended(
    location: Location, database: Database, world: World
) -> None:
    recorder = recorder_at(location, database)
    await recorder.start()
    recorded = await recorder.commit(attempt(), world)
    await recorder.commit(attempt(deny), world)
    await recorder.stop()
    (outcome,) = await rows(database, OUTCOMES)
    events = await rows(database, sa.text("SELECT kind FROM events WHERE writer > 0 ORDER BY seq"))
    (writer,) = await rows(database, sa.text("SELECT * FROM writers"))
    assert (outcome["entry_id"], outcome["outcome"]) == (recorded.entry_id, "interrupted")
    assert [event["kind"] for event in events] == [EventKind.WRITER_STARTED, EventKind.WRITER_STOPPED]
    assert writer["ended_at"] is not None


async def test_an_outcome_is_written_though_no_call_follows(
    recorder: Recorder, database: Database, world: World
) -> None:
    recorded = await recorder.commit(attempt(), world)
    recorder.end(recorded, Ending(Outcome.OK))
    async with asyncio.timeout(5):
        while not (outcomes := await rows(database, OUTCOMES)):
            pass
    assert [row["entry_id"] for row in outcomes] == [recorded.entry_id]


@pytest.mark.parametrize(
    ("age_ns", "change", "current"),
    [
        (250_000_000, disable, True),
        (250_000_001, disable, False),
        (10**15, disable, False),
        (10**15, nothing, True),
    ],
)
async def test_an_old_decision_is_current_only_while_its_agent_has_not_moved(
    location: Location, database: Database, world: World, age_ns: int, change: Change, current: object
) -> None:
    now_ns = 1_000

    def boottime() -> int:
        return now_ns

    recorder = Recorder(
        open_ledger=partial(ledger_at, location),
        reload_world=reader(database),
        read_revision=database.revision,
        look_up=looking_up(database),
        limits=PATIENT,
        clocks=Clocks(boottime_ns=boottime),
    )
    await recorder.start()
    recorded = await recorder.commit(attempt(), world)
    await change(database)
    now_ns += age_ns
    assert await recorder.is_current(recorded) is current
    await recorder.stop()
