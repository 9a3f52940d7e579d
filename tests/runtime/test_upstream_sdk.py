"""Against servers of the official SDK, as its users deploy them."""

import asyncio

import pytest

from tests.upstreams.calls import answer_of, recorded_call, target_of, told, upstream_side
from tests.upstreams.sdk import sdk_upstream
from wicket.core.jsonrpc import Era, Notification
from wicket.runtime.upstream import Answer


@pytest.mark.promise("P17")
@pytest.mark.parametrize("json_response", [True, False])
@pytest.mark.parametrize("era", list(Era))
async def test_an_sdk_server_is_listed_and_called_in_both_eras(era: Era, *, json_response: bool) -> None:
    async with (
        sdk_upstream(json_response=json_response, is_legacy=era is Era.LEGACY) as url,
        upstream_side() as upstream,
    ):
        target = target_of(url)
        async with asyncio.timeout(10):
            assert [tool["name"] for tool in await upstream.list_tools(target)] == ["add", "count", "fail"]
            for _ in range(2):
                reply = await upstream.forward(
                    recorded_call({"a": 1, "b": 2}, tool="add"),
                    target,
                    meta={},
                    progress_token=None,
                    before_first_byte=None,
                )
                result = (await answer_of(reply)).result
                assert result is not None
                assert result["structuredContent"] == {"result": 3}


@pytest.mark.parametrize("era", list(Era))
async def test_progress_of_an_sdk_server_reaches_the_caller_under_its_own_token(era: Era) -> None:
    async with sdk_upstream(is_legacy=era is Era.LEGACY) as url, upstream_side() as upstream:
        async with asyncio.timeout(10):
            reply = await upstream.forward(
                recorded_call({"to": 3}, tool="count"),
                target_of(url),
                meta={},
                progress_token="mine",
                before_first_byte=None,
            )
            messages = await told(reply)
        notices = [message.params for message in messages if isinstance(message, Notification)]
        assert [(notice["progressToken"], notice["progress"]) for notice in notices] == [
            ("mine", n) for n in range(3)
        ]
        assert isinstance(messages[-1], Answer)


async def test_a_tool_that_fails_is_an_answer_and_no_failure() -> None:
    async with sdk_upstream() as url, upstream_side() as upstream, asyncio.timeout(10):
        reply = await upstream.forward(
            recorded_call(tool="fail"), target_of(url), meta={}, progress_token=None, before_first_byte=None
        )
        result = (await answer_of(reply)).result
        assert result is not None
        assert result["isError"] is True
