import asyncio
import gc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.upstreams import faults
from tests.upstreams.calls import SERVICE, Said, answer_of, recorded_call, target_of, upstream_side
from tests.upstreams.recording import Out, RecordingUpstream, Seen, Spoken
from wicket.core.errors import UpstreamFailed, WicketError
from wicket.core.jsonrpc import Notification
from wicket.core.model import JsonObject
from wicket.runtime.upstream import (
    Answer,
    CredentialRejected,
    Target,
    Upstream,
    UpstreamLimits,
    UpstreamReply,
)
from wicket.runtime.wire import BeforeFirstByte, WireLimits

SMALL = UpstreamLimits(body_bytes_max=1_000_000, event_bytes_max=1_000_000)
SHORT = replace(SMALL, timeout_s=0.2)
PATIENT = replace(SMALL, timeout_s=1.0)
"""For upstreams that are silent at one thing and answer another: on a slow machine, too, an answer is no silence."""
ERAS = ["modern", "legacy"]


async def forward(
    upstream: Upstream,
    target: Target,
    arguments: JsonObject | None = None,
    *,
    progress_token: str | None = None,
    before: BeforeFirstByte | None = None,
) -> UpstreamReply:
    async with asyncio.timeout(5):
        return await upstream.forward(
            recorded_call(arguments), target, meta={}, progress_token=progress_token, before_first_byte=before
        )


async def call(
    upstream: Upstream,
    target: Target,
    arguments: JsonObject | None = None,
    *,
    progress_token: str | None = None,
    before: BeforeFirstByte | None = None,
) -> Answer:
    """From the first byte to the last."""
    reply = await forward(upstream, target, arguments, progress_token=progress_token, before=before)
    async with asyncio.timeout(5):
        return await answer_of(reply)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("fault", faults.BROKEN)
async def test_a_bad_answer_is_a_502_that_names_the_service_and_the_call_was_sent_once(
    fault: str, era: Spoken
) -> None:
    async with RecordingUpstream(era=era) as server, upstream_side(SMALL) as upstream:
        server.on("tools/call", faults.BROKEN[fault])
        with pytest.raises(UpstreamFailed) as failed:
            await call(upstream, target_of(server.url))
        assert (failed.value.code, failed.value.status) == ("upstream_broken", 502)
        assert f"`{SERVICE}`" in failed.value.sentence
        assert len(server.calls) == 1


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("fault", faults.SILENT)
async def test_silence_is_a_504_that_names_the_service(fault: str, era: Spoken) -> None:
    async with RecordingUpstream(era=era) as server, upstream_side(SHORT) as upstream:
        server.on("tools/call", faults.SILENT[fault])
        with pytest.raises(UpstreamFailed) as failed:
            await call(upstream, target_of(server.url))
        assert (failed.value.code, failed.value.status) == ("upstream_timeout", 504)
        assert f"`{SERVICE}`" in failed.value.sentence
        assert len(server.calls) == 1


@pytest.mark.parametrize("fault", [*faults.BROKEN, *faults.SILENT])
@pytest.mark.parametrize("rpc", ["server/discover", "initialize", "notifications/initialized"])
async def test_an_upstream_that_misbehaves_at_the_handshake_is_never_sent_the_call(
    fault: str, rpc: str
) -> None:
    harmless = {("server/discover", fault) for fault in faults.BROKEN} - {("server/discover", "unauthorized")}
    harmless |= {("notifications/initialized", "accepted")}
    # Bodies after a notification are not read.
    tolerated = (
        "stream_without_answer",
        "malformed_json",
        "repeated_keys",
        "wrong_id",
        "no_json_rpc",
        "html",
    )
    harmless |= {
        ("notifications/initialized", fault) for fault in (*tolerated, "gzip_bomb", "hang_after_head")
    }
    harmless |= {
        ("notifications/initialized", fault) for fault in ("huge_answer", "huge_event", "hang_up_in_body")
    }
    limits = SMALL if fault in faults.BROKEN else PATIENT
    async with RecordingUpstream(era="legacy") as server, upstream_side(limits) as upstream:
        server.on(rpc, (faults.BROKEN | faults.SILENT)[fault])
        if (rpc, fault) in harmless:
            await call(upstream, target_of(server.url))
            return
        with pytest.raises(UpstreamFailed):
            await call(upstream, target_of(server.url))
        assert server.calls == []


