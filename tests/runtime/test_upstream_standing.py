"""Streams of legacy upstreams: taken up again where they were ended too early, and attended beside the calls."""

import asyncio

import pytest

from tests.upstreams.calls import answer_of, recorded_call, target_of, upstream_side
from tests.upstreams.recording import Out, RecordingUpstream, Seen
from wicket.core.errors import UpstreamFailed
from wicket.core.jsonrpc import Notification, PostedResponse
from wicket.core.model import JsonObject
from wicket.runtime.upstream import Answer, Ask, Declared, Target, Upstream

ABLE: JsonObject = {"elicitation": {}}


async def call(upstream: Upstream, url: str) -> Answer:
    async with asyncio.timeout(5):
        reply = await upstream.forward(
            recorded_call(), target_of(url), meta={}, progress_token=None, before_first_byte=None
        )
        return await answer_of(reply)


def own(url: str) -> Target:
    target = target_of(url)
    return Target(target.connector, target.credential, target.owner, Declared("of the client", ABLE))


async def break_off(_: Seen, out: Out) -> None:
    await out.stream()
    await out.chunk(b"id: e-1\nretry: 1\ndata:\n\n")
    await out.finish()


async def break_off_without_a_word(_: Seen, out: Out) -> None:
    await out.stream()
    await out.finish()


async def test_a_stream_that_was_ended_early_is_taken_up_and_the_call_is_not_repeated() -> None:
    async def go_on(seen: Seen, out: Out) -> None:
        await out.stream()
        await out.event({"jsonrpc": "2.0", "id": server.calls[0].id, "result": {"content": []}})
        await out.finish()

    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        server.on("tools/call", break_off)
        server.on("GET", go_on)
        assert await call(upstream, server.url) == Answer({"content": []})
        assert len(server.calls) == 1
        resumed = next(seen for seen in server.seen if seen.method == "GET")
        assert resumed.headers["last-event-id"] == "e-1"
        assert resumed.headers["mcp-session-id"] == "session-1"
        assert resumed.headers["authorization"] == server.calls[0].headers["authorization"]


@pytest.mark.parametrize("broken_off", [break_off, break_off_without_a_word])
async def test_a_stream_that_cannot_be_taken_up_is_broken(broken_off: object) -> None:
    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        server.on("tools/call", broken_off)  # type: ignore[arg-type]
        with pytest.raises(UpstreamFailed, match="without an answer"):
            await call(upstream, server.url)
        assert len(server.calls) == 1


async def test_a_stream_that_always_ends_is_given_up() -> None:
    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        server.on("tools/call", break_off)
        server.on("GET", break_off)
        with pytest.raises(UpstreamFailed, match="without an answer"):
            await call(upstream, server.url)
        assert len([seen for seen in server.seen if seen.method == "GET"]) == 100


async def test_a_clients_own_session_says_what_it_can_and_ends_with_it() -> None:
    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        await upstream.list_tools(target_of(server.url))
        await upstream.capabilities(own(server.url))
        shared, its_own = server.of("initialize")
        assert (shared.params["capabilities"], its_own.params["capabilities"]) == ({}, ABLE)

        left = asyncio.Event()

        async def leave(seen: Seen, out: Out) -> None:
            assert seen.headers["mcp-session-id"] == "session-2"
            await out.accepted()
            left.set()

        server.on("DELETE", leave)
        upstream.leave(target_of(server.url))  # it has none of its own
        upstream.leave(own(server.url))
        async with asyncio.timeout(5):
            await left.wait()


async def test_an_upstream_that_knows_no_sessions_is_spoken_to_as_for_everybody() -> None:
    async with RecordingUpstream(era="modern") as server, upstream_side() as upstream:
        await upstream.capabilities(own(server.url))
        upstream.leave(own(server.url))
        assert [seen.rpc for seen in server.seen] == ["initialize", "server/discover"]


async def test_what_an_upstream_says_beside_the_calls_is_heard_and_its_questions_answered() -> None:
    async def speak(_: Seen, out: Out) -> None:
        await out.stream()
        await out.event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        meta: JsonObject = {"progressToken": 1, "app": "x"}
        await out.event(
            {"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {"_meta": meta}}
        )
        await out.until_left()

    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream, asyncio.timeout(5):
        server.on("GET", speak)
        async with upstream.attending(own(server.url)) as said:
            assert said is not None
            assert await anext(said) == Notification("notifications/tools/list_changed", {}, {})
            asked = await anext(said)
            assert isinstance(asked, Ask)
            assert asked.params == {"_meta": {"app": "x"}}
            await asked.answer(PostedResponse(3, result={"action": "decline"}))
        answered = server.seen[-1].message
        assert answered == {"jsonrpc": "2.0", "id": "q", "result": {"action": "decline"}}
