"""The log at a collector: a real HTTP server that reads what OTLP says."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Location, database, location, postgres_server, sqlite_template
from tests.instance import Instance
from tests.receiver import Posted, Receiver
from tests.runtime.recorder.support import AGENT, allow, attempt, create_agent, deny, load_world, recorder_at
from wicket.core.model import Outcome
from wicket.core.world import World
from wicket.runtime import otlp
from wicket.runtime.otlp import Exporter
from wicket.runtime.recorder import Recorder
from wicket.runtime.recorder.values import Ending
from wicket.runtime.wire import AddressPolicy, HttpWire
from wicket.store.db import Database

__all__ = ["database", "location", "postgres_server", "sqlite_template"]


@pytest.fixture
def database_kind() -> str:
    return "sqlite"


def records_in(posted: list[Posted]) -> list[dict[str, Any]]:
    """Every log record, its attributes as a mapping."""
    records = []
    for one in posted:
        for logs in json.loads(one.body)["resourceLogs"]:
            for scope in logs["scopeLogs"]:
                records += [
                    {**record, "attributes": attributes_in(record["attributes"])}
                    for record in scope["logRecords"]
                ]
    return records


def attributes_in(listed: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in listed}


@pytest.fixture
async def world(database: Database) -> World:
    await database.change(create_agent, agents=[])
    found = await database.read(load_world, AGENT)
    assert found is not None
    return found


@pytest.fixture
async def recorder(location: Location, database: Database, world: World) -> AsyncIterator[Recorder]:
    started = recorder_at(location, database)
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def collector() -> AsyncIterator[Receiver]:
    async with Receiver.started() as receiver:
        yield receiver


@pytest.fixture
async def exporter(database: Database, recorder: Recorder, collector: Receiver) -> AsyncIterator[Exporter]:
    wire = HttpWire(addresses=AddressPolicy(allow_private=True))
    yield Exporter(
        database, wire, endpoint=collector.url + "/", version="1.2.3", own_writers=lambda: recorder.writers
    )
    await wire.close()


async def settle(recorder: Recorder, database: Database, count: int) -> None:
    """Wait until so many outcomes are in the log."""

    def outcomes(tx: Any) -> int:
        return int(tx.exec_driver_sql("SELECT count(*) FROM outcomes").scalar_one())

    async with asyncio.timeout(20):
        while await database.read(outcomes) < count:
            await asyncio.sleep(0)


async def test_an_entry_and_its_outcome_are_a_record_each_with_the_fields_of_the_log(
    recorder: Recorder, database: Database, world: World, collector: Receiver, exporter: Exporter
) -> None:
    allowed = await recorder.commit(attempt(allow), world)
    denied = await recorder.commit(attempt(deny), world)
    recorder.end(allowed, Ending(Outcome.OK, duration_ms=12.5, upstream_status=200))
    await settle(recorder, database, 1)
    await exporter.export()
    assert {(one.path, one.headers["content-type"]) for one in collector.posted} == {
        ("/v1/logs", "application/json")
    }
    first, second, third = sorted(
        records_in(collector.posted), key=lambda one: one["severityNumber"], reverse=True
    )
    assert (first["eventName"], first["severityText"], first["attributes"]["wicket.id"]) == (
        "wicket.decision", "WARN", denied.entry_id,
    )  # fmt: skip
    assert first["body"]["stringValue"].startswith("DENY github.delete_file: ")
    assert first["attributes"]["wicket.deny_message"] == "not today"
    assert json.loads(first["attributes"]["wicket.tool_args"]) == {"path": "a"}
    assert (second["eventName"], second["severityText"], second["attributes"]["wicket.outcome"]) == (
        "wicket.decision", "INFO", "pending",
    )  # fmt: skip
    ended = third["attributes"]
    assert third["eventName"] == "wicket.outcome"
    assert (ended["wicket.id"], ended["wicket.outcome"]) == (allowed.entry_id, "ok")
    assert (ended["wicket.duration_ms"], ended["wicket.upstream_status"]) == (12.5, "200")
    assert int(second["timeUnixNano"]) == allowed.attempt.decided_us * 1_000


async def test_each_row_is_sent_once_and_by_the_process_that_recorded_it(
    location: Location,
    recorder: Recorder,
    database: Database,
    world: World,
    collector: Receiver,
    exporter: Exporter,
) -> None:
    another = recorder_at(location, database)
    await another.start()
    await another.commit(attempt(deny), world)
    own = [(await recorder.commit(attempt(deny), world)).entry_id for _ in range(3)]
    for _ in range(2):
        await exporter.export()
    await another.stop()
    assert [one["attributes"]["wicket.id"] for one in records_in(collector.posted)] == own


async def test_what_the_collector_cannot_take_now_is_sent_again(
    recorder: Recorder, world: World, collector: Receiver, exporter: Exporter
) -> None:
    collector.statuses.extend([429, 503])
    entry = await recorder.commit(attempt(deny), world)
    await exporter.start()
    await collector.until(lambda posted: len(posted) >= 3)
    await exporter.stop()
    ids = [one["attributes"]["wicket.id"] for one in records_in(collector.posted)]
    # Its answer may have been cut off by our stop: then it gets the row once more.
    assert (set(ids), len(ids) >= 3) == ({entry.entry_id}, True)


async def test_what_the_collector_refuses_is_not_sent_again(
    recorder: Recorder, world: World, collector: Receiver, exporter: Exporter
) -> None:
    collector.statuses.append(400)
    refused = await recorder.commit(attempt(deny), world)
    await exporter.export()
    later = await recorder.commit(attempt(deny), world)
    await exporter.export()
    ids = [one["attributes"]["wicket.id"] for one in records_in(collector.posted)]
    assert ids == [refused.entry_id, later.entry_id]


@pytest.mark.slow
async def test_a_collector_that_is_gone_holds_up_no_call(tmp_path: Path) -> None:
    async with Receiver.started() as gone:
        url = gone.url
    async with Instance.started(tmp_path, otlp_endpoint=url) as wicket:
        agent = await wicket.agent(services={"fake": "http://127.0.0.1:9/mcp"})
        key = await agent.key()
        answer = await wicket.call(key, "fake__nothing", {})
        assert answer.data["reason"] == "unknown_tool"


async def test_a_server_sends_its_last_rows_before_it_ends(tmp_path: Path, collector: Receiver) -> None:
    async with Instance.started(tmp_path, otlp_endpoint=collector.url) as wicket:
        agent = await wicket.agent(services={"fake": "http://127.0.0.1:9/mcp"})
        key = await agent.key()
        answer = await wicket.call(key, "fake__nothing", {})
    sent = records_in(collector.posted)
    assert [one["attributes"]["wicket.id"] for one in sent] == [answer.data["decisionId"]]
    assert key not in "".join(posted.body.decode() for posted in collector.posted)


def test_values_are_what_the_json_encoding_of_otlp_wants() -> None:
    listed = otlp._attributes({"a": None, "b": True, "c": 2**53, "d": 0.5, "e": "é", "f": ["x", {"y": None}]})
    assert listed == [
        {"key": "b", "value": {"boolValue": True}},
        {"key": "c", "value": {"intValue": str(2**53)}},
        {"key": "d", "value": {"doubleValue": 0.5}},
        {"key": "e", "value": {"stringValue": "é"}},
        {"key": "f", "value": {"stringValue": '["x", {"y": null}]'}},
    ]
