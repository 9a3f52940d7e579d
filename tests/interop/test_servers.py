"""Real servers behind Wicket: listed, called, and out of reach of a call that is denied."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.interop.cases import SERVERS, ServerCase
from tests.interop.scene import AGENT, PERMITTED, Scene
from wicket.core.model import JsonObject

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@asynccontextmanager
async def connected(s: Scene, path: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {await s.key()}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(s.url + path, http_client=http)) as client,
    ):
        yield client


def filled(arguments: JsonObject, s: Scene) -> JsonObject:
    """With the scene's folder in place of `{folder}`."""
    return {
        name: value.replace("{folder}", str(s.folder)) if isinstance(value, str) else value
        for name, value in arguments.items()
    }


@pytest.mark.parametrize("case", SERVERS, ids=lambda case: f"{case.service} over {case.transport}")
async def test_it_is_listed_called_and_protected(case: ServerCase, s: Scene) -> None:
    allowed, denied = filled(case.allowed.arguments, s), filled(case.denied.arguments, s)
    async with connected(s, f"/mcp/{case.service}") as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == set(PERMITTED[case.service])
        result = await client.call_tool(case.allowed.tool, allowed)
        assert not result.is_error
        assert case.answer in "".join(getattr(part, "text", "") for part in result.content)
        with pytest.raises(MCPError, match=f"tool '{case.denied.tool}' is not permitted for agent '{AGENT}'"):
            await client.call_tool(case.denied.tool, denied)
    for file, text in case.left.items():
        assert text in (s.folder / file).read_text(encoding="utf-8")
    entry = await s.entry(case.allowed.tool, allowed, service=case.service)
    assert (entry["decision"], entry["outcome"]) == ("ALLOW", "ok")
    entry = await s.entry(case.denied.tool, denied, service=case.service)
    assert (entry["decision"], entry["outcome"]) == ("DENY", "refused")


async def test_the_aggregator_lists_all_of_them(s: Scene) -> None:
    async with connected(s, "/mcp") as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert names == {f"{service}__{tool}" for service, tools in PERMITTED.items() for tool in tools}


@pytest.mark.parametrize("case", SERVERS, ids=lambda case: f"{case.service} over {case.transport}")
async def test_it_speaks_what_the_page_says(case: ServerCase, s: Scene) -> None:
    if case.transport == "HTTP":
        server: str | StdioServerParameters = s.upstreams[case.service]
    else:
        command, *arguments = s.commands[case.service]
        server = StdioServerParameters(command=command, args=arguments)
    async with Client(server) as client:
        assert client.protocol_version == case.protocol
