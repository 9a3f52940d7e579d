"""One bad upstream harms nobody else; streams flow; and a call in flight ends when its caller loses the right."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.gateway.scene import Scene, scene
from tests.instance import Answer
from tests.upstreams import faults
from tests.upstreams.holding import Holding
from tests.upstreams.recording import ECHO, Out, RecordingUpstream, Seen
from wicket.core.model import AgentStatus, JsonObject

BAD = ("dead", "hanging", "huge", "looping")
AT_MOST_A_SECOND = 1.5
"""What a second may take on a machine that is busy with other things."""


async def loop_for_ever(seen: Seen, out: Out) -> None:
    result: JsonObject = {"tools": [{"name": f"tool{seen.id}"}], "nextCursor": str(seen.id)}
    await out.json({"jsonrpc": "2.0", "id": seen.id, "result": result})


@asynccontextmanager
async def among_bad_neighbours(directory: Path) -> AsyncIterator[tuple[Scene, dict[str, RecordingUpstream]]]:
    async with scene(directory, settings={"response_bytes_max": 1024 * 1024}) as s, AsyncExitStack() as stack:
        bad = {name: await stack.enter_async_context(RecordingUpstream()) for name in BAD}
        for name, upstream in bad.items():
            await s.wicket.connector(s.agent, name, upstream.url)
        await s.wicket.enable(s.agent, "dead", "hanging", "fake", "huge", "looping")
        await s.agent.policy(service="*", name="everything", tools=["*"])
        for name in BAD:
            await s.pin(name, ECHO)
        await bad["dead"].__aexit__()
        bad["hanging"].on("*", faults.hang)
        bad["huge"].on("tools/call", faults.huge_answer)
        bad["huge"].on("tools/list", faults.huge_answer)
        bad["looping"].on("tools/list", loop_for_ever)
        yield s, bad


@pytest.mark.promise("P12")
async def test_calls_of_one_service_do_not_wait_for_another(tmp_path: Path) -> None:
    async with among_bad_neighbours(tmp_path) as (s, bad):
        stuck = [asyncio.create_task(s.call(tool="hanging__echo")) for _ in range(50)]
        await bad["hanging"].wait_for("server/discover")
        broken = await asyncio.gather(*(s.call(tool=f"{name}__echo") for name in ("dead", "huge") * 5))
        async with asyncio.timeout(5):
            good = await asyncio.gather(*(s.call({"n": n}) for n in range(100)))
        assert not any(call.done() for call in stuck)
        await s.agent.status(AgentStatus.DISABLED)
        cut = await asyncio.gather(*stuck)
        outcomes = [entry.outcome for entry in await s.ended(160)]

    assert {answer.status for answer in good} == {200}
    assert {answer.status for answer in broken} == {502}
    assert all(
        f"`{name}`" in str(answer.error["message"])
        for name, answer in zip(("dead", "huge") * 5, broken, strict=True)
    )
    assert {answer.status for answer in cut} == {403}
    assert sorted(set(outcomes)) == ["cancelled", "ok", "upstream_error"]


async def test_a_list_lacks_only_what_bad_upstreams_have_and_no_call_waits_for_it(tmp_path: Path) -> None:
    async with among_bad_neighbours(tmp_path) as (s, bad):
        listing = asyncio.create_task(s.wicket.rpc(s.key, "tools/list"))
        await bad["hanging"].wait_for("server/discover")
        async with asyncio.timeout(5):
            good = await s.call()
        assert not listing.done()
        listed = await listing

    assert good.status == 200
    tools = listed.result["tools"]
    assert isinstance(tools, list)
    assert [tool["name"] for tool in tools if isinstance(tool, dict)] == ["fake__echo"]


@asynccontextmanager
async def streaming(s: Scene) -> AsyncIterator[aiohttp.StreamReader]:
    params: JsonObject = {"name": "fake__echo", "arguments": {"n": 1}}
    body: JsonObject = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params}
    headers = {"authorization": f"Bearer {s.key}", "accept": "application/json, text/event-stream"}
    async with s.wicket.http.post(s.wicket.url + "/mcp", data=json.dumps(body), headers=headers) as response:
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["x-accel-buffering"] == "no"
        yield response.content


async def event(stream: aiohttp.StreamReader) -> JsonObject:
    """The next event, which nobody holds back."""
    async with asyncio.timeout(5):
        text = await stream.readuntil(b"\n\n")
    document = json.loads(text.partition(b"data: ")[2])
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_an_event_is_passed_on_before_the_next_is_there(era: str, tmp_path: Path) -> None:
    async with scene(tmp_path, era="legacy" if era == "legacy" else "modern") as s:
        holding = Holding(streams=True)
        s.upstream.on("tools/call", holding)
        async with streaming(s) as stream:
            first = await event(stream)
            assert not holding.go_on.is_set()
            holding.go_on.set()
            last = await event(stream)
            assert await stream.read() == b""
        (entry,) = await s.ended()

    assert first["method"] == "notifications/message"
    assert last["id"] == 5
    assert "result" in last
    assert entry.outcome == "ok"


async def test_who_reads_no_streams_gets_the_answer_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        holding = Holding(streams=True)
        holding.go_on.set()
        s.upstream.on("tools/call", holding)
        answer = await s.call({"n": 1}, headers={"accept": "*/*"})

    assert answer.headers["content-type"] == "application/json"
    assert answer.result["content"] == [{"type": "text", "text": '{"n": 1}'}]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [(faults.stream_without_answer, "upstream_error"), (faults.hang_in_stream, "timeout")],
)
async def test_a_stream_that_fails_ends_with_an_error(
    fault: Callable[[Seen, Out], Awaitable[None]], outcome: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, settings={"upstream_timeout_s": 0.3}) as s:
        s.upstream.on("tools/call", fault)
        async with streaming(s) as stream:
            await event(stream)
            last = await event(stream)
            assert await stream.read() == b""
        (entry,) = await s.ended()

    error = last["error"]
    assert isinstance(error, dict)
    assert error["code"] == -32603
    assert "`fake`" in str(error["message"])
    assert entry.outcome == outcome


async def disable(s: Scene) -> None:
    await s.agent.status(AgentStatus.DISABLED)


async def remove(s: Scene) -> None:
    await s.remove(await s.agent.member("ben@example.com"))


async def revoke(s: Scene) -> None:
    await s.revoke(await s.agent.member("ben@example.com"))


async def rotate(s: Scene) -> None:
    await s.agent.key("ben@example.com")


SWITCHES = {
    "agent disabled": (disable, "agent_disabled"),
    "member removed": (remove, "key_revoked"),
    "key revoked": (revoke, "key_revoked"),
    "key rotated": (rotate, "key_revoked"),
}


@pytest.mark.promise("P7")
@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("streams", [False, True], ids=["waiting", "streaming"])
async def test_a_call_in_flight_is_cut_when_its_caller_loses_the_right(
    name: str, tmp_path: Path, *, streams: bool
) -> None:
    switch, reason = SWITCHES[name]
    async with scene(tmp_path) as s:
        owner, s.key = s.key, await s.agent.key("ben@example.com")
        holding = Holding(streams=streams)
        s.upstream.on("tools/call", holding)
        call = asyncio.create_task(_last_message(s) if streams else _answer(s))
        await s.upstream.wait_for("tools/call")
        bystander = asyncio.create_task(s.call(key=owner))
        await s.upstream.wait_for("tools/call", 2)
        await switch(s)
        async with asyncio.timeout(AT_MOST_A_SECOND):
            status, message = await call
            await holding.left.wait()
        assert bystander.done() == (name == "agent disabled")
        holding.go_on.set()
        await bystander
        entries = await s.ended(2)

    error = message["error"]
    assert isinstance(error, dict)
    assert status == (200 if streams else 403)
    assert error["code"] == -32600
    assert error["data"] == {"reason": reason, "retryable": False}
    assert entries[0].outcome == "cancelled"
    assert entries[1].outcome == ("cancelled" if name == "agent disabled" else "ok")


async def _answer(s: Scene) -> tuple[int, JsonObject]:
    answer: Answer = await s.call()
    return answer.status, answer.json


async def _last_message(s: Scene) -> tuple[int, JsonObject]:
    async with streaming(s) as stream:
        await event(stream)
        return 200, await event(stream)


async def test_a_change_of_policies_does_not_cut_what_was_allowed(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        holding = Holding()
        s.upstream.on("tools/call", holding)
        call = asyncio.create_task(s.call())
        await s.upstream.wait_for("tools/call")
        await s.agent.policy(service="fake", name="no", effect="forbid")
        after = await s.call()
        holding.go_on.set()
        answer = await call

    assert after.data["reason"] == "forbidden_by_policy"
    assert "result" in answer.json