async def test_a_stream_that_falls_silent_gives_what_came_and_then_the_timeout() -> None:
    async with RecordingUpstream() as server, upstream_side(SHORT) as upstream:
        server.on("tools/call", faults.hang_in_stream)
        reply = await forward(upstream, target_of(server.url))
        messages: list[Said] = []

        def take(at_hand: Iterator[Said]) -> bool:
            messages.extend(at_hand)
            return False

        with pytest.raises(UpstreamFailed) as failed:
            await reply.pass_on(take)
        assert messages == [Notification("notifications/message", {"data": "working"}, {})]
        assert failed.value.code == "upstream_timeout"


async def test_an_answer_that_drips_for_ever_ends_at_its_bound() -> None:
    async def drip(seen: Seen, out: Out) -> None:
        await out.head(200, {"Content-Type": "application/json", "Content-Length": "1000000000"})
        while True:
            await out.raw(b" ")
            await asyncio.sleep(0)

    limits = UpstreamLimits(timeout_s=0.2, body_s_max=0.3)
    async with RecordingUpstream() as server, upstream_side(limits) as upstream:
        server.on("tools/call", drip)
        with pytest.raises(UpstreamFailed) as failed:
            await call(upstream, target_of(server.url))
        assert failed.value.code == "upstream_timeout"


async def test_a_stream_that_never_ends_is_ended_at_its_bound() -> None:
    async def babble(seen: Seen, out: Out) -> None:
        await out.stream()
        while True:
            await out.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})

    limits = UpstreamLimits(exchange_s_max=0.3)
    async with RecordingUpstream() as server, upstream_side(limits) as upstream:
        server.on("tools/call", babble)
        with pytest.raises(UpstreamFailed) as failed:
            await call(upstream, target_of(server.url))
        assert failed.value.code == "upstream_timeout"


async def test_a_stream_is_cut_at_its_size() -> None:
    async def babble(seen: Seen, out: Out) -> None:
        await out.stream()
        while True:
            await out.event(
                {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * 1_000}}
            )

    limits = UpstreamLimits(stream_bytes_max=100_000)
    async with RecordingUpstream() as server, upstream_side(limits) as upstream:
        server.on("tools/call", babble)
        with pytest.raises(UpstreamFailed) as failed:
            await call(upstream, target_of(server.url))
        assert failed.value.code == "upstream_broken"


async def test_a_large_answer_within_the_bound_arrives_whole() -> None:
    limits = UpstreamLimits(body_bytes_max=11_000_000)
    async with RecordingUpstream() as server, upstream_side(limits) as upstream:
        server.on("tools/call", faults.huge_answer)
        answer = await call(upstream, target_of(server.url))
        assert len(str(answer.result)) > 10_000_000


async def test_a_refused_connection_is_a_502() -> None:
    async with RecordingUpstream() as server:
        url = server.url
    async with upstream_side() as upstream:
        with pytest.raises(UpstreamFailed) as failed:
            await call(upstream, target_of(url))
        assert (failed.value.code, failed.value.status) == ("upstream_unreachable", 502)


async def test_a_401_in_mid_session_says_that_the_credential_is_no_good() -> None:
    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        await call(upstream, target_of(server.url))
        server.on("tools/call", faults.unauthorized)
        with pytest.raises(CredentialRejected) as failed:
            await call(upstream, target_of(server.url))
        assert "of-alice" not in str(failed.value) + repr(failed.value.facts)
        server.on("tools/call", None)
        await call(upstream, target_of(server.url))
        assert len(server.of("initialize")) == 1


async def test_a_session_that_a_400_throws_doubt_on_is_begun_anew_by_the_next_call() -> None:
    async def no_session(seen: Seen, out: Out) -> None:
        error: JsonObject = {"code": -32000, "message": "Bad Request: No valid session ID provided"}
        await out.json({"jsonrpc": "2.0", "id": None, "error": error}, status=400)

    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        server.on("tools/call", no_session)
        with pytest.raises(UpstreamFailed):
            await call(upstream, target_of(server.url))
        assert len(server.calls) == 1
        server.on("tools/call", None)
        await call(upstream, target_of(server.url))
        assert len(server.of("initialize")) == 2


