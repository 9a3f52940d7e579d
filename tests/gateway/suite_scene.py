"""A Wicket in front of the conformance suite's fixture: an upstream that offers everything, in both eras."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.conformance.run import fixture
from tests.instance import MODERN_META, AgentUnderTest, Answer, Instance
from wicket.core.model import Json, JsonObject, Tier

SERVICE = "fixture"
PATH = f"/mcp/{SERVICE}"
ABLE: JsonObject = {"elicitation": {}, "sampling": {}, "roots": {}}


def at(value: Json, *path: str | int) -> Any:
    """What lies that deep in a document."""
    found: Any = value
    for step in path:
        found = found[step]
    return found


@dataclass
class Suite:
    wicket: Instance
    agent: AgentUnderTest
    key: str

    async def modern(
        self, method: str, params: JsonObject | None = None, *, path: str = PATH, key: str | None = None
    ) -> Answer:
        """A request of the modern era, by a client that answers whatever it is asked."""
        params = dict(params or {})
        headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": method}
        if method == "resources/read":
            headers["mcp-name"] = str(params["uri"])
        elif "name" in params:
            headers["mcp-name"] = str(params["name"])
        params["_meta"] = MODERN_META | {"io.modelcontextprotocol/clientCapabilities": ABLE}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        return await self.wicket.post(body, key=key or self.key, path=path, headers=headers)

    async def legacy(
        self, method: str, params: JsonObject | None = None, *, session: str | None = None, path: str = PATH
    ) -> Answer:
        headers = {} if session is None else {"mcp-session-id": session}
        return await self.wicket.rpc(self.key, method, params, path=path, headers=headers)

    async def session(self, capabilities: JsonObject = ABLE, *, path: str = PATH) -> str:
        """A legacy session that has begun."""
        hello: JsonObject = {
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": {"name": "tests", "version": "1"},
        }
        return (await self.legacy("initialize", hello, path=path)).headers["mcp-session-id"]

    async def answered(self, session: str, answer: JsonObject, *, key: str | None = None) -> int:
        """Post a response; the status of what comes back."""
        body = json.dumps({"jsonrpc": "2.0"} | answer).encode()
        headers = {"mcp-session-id": session}
        return (await self.wicket.post(body, key=key or self.key, path=PATH, headers=headers)).status

    @asynccontextmanager
    async def stream(
        self, message: JsonObject | None, headers: Mapping[str, str], *, path: str = PATH
    ) -> AsyncIterator["Events"]:
        """What a POST, or a GET where there is no message, streams."""
        sent = {"authorization": f"Bearer {self.key}", "accept": "application/json, text/event-stream"}
        method = "GET" if message is None else "POST"
        body = None if message is None else json.dumps({"jsonrpc": "2.0", "id": 7} | message).encode()
        url = self.wicket.url + path
        async with self.wicket.http.request(method, url, data=body, headers=sent | dict(headers)) as response:
            assert response.status == 200
            yield Events(response)

    def listening(self, **notifications: Json) -> tuple[JsonObject, dict[str, str]]:
        """A `subscriptions/listen`, with its headers."""
        params: JsonObject = {"notifications": notifications, "_meta": MODERN_META}
        headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}
        return {"method": "subscriptions/listen", "params": params}, headers


class Events:
    """The messages of a stream, one after another."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> JsonObject:
        async with asyncio.timeout(5):
            while not (line := await self._response.content.readline()).startswith(b"data: "):
                assert line, "the stream has ended"
        message = json.loads(line.removeprefix(b"data: "))
        assert isinstance(message, dict)
        return message


@asynccontextmanager
async def suite(directory: Path, *, permit: bool = True, workers: int = 1) -> AsyncIterator[Suite]:
    async with fixture() as upstream, Instance.started(directory, workers=workers) as wicket:
        agent = await wicket.agent(services={SERVICE: upstream}, tiers={})
        key = await agent.key()
        s = Suite(wicket, agent, key)
        await s.modern("tools/list")
        world = await wicket.parts.snapshot.current_of(agent.id)
        for service, tool in sorted(world.pins) if world is not None else ():
            await agent.review(service, tool, Tier.READ)
        if permit:
            await agent.policy(service=SERVICE)
        yield s
