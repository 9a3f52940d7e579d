"""Tool sessions and what policies count by them; MCP sessions; calls that are cancelled or left."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import sqlalchemy as sa

from tests.gateway.scene import Scene, scene
from tests.instance import MODERN_META, Answer, now
from tests.upstreams.holding import Holding
from wicket.core.model import AgentStatus, Json, JsonObject, Tier
from wicket.store import sessions, tables

CLAUDE, MCP, OPENAI, OTHER = (
    "x-claude-code-session-id", "mcp-session-id", "openai-conversation-id", "x-mcp-session-id",
)  # fmt: skip
BREAKER: Json = [{"type": "denyCount", "operator": ">=", "value": 3}]


def _external_ids(tx: sa.Connection) -> list[str]:
    rows = tables.tool_sessions
    return list(tx.execute(sa.select(rows.c.external_id).order_by(rows.c.created_at, rows.c.id)).scalars())


async def begun(s: Scene, key: str | None = None) -> str:
    """A new `Mcp-Session-Id`."""
    return (await s.wicket.rpc(key or s.key, "initialize")).headers[MCP]


async def test_the_first_of_the_headers_names_the_session_then_metadata_then_a_fingerprint(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as s:
        ours = await begun(s)
        ladder = [
            ({CLAUDE: "a", MCP: ours, OPENAI: "c", OTHER: "d"}, "a"),
            ({MCP: ours, OPENAI: "c", OTHER: "d"}, ours),
            ({OPENAI: "c", OTHER: "d"}, "c"),
            ({OTHER: "d"}, "d"),
        ]
        for headers, _ in ladder:
            await s.call(headers=headers)
        meta: JsonObject = {"name": "fake__echo", "_meta": {"sessionId": "of-metadata"}}
        await s.wicket.rpc(s.key, "tools/call", meta)
        await s.call()
        await s.call(headers={"user-agent": "another client"})
        found = await s.wicket.database.read(_external_ids)

    assert found[:5] == [name for _, name in ladder] + ["of-metadata"]
    assert len(found) == len(set(found)) == 7
    assert all(name.startswith("fp-") for name in found[5:])


async def test_the_entry_names_the_client_in_both_eras(tmp_path: Path) -> None:
    hello: JsonObject = {"protocolVersion": "2025-11-25", "clientInfo": {"name": "desk", "version": "7"}}
    async with scene(tmp_path) as s:
        desk = (await s.wicket.rpc(s.key, "initialize", hello)).headers[MCP]
        await s.call(headers={MCP: desk})
        await s.call(headers={MCP: desk, CLAUDE: "elsewhere"})
        await s.call(modern=True)
        await s.call()
        bodies = [json.loads(str(entry["body"])) for entry in await s.wicket.entries()]

    assert [(body["clientName"], body["clientVersion"]) for body in bodies] == [
        ("desk", "7"), ("desk", "7"), ("tests", "1"), ("", ""),
    ]  # fmt: skip


async def test_a_session_id_is_made_harmless_before_it_is_kept(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        for name in ('"><script>', "x" * 2000, "a b", "ok.id:1"):
            await s.call(headers={CLAUDE: name})
        found = await s.wicket.database.read(_external_ids)

    assert found[-1] == "ok.id:1"
    assert len(set(found)) == 4
    assert all(
        len(name) <= 128 and name.replace(".", "").replace(":", "").replace("-", "").isalnum()
        for name in found
    )


async def tripping(s: Scene, *, key: str | None = None, session: str = "one", times: int = 3) -> list[Answer]:
    return [await s.call(tool="fake__wipe", key=key, headers={CLAUDE: session}) for _ in range(times)]


@pytest.mark.parametrize("modern", [False, True], ids=["legacy", "modern"])
async def test_a_breaker_blocks_from_the_fourth_call_on_and_no_sooner(
    tmp_path: Path, *, modern: bool
) -> None:
    async with scene(tmp_path, tiers={"echo": Tier.READ, "wipe": Tier.DESTRUCTIVE}) as s:
        await s.agent.policy(service="fake", name="breaker", effect="forbid", session=BREAKER)
        answers = []
        for _ in range(3):
            answers.append(await s.call(headers={CLAUDE: "one"}, modern=modern))
            await tripping(s, times=1)
        blocked = await s.call(headers={CLAUDE: "one"}, modern=modern)
        elsewhere = await s.call(headers={CLAUDE: "two"}, modern=modern)

    assert [("result" in answer.json) for answer in answers] == [True, True, True]
    assert blocked.data["reason"] == "forbidden_by_policy"
    assert "result" in elsewhere.json


async def test_calls_at_the_same_time_are_counted_one_by_one(tmp_path: Path) -> None:
    """With at most five calls a session, of twenty at once five are allowed."""
    limit: Json = [{"type": "callCount", "operator": ">=", "value": 5}]
    async with scene(tmp_path) as s:
        await s.agent.policy(service="fake", name="five", effect="forbid", session=limit)
        answers = await asyncio.gather(*(s.call(headers={CLAUDE: "one"}) for _ in range(20)))
        calls = len(s.upstream.calls)

    assert sum("result" in answer.json for answer in answers) == calls == 5


async def test_sessions_never_mix_across_members(tmp_path: Path) -> None:
    async with scene(tmp_path, tiers={"echo": Tier.READ, "wipe": Tier.DESTRUCTIVE}) as s:
        await s.agent.policy(service="fake", name="breaker", effect="forbid", session=BREAKER)
        ben = await s.agent.key("ben@example.com")
        await tripping(s)
        of_owner = await s.call(headers={CLAUDE: "one"})
        of_ben = await s.call(key=ben, headers={CLAUDE: "one"})
        found = await s.wicket.database.read(_external_ids)

    assert of_owner.data["reason"] == "forbidden_by_policy"
    assert "result" in of_ben.json
    assert found == ["one", "one"]


async def test_what_was_never_decided_does_not_count(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.agent.policy(service="fake", name="breaker", effect="forbid", session=BREAKER)
        session = {CLAUDE: "one"}
        await s.agent.status(AgentStatus.DISABLED)
        disabled = [await s.call(headers=session) for _ in range(3)]
        await s.agent.status(AgentStatus.ACTIVE)
        await s.agent.settings(rateBurst=1, ratePerSecond=0.000_001)
        limited = [await s.call(headers=session) for _ in range(5)]
        await s.agent.settings(ratePerSecond=1_000_000)
        unknown = [await s.call(headers=session | {MCP: "guessed"}) for _ in range(3)]
        malformed = [await s.call(tool="nowhere", headers=session) for _ in range(3)]
        answer = await s.call(headers=session)

    assert {a.status for a in disabled} == {403}
    assert {a.status for a in limited} == {200, 429}
    assert {a.status for a in unknown} == {404}
    assert {a.status for a in malformed} == {400}
    assert "result" in answer.json


async def test_a_session_that_is_reset_starts_afresh(tmp_path: Path) -> None:
    async with scene(tmp_path, tiers={"echo": Tier.READ, "wipe": Tier.DESTRUCTIVE}) as s:
        await s.agent.policy(service="fake", name="breaker", effect="forbid", session=BREAKER)
        await tripping(s)
        before = await s.call(headers={CLAUDE: "one"})
        session_id = (await s.log())[-1].session_id
        await s.wicket.change(
            sessions.reset_session,
            agent_id=s.agent.id,
            session_id=session_id,
            actor_id=None,
            now=now(),
            agents=[s.agent.id],
        )
        after = await s.call(headers={CLAUDE: "one"})

    assert before.data["reason"] == "forbidden_by_policy"
    assert "result" in after.json


@pytest.mark.parametrize("modern", [False, True], ids=["legacy", "modern"])
async def test_two_calls_with_one_id_each_get_their_own_answer(tmp_path: Path, *, modern: bool) -> None:
    async with scene(tmp_path) as s:
        holding = Holding()
        s.upstream.on("tools/call", holding)
        calls = [
            asyncio.create_task(s.call({"n": n}, modern=modern, headers={CLAUDE: "one"})) for n in range(2)
        ]
        await s.upstream.wait_for("tools/call", 2)
        holding.go_on.set()
        answers = await asyncio.gather(*calls)
        ids = {seen.id for seen in s.upstream.calls}

    texts = [answer.result["content"] for answer in answers]
    assert texts == [[{"type": "text", "text": json.dumps({"n": n})}] for n in range(2)]
    assert len(ids) == 2


async def cancel(s: Scene, request_id: int, *, key: str | None = None, session: str = "one") -> Answer:
    params: JsonObject = {"requestId": request_id, "reason": "changed my mind"}
    body: JsonObject = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
    return await s.wicket.post(json.dumps(body).encode(), key=key or s.key, headers={CLAUDE: session})


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_client_cancels_its_own_call_and_nobody_else_s(era: str, tmp_path: Path) -> None:
    async with scene(tmp_path, era="legacy" if era == "legacy" else "modern") as s:
        ben = await s.agent.key("ben@example.com")
        holding = Holding()
        s.upstream.on("tools/call", holding)
        call = asyncio.create_task(s.wicket.call(s.key, "fake__echo", headers={CLAUDE: "one"}, request_id=7))
        other = asyncio.create_task(s.wicket.call(s.key, "fake__echo", headers={CLAUDE: "two"}, request_id=7))
        await s.upstream.wait_for("tools/call", 2)
        foreign = [await cancel(s, 7, key=ben), await cancel(s, 8), await cancel(s, 7, session="three")]
        assert not call.done()
        own = await cancel(s, 7)
        answer = await call
        async with asyncio.timeout(5):
            await holding.left.wait()
        if era == "legacy":
            await s.upstream.wait_for("notifications/cancelled")
        assert not other.done()
        holding.go_on.set()
        assert "result" in (await other).json
        outcomes = sorted(entry.outcome for entry in await s.ended(2))

    assert {a.status for a in (*foreign, own)} == {202}
    assert answer.error["code"] == -32600
    assert answer.json["id"] == 7
    assert outcomes == ["cancelled", "ok"]


async def leave(call: "asyncio.Task[Answer]") -> None:
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def test_leaving_cancels_the_call_in_the_modern_era(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        holding = Holding()
        s.upstream.on("tools/call", holding)
        call = asyncio.create_task(s.call(modern=True))
        await s.upstream.wait_for("tools/call")
        await leave(call)
        async with asyncio.timeout(5):
            await holding.left.wait()
        (entry,) = await s.ended()

    assert entry.outcome == "cancelled"


async def test_leaving_does_not_cancel_the_call_in_the_legacy_era(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        holding = Holding()
        s.upstream.on("tools/call", holding)
        call = asyncio.create_task(s.call())
        await s.upstream.wait_for("tools/call")
        await leave(call)
        still = await s.wicket.rpc(s.key, "ping")  # the server has had time to notice
        assert not holding.left.is_set()
        holding.go_on.set()
        (entry,) = await s.ended()

    assert still.status == 200
    assert entry.outcome == "ok"


async def without_body(s: Scene, method: str, session: str, key: str | None = None) -> Answer:
    headers = {"authorization": f"Bearer {key or s.key}", MCP: session}
    async with s.wicket.http.request(method, s.wicket.url + "/mcp", headers=headers) as response:
        return Answer(response.status, response.headers, await response.read())


@asynccontextmanager
async def listening(s: Scene, session: str) -> AsyncIterator[aiohttp.StreamReader]:
    """The stream of a session, once it is open."""
    headers = {"authorization": f"Bearer {s.key}", MCP: session}
    async with s.wicket.http.get(s.wicket.url + "/mcp", headers=headers) as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["x-accel-buffering"] == "no"
        assert (await response.content.readany()).startswith(b":")
        yield response.content


async def test_an_mcp_session_lives_until_it_is_ended(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        first, second = await begun(s), await begun(s)
        used = await s.wicket.rpc(s.key, "tools/list", headers={MCP: first})
        foreign = await without_body(s, "DELETE", first, await s.agent.key("ben@example.com"))
        async with listening(s, first) as stream, asyncio.timeout(5):
            ended = await without_body(s, "DELETE", first)
            assert await stream.read() == b""
        again = await without_body(s, "DELETE", first)
        after = await s.wicket.rpc(s.key, "tools/list", headers={MCP: first})
        other = await s.wicket.rpc(s.key, "tools/list", headers={MCP: second})

    assert first != second
    assert (used.status, ended.status, again.status, after.status, other.status) == (200, 204, 404, 404, 200)
    assert foreign.status == 404


async def test_a_session_ends_with_the_key_that_it_was_given_to(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        session = await begun(s)
        rotated = await s.agent.key()
        answers = [await s.wicket.rpc(key, "ping", headers={MCP: session}) for key in (s.key, rotated)]

    assert [answer.status for answer in answers] == [401, 404]


async def test_a_listening_stream_ends_when_its_member_loses_the_right(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        session = await begun(s)
        async with listening(s, session) as stream, asyncio.timeout(5):
            await s.agent.status(AgentStatus.DISABLED)
            assert await stream.read() == b""
        refused = await without_body(s, "GET", session)

    assert refused.status == 403


async def test_the_modern_era_has_no_sessions_and_no_requests_of_the_server(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        refused = await s.wicket.rpc(s.key, "initialize", modern=True)
        discovered = await s.wicket.rpc(s.key, "server/discover", modern=True)
        response = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}}).encode()
        legacy = await s.wicket.post(response, key=s.key)
        modern = await s.wicket.post(response, key=s.key, headers={"mcp-protocol-version": "2026-07-28"})
        notified = json.dumps(
            {"jsonrpc": "2.0", "method": "notifications/initialized", "params": {"_meta": MODERN_META}}
        )
        accepted = await s.wicket.post(notified.encode(), key=s.key)

    assert (refused.status, refused.error["code"]) == (404, -32601)
    assert discovered.result["resultType"] == "complete"
    assert MCP not in discovered.headers
    assert (legacy.status, modern.status, accepted.status) == (202, 400, 202)