async def test_what_forbids_the_first_byte_comes_out_and_nothing_is_sent() -> None:
    async def forbid() -> None:
        raise WicketError("too old", code="decision_expired")

    async with RecordingUpstream() as server, upstream_side() as upstream:
        await call(upstream, target_of(server.url))
        seen, connections = len(server.seen), server.connections
        for _ in range(3):
            with pytest.raises(WicketError) as failed:
                await call(upstream, target_of(server.url), before=forbid)
            assert failed.value.code == "decision_expired"
        assert (len(server.seen), server.cut) == (seen, b"")
        await call(upstream, target_of(server.url))
        assert server.connections <= connections + 4


async def test_a_caller_that_leaves_cancels_the_call_at_a_legacy_upstream() -> None:
    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        server.on("tools/call", faults.hang)
        calling = asyncio.create_task(call(upstream, target_of(server.url)))
        [sent] = await server.wait_for("tools/call")
        calling.cancel()
        [cancelled] = await server.wait_for("notifications/cancelled")
        assert cancelled.params["requestId"] == sent.id
        assert cancelled.headers["mcp-session-id"] == sent.headers["mcp-session-id"]
        assert cancelled.headers["authorization"] == "Bearer of-alice"


async def test_closing_a_reply_cancels_its_call_by_closing_the_stream_of_a_modern_upstream() -> None:
    closed = asyncio.Event()

    async def hang(seen: Seen, out: Out) -> None:
        await faults.hang_in_stream(seen, out)
        closed.set()

    async with RecordingUpstream() as server, upstream_side() as upstream:
        server.on("tools/call", hang)
        reply = await forward(upstream, target_of(server.url))
        reply.close()
        async with asyncio.timeout(5):
            await closed.wait()
        assert server.of("notifications/cancelled") == []


async def test_closing_a_reply_cancels_its_call_by_a_notification_at_a_legacy_upstream() -> None:
    async with RecordingUpstream(era="legacy") as server, upstream_side() as upstream:
        server.on("tools/call", faults.hang_in_stream)
        reply = await forward(upstream, target_of(server.url))
        reply.close()
        [cancelled] = await server.wait_for("notifications/cancelled")
        assert cancelled.params["requestId"] == server.calls[0].id


async def test_a_second_answer_on_a_connection_is_given_to_nobody() -> None:
    async def twice(seen: Seen, out: Out) -> None:
        await out.json(faults.result_of(seen.id, "first"))
        await out.json(faults.result_of(seen.id, "second"))

    async with RecordingUpstream() as server, upstream_side() as upstream:
        await call(upstream, target_of(server.url))
        server.on("tools/call", twice)
        await call(upstream, target_of(server.url))
        server.on("tools/call", None)
        answer = await call(upstream, target_of(server.url, owner="bob:1", token="of-bob"), {"owner": "bob"})
        assert "bob" in str(answer.result)


@pytest.mark.promise("P12")
async def test_an_upstream_that_hangs_costs_the_callers_of_another_nothing() -> None:
    narrow = upstream_side(wire_limits=WireLimits(connections_per_host=10))
    async with RecordingUpstream() as hung, RecordingUpstream() as healthy, narrow as upstream:
        await call(upstream, target_of(hung.url))
        hung.on("tools/call", faults.hang)
        stuck = [asyncio.create_task(call(upstream, target_of(hung.url))) for _ in range(200)]
        await hung.wait_for("tools/call", 11)
        for _ in range(20):
            await call(upstream, target_of(healthy.url, owner="bob:1"))
        assert len(healthy.calls) == 20
        assert hung.connections <= 12
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


@pytest.mark.promise("P10")
async def test_nothing_is_left_behind_by_calls_that_fail() -> None:
    async with RecordingUpstream(era="legacy") as server, upstream_side(PATIENT) as upstream:
        await call(upstream, target_of(server.url))
        gc.collect()
        before = len(asyncio.all_tasks())
        for fault in (*faults.BROKEN.values(), *faults.SILENT.values()):
            server.on("tools/call", fault)
            with pytest.raises(UpstreamFailed):
                await call(upstream, target_of(server.url))
        server.on("tools/call", None)
        await call(upstream, target_of(server.url))
        await upstream.stop()
        assert len(asyncio.all_tasks()) <= before + 1
