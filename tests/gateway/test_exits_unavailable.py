"""When the log cannot be written, or a decision has grown old: nothing is forwarded, and the log says so later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.gateway.scene import Scene, grown_old, read_gaps, scene, until
from tests.upstreams.recording import Out, Seen
from wicket.core.model import AgentStatus, AuthType, JsonObject
from wicket.runtime.recorder import Limits
from wicket.store.db.sqlite import connect_raw

LATE = Limits(wait_s=10.0)
"""Records however long it takes; a decision grows old after 250 ms, as it always does."""


@asynccontextmanager
async def locked(s: Scene) -> AsyncIterator[None]:
    """The database file in the hands of a stranger, who has begun to write."""
    stranger = connect_raw(s.wicket.parts.settings.sqlite_path)
    stranger.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        stranger.execute("ROLLBACK")
        stranger.close()


@pytest.mark.promise("P2")
async def test_a_call_that_cannot_be_recorded_is_refused_within_a_quarter_of_a_second(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, limits=Limits()) as s:
        await s.call()
        loop = asyncio.get_running_loop()
        async with locked(s):
            begun_s = loop.time()
            refused = await asyncio.gather(*(s.call() for _ in range(5)))
            took_s = loop.time() - begun_s
            listed = await s.wicket.rpc(s.key, "ping")

        async def is_told() -> bool:
            return await s.wicket.database.read(read_gaps) == len(refused)

        await until(is_told)
        after = await s.call()
        log = await s.ended(2)

    assert {answer.status for answer in refused} == {503}
    assert {answer.data["reason"] for answer in refused} == {"audit_unavailable"}
    assert {answer.data["retryable"] for answer in refused} == {True}
    assert 0.2 < took_s < 1.0  # and not the five seconds that SQLite itself would wait
    assert listed.status == 200
    assert after.status == 200
    assert len(s.upstream.calls) == 2
    assert [entry.reason for entry in log] == ["permitted", "permitted"]


@pytest.mark.promise("P2")
async def test_an_allowed_call_that_is_committed_too_late_is_never_forwarded(tmp_path: Path) -> None:
    """Denials, lists and revoked keys do not wait either."""
    async with scene(tmp_path, limits=Limits(), permit=False) as s:
        async with locked(s):
            denied = await s.call()
            unknown = await s.call(key="B" * 32)
        log = await s.log()

    assert denied.data["reason"] == "audit_unavailable"
    assert unknown.status == 401
    assert log == []
    assert s.upstream.seen == []


class SlowHandshake:
    """A legacy upstream whose handshake waits until it is told to go on."""

    def __init__(self, s: Scene) -> None:
        self._upstream = s.upstream
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        s.upstream.on("initialize", self)

    async def __call__(self, seen: Seen, out: Out) -> None:
        self.begun.set()
        await self.go_on.wait()
        await self._upstream._legacy(seen, out)


async def _call_during_handshake(s: Scene, change: JsonObject | None) -> tuple[int, JsonObject]:
    handshake = SlowHandshake(s)
    calling = asyncio.create_task(s.call())
    async with asyncio.timeout(5):
        await handshake.begun.wait()
    if change is not None:
        await s.agent.policy(service="fake", effect="forbid", **change)
    await grown_old()
    handshake.go_on.set()
    answer = await calling
    return answer.status, answer.json


@pytest.mark.promise("P6")
async def test_a_decision_that_grew_old_is_not_sent_when_the_rules_have_moved(tmp_path: Path) -> None:
    async with scene(tmp_path, limits=LATE, era="legacy") as s:
        status, document = await _call_during_handshake(s, {"name": "no"})
        log = await s.ended()

    assert status == 503
    error = document["error"]
    assert isinstance(error, dict)
    assert error["code"] == -32603
    assert error["data"] == {"reason": "decision_expired", "retryable": True, "decisionId": log[0].id}
    assert [(entry.denied, entry.outcome) for entry in log] == [(False, "expired")]
    assert s.upstream.calls == []


async def test_a_decision_that_grew_old_is_sent_when_the_rules_are_the_same(tmp_path: Path) -> None:
    async with scene(tmp_path, limits=LATE, era="legacy") as s:
        status, document = await _call_during_handshake(s, None)
        log = await s.ended()

    assert status == 200
    assert "result" in document
    assert [entry.outcome for entry in log] == ["ok"]
    assert len(s.upstream.calls) == 1


@pytest.mark.promise("P2")
async def test_a_database_that_is_gone_is_told_as_unavailable_and_nothing_is_forwarded(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, auth=AuthType.BEARER) as s:
        await s.agent.connect("fake", "token-of-owner")
        await s.call()
        calls = len(s.upstream.calls)
        await s.agent.status(AgentStatus.ACTIVE)  # a new revision: no token is at hand
        await s.wicket.change(_drop_tables, agents=[s.agent.id])
        stranger = await s.call(key="B" * 32)
        call = await s.call()
        listed = await s.wicket.rpc(s.key, "tools/list", request_id="mine")

    assert [stranger.status, call.status, listed.status] == [503, 503, 503]
    assert listed.json["id"] == "mine"
    assert {answer.error["code"] for answer in (stranger, call, listed)} == {-32603}
    assert len(s.upstream.calls) == calls


def _drop_tables(tx: sa.Connection) -> None:
    """As if another program had the file: every read of keys and policies fails from now on."""
    tx.exec_driver_sql("ALTER TABLE member_keys RENAME TO gone")
