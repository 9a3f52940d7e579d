"""A call is sent at most once, wherever its connection is cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from tests.upstreams.calls import answer_of, recorded_call, target_of, upstream_side
from tests.upstreams.cutting import CuttingRelay
from tests.upstreams.recording import AnsweredIn, RecordingUpstream, Spoken
from wicket.core.errors import UpstreamFailed
from wicket.runtime.upstream import Answer, Upstream

ARGUMENTS = {"owner": "octo", "text": "once"}
MANNERS = [("modern", "json"), ("legacy", "sse")]


@asynccontextmanager
async def through_a_relay(
    era: Spoken, answers: AnsweredIn
) -> AsyncIterator[tuple[Upstream, RecordingUpstream, CuttingRelay]]:
    """With the handshake done, so that only calls go over it."""
    async with (
        RecordingUpstream(era=era, answers=answers) as server,
        CuttingRelay(server.url) as relay,
        upstream_side() as upstream,
    ):
        assert await has_answer(upstream, relay)
        yield upstream, server, relay


async def has_answer(upstream: Upstream, relay: CuttingRelay) -> bool:
    """Make one call."""
    try:
        async with asyncio.timeout(5):
            reply = await upstream.forward(
                recorded_call(dict(ARGUMENTS)),
                target_of(relay.url),
                meta={},
                progress_token=None,
                before_first_byte=None,
            )
            with closing(reply):
                return isinstance(await answer_of(reply), Answer)
    except UpstreamFailed:
        return False
    finally:
        # What is still on its way aside of the call would be counted as part of the next one.
        async with asyncio.timeout(5):
            while upstream._http._notes:
                await asyncio.sleep(0)


@pytest.mark.promise("P11")
@pytest.mark.parametrize(("era", "answers"), MANNERS)
async def test_a_request_cut_at_any_byte_is_not_sent_again(era: Spoken, answers: AnsweredIn) -> None:
    async with through_a_relay(era, answers) as (upstream, server, relay):
        relay.arm()
        assert await has_answer(upstream, relay)
        request_bytes = relay.passed["up"]
        assert request_bytes > 300
        for offset in range(1, request_bytes):
            calls = len(server.calls)
            relay.arm(up=offset)
            assert not await has_answer(upstream, relay)
            assert relay.cuts == offset
            assert len(server.calls) == calls
        assert await has_answer(upstream, relay)


@pytest.mark.promise("P11")
@pytest.mark.parametrize(("era", "answers"), MANNERS)
async def test_a_call_whose_answer_is_cut_at_any_byte_was_sent_once(era: Spoken, answers: AnsweredIn) -> None:
    async with through_a_relay(era, answers) as (upstream, server, relay):
        relay.arm()
        assert await has_answer(upstream, relay)
        answer_bytes = relay.passed["down"]
        assert answer_bytes > 100
        answered = 0
        for offset in range(1, answer_bytes):
            calls = len(server.calls)
            relay.arm(down=offset)
            answered += await has_answer(upstream, relay)
            assert relay.cuts == offset
            assert len(server.calls) == calls + 1
        # Of a stream, only the mark of its end may be missing behind a whole answer.
        assert answered <= (len("\r\n0\r\n\r\n") + 1 if answers == "sse" else 0)


@pytest.mark.promise("P11")
async def test_a_connection_that_was_closed_while_idle_is_replaced_before_anything_is_sent() -> None:
    async with through_a_relay("modern", "json") as (upstream, server, relay):
        for _ in range(20):
            calls = len(server.calls)
            server.drop_connections()
            async with asyncio.timeout(5):
                await relay.idle()
            for _ in range(10):
                await asyncio.sleep(0)
            assert await has_answer(upstream, relay)
            assert len(server.calls) == calls + 1
