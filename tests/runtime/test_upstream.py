import asyncio
from collections.abc import Iterator

import pytest

from tests.upstreams.calls import Said, answer_of, recorded_call, target_of, told, upstream_side
from tests.upstreams.recording import LEGACY, MODERN, AnsweredIn, Out, RecordingUpstream, Seen, Spoken
from wicket.core.errors import WicketError
from wicket.core.jsonrpc import Notification
from wicket.core.model import JsonObject
from wicket.runtime.upstream import Answer, Upstream

ERAS = [("modern", "json"), ("modern", "sse"), ("legacy", "json"), ("legacy", "sse")]


async def forward(
    upstream: Upstream, url: str, arguments: JsonObject | None = None, **given: object
) -> list[Said]:
    token = given.pop("progress_token", None)
    assert token is None or isinstance(token, str | int)
    meta = given.pop("meta", {})
    assert isinstance(meta, dict)
    assert not given
    async with asyncio.timeout(5):
        reply = await upstream.forward(
            recorded_call(arguments), target_of(url), meta=meta, progress_token=token, before_first_byte=None
        )
        return await told(reply)


@pytest.mark.parametrize(("era", "answers"), ERAS)
async def test_a_call_reaches_the_upstream_once_with_exactly_what_was_decided(
    era: Spoken, answers: AnsweredIn
) -> None:
    async with RecordingUpstream(era=era, answers=answers) as server, upstream_side() as upstream:
        [answer] = await forward(upstream, server.url, {"owner": "octo", "text": "é\n"})
        assert isinstance(answer, Answer)
        assert answer.result is not None
        [call] = server.calls
        assert call.params["name"] == "echo"
        assert call.params["arguments"] == {"owner": "octo", "text": "é\n"}
        assert call.headers["authorization"] == "Bearer of-alice"
        assert call.headers["accept-encoding"] == "identity"
        assert call.headers["mcp-protocol-version"] == (MODERN if era == "modern" else LEGACY)


async def test_a_modern_call_mirrors_its_name_and_parameters_into_headers() -> None:
    async with RecordingUpstream() as server, upstream_side() as upstream:
        await forward(upstream, server.url, {"owner": "ö", "text": "x"})
        [call] = server.calls
        assert call.headers["mcp-method"] == "tools/call"
        assert call.headers["mcp-name"] == "echo"
        assert call.headers["mcp-param-owner"] == "=?base64?w7Y=?="
        assert "mcp-param-text" not in call.headers
        meta = call.params["_meta"]
        assert isinstance(meta, dict)
        assert meta["io.modelcontextprotocol/clientInfo"] == {"name": "wicket", "version": "1.2.3"}
        assert meta["io.modelcontextprotocol/clientCapabilities"] == {}


async def test_the_era_of_an_upstream_is_found_out_once() -> None:
    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        for _ in range(3):
            await forward(upstream, server.url)
        counts = [
            len(server.of(rpc)) for rpc in ("server/discover", "initialize", "notifications/initialized")
        ]
        assert counts == [1, 1, 1]
        assert "mcp-protocol-version" not in server.of("initialize")[0].headers
        assert {call.headers["mcp-session-id"] for call in server.calls} == {"session-1"}


async def test_a_legacy_server_without_sessions_is_sent_none() -> None:
    async with RecordingUpstream(era="legacy", has_sessions=False) as server, upstream_side() as upstream:
        await forward(upstream, server.url)
        assert "mcp-session-id" not in server.calls[0].headers


@pytest.mark.parametrize(("era", "answers"), ERAS)
async def test_two_members_never_share_a_session_or_a_token(era: Spoken, answers: AnsweredIn) -> None:
    async with RecordingUpstream(era=era, answers=answers) as server, upstream_side() as upstream:
        alice = target_of(server.url)
        bob = target_of(server.url, owner="bob:1", token="of-bob")
        async with asyncio.timeout(5):
            await asyncio.gather(
                *(
                    upstream.forward(
                        recorded_call({"text": target.owner}),
                        target,
                        meta={},
                        progress_token=None,
                        before_first_byte=None,
                    )
                    for target in (alice, bob) * 20
                )
            )
        used = {
            (call.headers["authorization"], call.headers.get("mcp-session-id"), str(call.params["arguments"]))
            for call in server.calls
        }
        assert len(server.calls) == 40
        assert len(used) == 2
        assert all(("of-alice" in token) == ("alice" in text) for token, _, text in used)
        assert len({session for _, session, _ in used}) == (2 if era == "legacy" else 1)


async def test_an_unknown_session_is_begun_anew_once_and_the_call_is_sent_again() -> None:
    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        await forward(upstream, server.url)
        server.forget_sessions()
        assert await forward(upstream, server.url)
        assert len(server.of("initialize")) == 2
        assert [call.headers["mcp-session-id"] for call in server.calls] == [
            "session-1",
            "session-1",
            "session-2",
        ]


async def test_a_server_that_forgets_each_session_gets_the_call_twice_and_no_more() -> None:
    async def forgetful(seen: Seen, out: Out) -> None:
        await out.json({}, status=404)

    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        server.on("tools/call", forgetful)
        with pytest.raises(WicketError) as failed:
            await forward(upstream, server.url)
        assert failed.value.code == "upstream_broken"
        assert len(server.calls) == 2


async def test_callers_of_one_member_wait_for_one_session() -> None:
    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        await asyncio.gather(*(forward(upstream, server.url) for _ in range(10)))
        assert len(server.calls) == 10
        assert len(server.of("initialize")) == 1


