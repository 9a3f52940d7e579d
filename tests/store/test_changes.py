"""Changes as events of the log: one chain, whoever appends."""

import asyncio
import os
import sys
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from tests.databases import Location
from wicket.core.chain import GENESIS, first_break
from wicket.core.errors import Invalid
from wicket.store import tables
from wicket.store.audit.entry import CHANGES_WRITER, Event, Table, event_fields
from wicket.store.changes import record_change
from wicket.store.db import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHANGES_A_PROCESS = 20
PROCESS = """
import asyncio, sys
from datetime import datetime, UTC
from pathlib import Path
from wicket.store.changes import record_change
from wicket.store.db import open_database

async def main(path, url, who, count):
    database = await open_database(sqlite_path=Path(path), url=url or None)
    for n in range(int(count)):
        await database.change(record_change, kind="told", agent_id=None, actor_id=who, body={"n": n},
                              now=datetime.now(UTC), agents=[])
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


def read_events(tx: sa.Connection) -> list[tuple[int, Event, bytes]]:
    rows = tx.execute(
        sa.select(tables.events).where(tables.events.c.writer == CHANGES_WRITER).order_by(tables.events.c.seq)
    )
    return [(r.seq, Event(r.at, r.kind, r.body, r.agent_id, r.actor_id), bytes(r.hash)) for r in rows]


def read_head(tx: sa.Connection) -> tuple[int, bytes]:
    row = tx.execute(sa.select(tables.change_chain)).one()
    return row.seq, bytes(row.hash)


async def tell(database: Database, body: str) -> None:
    await database.change(
        record_change, kind="told", agent_id="a", actor_id="ada", body={"what": body}, now=NOW, agents=[]
    )


async def test_the_chain_begins_where_every_chain_begins(database: Database) -> None:
    assert await database.read(read_head) == (0, GENESIS)


async def test_events_are_linked_in_order_and_the_head_is_the_last(database: Database) -> None:
    for body in ("one", "zwei: ä", "\x00"):
        await tell(database, body)
    events = await database.read(read_events)
    assert [event.body for _, event, _ in events] == [
        '{"what":"one"}',
        '{"what":"zwei: ä"}',
        '{"what":"\\u0000"}',
    ]
    linked = [(seq, Table.EVENTS, event_fields(CHANGES_WRITER, seq, event), h) for seq, event, h in events]
    assert first_break(linked) is None
    assert await database.read(read_head) == (events[-1][0], events[-1][2])


async def test_a_change_that_fails_leaves_no_event(database: Database) -> None:
    def fail(tx: sa.Connection) -> None:
        record_change(tx, kind="told", agent_id=None, actor_id=None, body={}, now=NOW)
        raise Invalid("no", field="name")

    with pytest.raises(Invalid):
        await database.change(fail, agents=[])
    await tell(database, "next")
    assert [seq for seq, _, _ in await database.read(read_events)] == [1]


async def test_processes_that_change_at_once_lose_no_event(location: Location, database: Database) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [str(location.sqlite_path), location.url or ""]
    async with asyncio.timeout(60):
        running = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", PROCESS, *arguments, who, str(CHANGES_A_PROCESS), env=environment
            )
            for who in ("p", "q")
        ]
        for _ in range(CHANGES_A_PROCESS):
            await tell(database, "meanwhile")
        assert [await process.wait() for process in running] == [0, 0]
    events = await database.read(read_events)
    by_actor = {who: [e for _, e, _ in events if e.actor_id == who] for who in ("p", "q", "ada")}
    assert {who: len(told) for who, told in by_actor.items()} == dict.fromkeys(by_actor, CHANGES_A_PROCESS)
    linked = [(seq, Table.EVENTS, event_fields(CHANGES_WRITER, seq, event), h) for seq, event, h in events]
    assert first_break(linked) is None
