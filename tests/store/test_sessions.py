"""Tool sessions as people see them."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from wicket.core.errors import Invalid, NotFound
from wicket.core.session import FRESH, Facts, facts_to_json
from wicket.store import sessions, tables
from wicket.store.db import Database
from wicket.store.instants import to_us
from wicket.store.sessions import EndReason

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDLE = timedelta(minutes=30)


def plant(
    tx: sa.Connection,
    session_id: str,
    *,
    agent_id: str = "a",
    member_id: str = "m",
    active_at: datetime = NOW,
    facts: Facts = FRESH,
    ended: EndReason | None = None,
) -> None:
    tx.execute(
        sa.insert(tables.tool_sessions).values(
            agent_id=agent_id,
            id=session_id,
            slot=f"slot of {session_id}",
            member_id=member_id,
            key_id="k",
            external_id="theirs",
            client_name="claude-code",
            client_version="2.1",
            facts=json.dumps(facts_to_json(facts)),
            version=1,
            created_at=to_us(NOW - timedelta(hours=1)),
            last_activity_at=to_us(active_at),
            ended_at=None if ended is None else to_us(active_at),
            ended_reason=ended,
        )
    )


async def test_a_session_shows_its_facts(database: Database) -> None:
    facts = Facts(
        call_count=2, deny_count=1, tools_used={"github:get_me": 2}, labels=frozenset({"github:private"})
    )
    await database.change(plant, "ts_1", facts=facts, agents=[])
    session = await database.read(sessions.get_session, agent_id="a", session_id="ts_1")
    assert session.facts == facts
    assert (session.external_id, session.client_name, session.ended_at) == ("theirs", "claude-code", None)


async def test_sessions_are_listed_last_active_first(database: Database) -> None:
    for number in range(4):
        await database.change(plant, f"ts_{number}", active_at=NOW + timedelta(seconds=number), agents=[])
    await database.change(plant, "ts_b", member_id="b", ended=EndReason.INACTIVITY, agents=[])
    await database.change(plant, "ts_other", agent_id="other", agents=[])
    asked: dict[str, dict[str, Any]] = {
        "all": {},
        "page": {"limit": 2, "offset": 1},
        "of b": {"member_id": "b"},
        "active": {"active_since": NOW + timedelta(seconds=2)},
    }
    listed = {
        name: await database.read(partial(sessions.list_sessions, agent_id="a", **filters))
        for name, filters in asked.items()
    }
    assert {name: ([s.id for s in page.items], page.total) for name, page in listed.items()} == {
        "all": (["ts_3", "ts_2", "ts_1", "ts_0", "ts_b"], 5),
        "page": (["ts_2", "ts_1"], 5),
        "of b": (["ts_b"], 1),
        "active": (["ts_3", "ts_2"], 2),
    }


async def test_a_reset_ends_a_session_and_says_so_once(database: Database) -> None:
    await database.change(plant, "ts_1", agents=[])
    reset: dict[str, Any] = {"agent_id": "a", "session_id": "ts_1", "actor_id": "ada", "agents": ["a"]}
    session = await database.change(sessions.reset_session, now=NOW, **reset)
    assert (session.ended_at, session.ended_reason) == (NOW, EndReason.MANUAL_RESET)
    again = await database.change(sessions.reset_session, now=NOW + IDLE, **reset)
    assert again == session
    kinds = await database.read(lambda tx: tx.execute(sa.select(tables.events.c.kind)).scalars().all())
    assert kinds == ["session_reset"]


async def test_another_agents_session_is_not_there(database: Database) -> None:
    await database.change(plant, "ts_1", agents=[])
    with pytest.raises(NotFound):
        await database.read(sessions.get_session, agent_id="b", session_id="ts_1")
    with pytest.raises(NotFound):
        await database.change(
            sessions.reset_session, agent_id="b", session_id="ts_1", actor_id=None, now=NOW, agents=["b"]
        )


async def test_an_idle_session_is_active_no_more(database: Database) -> None:
    await database.change(plant, "ts_1", agents=[])
    session = await database.read(sessions.get_session, agent_id="a", session_id="ts_1")
    assert session.is_active(now=NOW + IDLE, idle=IDLE)
    late = NOW + IDLE + timedelta(microseconds=1)
    assert not session.is_active(now=late, idle=IDLE)
    assert session.end(now=late, idle=IDLE) == (NOW + IDLE, EndReason.INACTIVITY)


async def test_a_page_that_is_too_large_is_refused(database: Database) -> None:
    with pytest.raises(Invalid):
        await database.read(sessions.list_sessions, agent_id="a", limit=501)