async def test_ids_are_ours_and_never_the_same_twice() -> None:
    async with RecordingUpstream() as server, upstream_side() as upstream:
        for _ in range(5):
            await forward(upstream, server.url)
        ids = [seen.id for seen in server.seen]
        assert all(isinstance(one, int) for one in ids)
        assert len(set(map(str, ids))) == len(ids)


async def test_application_meta_and_trace_context_pass_and_what_is_ours_does_not() -> None:
    meta: JsonObject = {
        "com.example/key": {"a": 1},
        "plain": True,
        "traceparent": "00-1",
        "tracestate": "t=1",
        "baggage": "b=1",
        "progressToken": "theirs",
        "io.modelcontextprotocol/protocolVersion": "1999-01-01",
        "io.modelcontextprotocol/clientInfo": {"name": "caller"},
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
        "dev.mcp/anything": 1,
    }
    async with RecordingUpstream() as server, upstream_side() as upstream:
        await forward(upstream, server.url, meta=meta)
        sent = server.calls[0].params["_meta"]
        assert isinstance(sent, dict)
        assert {key: value for key, value in sent.items() if not key.startswith("io.")} == {
            "com.example/key": {"a": 1},
            "plain": True,
            "traceparent": "00-1",
            "tracestate": "t=1",
            "baggage": "b=1",
        }
        assert sent["io.modelcontextprotocol/protocolVersion"] == MODERN
        assert sent["io.modelcontextprotocol/clientCapabilities"] == {}


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_each_message_is_passed_on_before_the_next_is_sent(era: Spoken) -> None:
    go_on = asyncio.Event()

    async def speak(seen: Seen, out: Out) -> None:
        meta = seen.params["_meta"]
        assert isinstance(meta, dict)
        await out.stream()
        for number in range(3):
            params: JsonObject = {"progressToken": meta["progressToken"], "progress": number}
            await out.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
            await go_on.wait()
            go_on.clear()
        await out.event({"jsonrpc": "2.0", "id": seen.id, "result": {"content": []}})
        await out.finish()

    async with RecordingUpstream(era=era) as server, upstream_side() as upstream:
        server.on("tools/call", speak)
        got: list[Said] = []

        def take(at_hand: Iterator[Said]) -> bool:
            got.extend(at_hand)
            go_on.set()
            return False

        async with asyncio.timeout(5):
            reply = await upstream.forward(
                recorded_call(),
                target_of(server.url),
                meta={},
                progress_token="of-the-caller",
                before_first_byte=None,
            )
            await reply.pass_on(take)
        assert got[:3] == [
            Notification("notifications/progress", {"progressToken": "of-the-caller", "progress": number}, {})
            for number in range(3)
        ]
        assert got[3:] == [Answer({"content": []})]


async def test_what_is_not_about_the_call_is_not_passed_on() -> None:
    async def speak(seen: Seen, out: Out) -> None:
        await out.stream()
        await out.chunk(b": keep-alive\n\nid: 7\ndata:\n\nevent: ping\ndata: {}\n\n")
        others: dict[str, JsonObject] = {
            "notifications/progress": {"progressToken": "of-another", "progress": 1},
            "notifications/cancelled": {"requestId": 1},
            "notifications/resources/updated": {"uri": "x"},
        }
        for method, params in others.items():
            await out.event({"jsonrpc": "2.0", "method": method, "params": params})
        await out.event({"jsonrpc": "2.0", "id": seen.id, "result": {}})
        await out.finish()

    async with RecordingUpstream() as server, upstream_side() as upstream:
        server.on("tools/call", speak)
        assert await forward(upstream, server.url) == [Answer({})]


async def test_a_servers_own_request_is_answered_with_an_error_upstream() -> None:
    async def ask(seen: Seen, out: Out) -> None:
        await out.stream()
        await out.event({"jsonrpc": "2.0", "id": "s1", "method": "sampling/createMessage", "params": {}})
        await out.event({"jsonrpc": "2.0", "id": "s2", "method": "ping"})
        await server.wait_for("", 2)
        await out.event({"jsonrpc": "2.0", "id": seen.id, "result": {}})
        await out.finish()

    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        server.on("tools/call", ask)
        assert await forward(upstream, server.url) == [Answer({})]
        answers = {str(seen.id): seen.message for seen in server.of("")}
        error = answers["s1"]["error"]
        assert isinstance(error, dict)
        assert error["code"] == -32601
        assert answers["s2"]["result"] == {}


async def test_an_error_of_the_upstream_comes_back_as_it_is() -> None:
    async with RecordingUpstream() as server, upstream_side() as upstream:
        target = target_of(server.url)
        reply = await upstream.forward(
            recorded_call(tool="absent"), target, meta={}, progress_token=None, before_first_byte=None
        )
        assert await answer_of(reply) == Answer(error={"code": -32601, "message": "unknown"})
        assert reply.status == 404


@pytest.mark.parametrize("call", [recorded_call(allowed=False), recorded_call(service="other")])
async def test_only_a_call_that_was_recorded_as_allowed_for_this_service_is_forwarded(call: object) -> None:
    async with RecordingUpstream() as server, upstream_side() as upstream:
        with pytest.raises(WicketError):
            await upstream.forward(
                call,  # type: ignore[arg-type]
                target_of(server.url),
                meta={},
                progress_token=None,
                before_first_byte=None,
            )
        assert server.seen == []
