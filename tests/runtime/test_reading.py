"""Exports of any length: the log as it stood when they began, in flat memory, however its reader behaves."""

import asyncio
import csv
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from io import StringIO

import asyncpg
import pytest
from starlette.types import Message

from tests.databases import Location, database, database_kind, location, postgres_server, sqlite_template
from tests.runtime.recorder.support import (
    AGENT,
    OWNER,
    allow,
    append_calls,
    create_agent,
    ledger_at,
    load_world,
)
from tests.store.audit.made_up import make_up
from wicket.api.reading import Streamed
from wicket.core.errors import Limited
from wicket.core.model import Outcome
from wicket.runtime.reading import Seats, export
from wicket.store.audit.entry import OutcomeRow
from wicket.store.audit.export import BATCH_ROWS
from wicket.store.audit.fields import FIELDS, ExportFormat
from wicket.store.audit.filters import AuditFilter, parse_filter
from wicket.store.db import Database
from wicket.store.db.sqlite import connect_raw

__all__ = ["database", "database_kind", "location", "postgres_server", "sqlite_template"]

EVERYTHING = AuditFilter()


async def whole(chunks: AsyncGenerator[bytes]) -> str:
    return b"".join([chunk async for chunk in chunks]).decode()


async def test_an_export_shows_the_log_as_it_stood_when_it_began(
    location: Location, database: Database
) -> None:
    await database.change(create_agent, agents=[])
    world = await database.read(load_world, AGENT)
    assert world is not None
    ledger = ledger_at(location)
    await ledger.open(1)
    ids: list[str] = []
    while len(ids) < 2 * BATCH_ROWS + 100:
        ids += await append_calls(ledger, world, [allow] * (BATCH_ROWS // 10))
    asked = parse_filter({"outcome": "pending"})
    exports = [
        export(database, account_id=account, wanted=wanted, form=ExportFormat.JSONL)
        for account, wanted in ((None, EVERYTHING), (OWNER, EVERYTHING), (None, asked))
    ]
    begun = [b"".join([await anext(chunks), await anext(chunks)]) for chunks in exports]
    await append_calls(ledger, world, [allow] * 30)
    async with ledger.turn({AGENT}, []) as turn:
        await turn.commit([OutcomeRow(entry_id, Outcome.OK, 1) for entry_id in ids[:50]], [])
    second = ledger_at(location)
    await second.open(2)
    await append_calls(second, world, [allow])
    for first, chunks in zip(begun, exports, strict=True):
        entries = [json.loads(line) for line in (first.decode() + await whole(chunks)).splitlines()]
        assert [entry["id"] for entry in entries] == sorted(ids, reverse=True)
        assert {entry["outcome"] for entry in entries} == {"pending"}
    for one in (ledger, second):
        await one.close(3)


async def test_every_entry_stays_on_a_line_of_its_own_whatever_was_recorded(
    location: Location, database: Database
) -> None:
    made = await make_up(location, database, entries=60)
    by_form = {
        form: await whole(export(database, account_id=None, wanted=EVERYTHING, form=form))
        for form in ExportFormat
    }
    head, *lines = by_form[ExportFormat.CSV].splitlines()
    assert head.split(",") == list(FIELDS)
    assert len(lines) == len(by_form[ExportFormat.JSONL].splitlines()) == len(made.ids)
    rows = list(csv.DictReader(StringIO(by_form[ExportFormat.CSV], newline=""), strict=True))
    entries = [json.loads(line) for line in by_form[ExportFormat.JSONL].splitlines()]
    assert {entry["reason"] for entry in entries} > {"two\nlines"}
    assert [row["reason"] for row in rows] == [entry["reason"].replace("\n", "\\n") for entry in entries]
    assert [row["tool"] for row in rows] == [entry["tool"] for entry in entries]


async def test_an_export_that_nobody_reads_any_more_ends(location: Location, database: Database) -> None:
    await make_up(location, database, entries=20)
    before = asyncio.all_tasks()
    async with aclosing(
        export(database, account_id=None, wanted=EVERYTHING, form=ExportFormat.CSV)
    ) as chunks:
        assert (await anext(chunks)).startswith(b"id,")
    assert asyncio.all_tasks() == before


async def test_whoever_reads_slowly_holds_nothing_open(location: Location, database: Database) -> None:
    await make_up(location, database, entries=20)
    async with aclosing(
        export(database, account_id=None, wanted=EVERYTHING, form=ExportFormat.CSV)
    ) as chunks:
        assert (await anext(chunks)).startswith(b"id,")
        async with asyncio.timeout(5):
            while await is_anything_held_open(location):
                await asyncio.sleep(0)
        assert len((await anext(chunks)).splitlines()) == 20


async def is_anything_held_open(location: Location) -> bool:
    """Whether somebody is in a transaction."""
    if location.url is None:
        raw = connect_raw(location.sqlite_path)
        ((is_busy, _, _),) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        raw.close()
        return bool(is_busy)
    connection = await asyncpg.connect(location.url)
    found = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL"
        " AND pid <> pg_backend_pid()"
    )
    await connection.close()
    return bool(found)


@pytest.mark.parametrize("leaves", [True, False])
async def test_what_an_answer_is_read_from_is_closed_however_it_ends(*, leaves: bool) -> None:
    closed, sent = list[str](), list[bytes]()
    has_sent = asyncio.Event()

    async def chunks() -> AsyncGenerator[bytes]:
        try:
            yield b"a"
            if leaves:
                await asyncio.Event().wait()
            yield b"b"
        finally:
            closed.append("source")

    async def receive() -> Message:
        await has_sent.wait()
        if not leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message.get("body"):
            sent.append(message["body"])
            has_sent.set()

    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    async with asyncio.timeout(5):
        await Streamed(chunks(), lambda: closed.append("seat"), "text/csv")(scope, receive, send)
    assert sorted(closed) == ["seat", "source"]
    assert sent == ([b"a"] if leaves else [b"a", b"b"])


def test_seats_are_limited_for_each_account_and_for_all() -> None:
    seats = Seats(most=3, most_of_account=2)
    leave = [seats.take("a"), seats.take("a")]
    with pytest.raises(Limited):
        seats.take("a")
    seats.take("b")
    with pytest.raises(Limited):
        seats.take("c")
    leave[0]()
    leave[0]()
    assert (seats.taken_by("a"), seats.taken_by("b")) == (1, 1)
    seats.take("c")
