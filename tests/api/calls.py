"""Calls decided by the real engine and recorded by the real recorder, for tests that read the log."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial

from tests.api.people import NOW
from tests.databases import Location
from wicket.connectors.knowledge import EntitiesNeeded
from wicket.connectors.resolve import resolve
from wicket.core.ids import uuid7
from wicket.core.model import Decision, JsonObject, Outcome
from wicket.core.policy import engine
from wicket.core.session import Facts
from wicket.core.world import World
from wicket.runtime.recorder import Attempt, Ending, Judged, Limits, Recorder, slot_of
from wicket.store import worlds
from wicket.store.audit.sqlite_ledger import SqliteLedger
from wicket.store.db import Database
from wicket.store.instants import to_us
from wicket.store.lookups import looking_up


class Calls:
    """Makes calls of members, one second after another."""

    def __init__(self, database: Database, recorder: Recorder) -> None:
        self._database = database
        self._recorder = recorder
        self._at = NOW

    async def make(
        self,
        agent_id: str,
        member_id: str,
        name: str,
        arguments: JsonObject | None = None,
        *,
        ip: str = "192.0.2.7",
        session: str = "one",
    ) -> str:
        """Decide `service__tool` and record it; answers the entry's id."""
        world = await self._database.read(worlds.load, agent_id)
        assert world is not None
        self._at += timedelta(seconds=1)
        service, _, tool = name.partition("__")
        judge = partial(
            _judge,
            member_id=member_id,
            service=service,
            tool=tool,
            arguments=arguments or {},
            ip=ip,
            now=self._at,
        )
        attempt = Attempt(
            entry_id=uuid7(int(self._at.timestamp() * 1_000_000), os.urandom(10)),
            agent_id=agent_id,
            member_id=member_id,
            key_id=f"key of {member_id}",
            slot=slot_of(member_id, session),
            external_session_id=session,
            service=service,
            tool=tool,
            caller_ip=ip,
            client_name="tests",
            client_version="1",
            protocol_version="2026-07-28",
            request_bytes=100,
            decided_us=to_us(self._at),
            redacted_args=arguments or {},
            judge=judge,
        )
        recorded = await self._recorder.commit(attempt, world)
        if recorded.allowed:
            self._recorder.end(recorded, Ending(Outcome.OK, upstream_status=200, duration_ms=5.0))
        return recorded.entry_id


def _judge(
    world: World,
    facts: Facts,
    *,
    member_id: str,
    service: str,
    tool: str,
    arguments: JsonObject,
    ip: str,
    now: datetime,
) -> Judged:
    try:
        call = resolve(world, world.members[member_id], service, tool, arguments, caller_ip=ip)
    except EntitiesNeeded as needed:
        return Judged(Decision(), lacks=needed.keys)
    if isinstance(call, Decision):
        return Judged(call)
    judged = engine.decide(world, call, facts, now)
    return Judged(judged.decision, call=call, reads_facts=judged.reads_facts)


@asynccontextmanager
async def recording(database: Database, location: Location) -> AsyncIterator[Calls]:
    """A recorder on the database; everything it was given is in the log once it has stopped."""

    async def reload(agent_id: str) -> World | None:
        return await database.read(worlds.load, agent_id)

    recorder = Recorder(
        open_ledger=lambda: SqliteLedger(
            location.sqlite_path, load_world=worlds.load, host="tests", session_idle_s=1800
        ),
        reload_world=reload,
        read_revision=database.revision,
        look_up=looking_up(database),
        limits=Limits(wait_s=5.0),
    )
    await recorder.start()
    try:
        yield Calls(database, recorder)
    finally:
        await recorder.stop()
