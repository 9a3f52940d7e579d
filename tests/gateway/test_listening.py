"""`subscriptions/listen`: what was asked for is told as it happens, each resource decided, and cut like a call."""

from pathlib import Path

import pytest

from tests.gateway.suite_scene import SERVICE, suite
from wicket.core.model import AgentStatus, JsonObject

ID = {"io.modelcontextprotocol/subscriptionId": 7}
CHANGE: JsonObject = {"name": "test_trigger_tool_change", "arguments": {}}
ADDRESS = "test://watched-resource"


async def test_a_change_is_told_to_who_asked_for_it(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        message, headers = s.listening(toolsListChanged=True)
        async with s.stream(message, headers) as events:
            first = await events.next()
            assert first["method"] == "notifications/subscriptions/acknowledged"
            assert first["params"] == {"notifications": {"toolsListChanged": True}, "_meta": ID}
            await s.modern("tools/call", CHANGE)
            told = await events.next()
            assert told == {
                "jsonrpc": "2.0",
                "method": "notifications/tools/list_changed",
                "params": {"_meta": ID},
            }


@pytest.mark.parametrize("permit", [True, False])
async def test_each_resource_is_decided(permit: bool, tmp_path: Path) -> None:  # noqa: FBT001
    async with suite(tmp_path, permit=permit) as s:
        message, headers = s.listening(resourceSubscriptions=[ADDRESS], promptsListChanged=True)
        async with s.stream(message, headers) as events:
            honoured = (await events.next())["params"]["notifications"]  # type: ignore[call-overload,index]
        assert honoured == {"promptsListChanged": True} | (
            {"resourceSubscriptions": [ADDRESS]} if permit else {}
        )
        entries = await s.wicket.entries()
        assert [(row["tool_name"], row["denied"]) for row in entries] == [("resources/subscribe", not permit)]


async def test_behind_the_aggregator_it_is_silent(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        message, headers = s.listening(toolsListChanged=True)
        async with s.stream(message, headers, path="/mcp") as events:
            assert (await events.next())["params"] == {"notifications": {}, "_meta": ID}


@pytest.mark.parametrize("path", ["/mcp", f"/mcp/{SERVICE}"])
async def test_it_is_cut_when_the_agent_is_disabled(path: str, tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        message, headers = s.listening(toolsListChanged=True)
        async with s.stream(message, headers, path=path) as events:
            await events.next()
            await s.agent.status(AgentStatus.DISABLED)
            error = (await events.next())["error"]
            assert isinstance(error, dict)
            assert error["data"] == {"reason": "agent_disabled", "retryable": False}


async def test_it_is_no_method_of_the_legacy_era(tmp_path: Path) -> None:
    async with suite(tmp_path) as s:
        assert (await s.legacy("subscriptions/listen", {"notifications": {}})).error["code"] == -32601


async def test_the_get_stream_of_a_legacy_session_is_cut_too(tmp_path: Path) -> None:
    async with suite(tmp_path) as s, s.stream(None, {"mcp-session-id": await s.session()}) as events:
        await s.agent.status(AgentStatus.DISABLED)
        with pytest.raises(AssertionError, match="ended"):
            await events.next()
