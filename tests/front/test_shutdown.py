"""The end of the process: what is under way goes on to its end, what only waits ends at once."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from tests.front.scene import HOST, client, fronted, post, request
from tests.front.test_answers import Told, streams
from tests.front.test_leaving import Slow
from tests.gateway.scene import scene
from tests.instance import MODERN_META
from wicket.core.model import JsonObject


@pytest.mark.parametrize("raw", ["", "POST /mcp HTTP/1.1\r\n" + HOST, post("/mcp")])
async def test_a_connection_on_which_nothing_is_under_way_closes_at_once(raw: str) -> None:
    async with fronted() as f, client(f) as c:
        c.send(raw)
        await f.until(lambda: bool(f.connections))
        if raw == post("/mcp"):
            assert (await c.answer()).status == 200
        elif raw:
            await f.until_held(len(raw))
        for connection in tuple(f.connections):
            connection.shutdown()
        assert await c.rest() == b""
        await f.until(lambda: not f.connections)
        assert f.handler.is_drained


async def test_a_request_under_way_is_answered_and_the_next_is_not_begun() -> None:
    async with fronted() as f, client(f) as c, asyncio.timeout(5):
        slow = Slow(f)
        c.send(post("/mcp") + post("/mcp/behind"))
        await slow.asked.wait()
        for connection in tuple(f.connections):
            connection.shutdown()
        slow.go_on.set()
        assert (await c.answer()).status == 200
        assert await c.rest() == b""
        await f.until(lambda: not f.connections and not f.tasks)
    assert [inbound.service for inbound in f.handler.seen] == [None]


async def test_a_stream_under_way_is_brought_to_its_end() -> None:
    async with fronted() as f, client(f) as c:
        streams(f, told := Told(b"data: 1\n\n"))
        c.send(request("GET", "/mcp"))
        await c.head()
        assert await c.chunk() == b"data: 1\n\n"
        for connection in tuple(f.connections):
            connection.shutdown()
        told.say(b"data: 2\n\n")
        assert await c.chunk() == b"data: 2\n\n"
        told.say(None)
        assert await c.chunk() == b""
        assert await c.rest() == b""


@pytest.mark.parametrize("path", ["/mcp", "/mcp/fake"])
async def test_parked_streams_end_at_once_and_politely(tmp_path: Path, path: str) -> None:
    listen = {"notifications": {"toolsListChanged": True}, "_meta": MODERN_META}
    body = {"jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen", "params": listen}
    modern = {"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}
    async with scene(tmp_path) as s, asyncio.timeout(5):
        bearer = {"authorization": f"Bearer {s.key}", "accept": "application/json, text/event-stream"}
        hello: JsonObject = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        opened = await s.wicket.rpc(s.key, "initialize", hello, path=path)
        legacy = bearer | {"mcp-session-id": opened.headers["Mcp-Session-Id"]}
        async with (
            s.wicket.http.post(s.wicket.url + path, json=body, headers=bearer | modern) as told,
            s.wicket.http.get(s.wicket.url + path, headers=legacy) as attended,
        ):
            assert (told.status, attended.status) == (200, 200)
            await first_line(told)
            await first_line(attended)
            s.wicket.parts.front.drain()
            last = (await told.read()).decode()
            assert "data" not in (await attended.read()).decode()
        again = await s.wicket.post(json.dumps(body).encode(), key=s.key, path=path, headers=modern)
    assert '"resultType":"complete"' in last
    assert b'"resultType":"complete"' in again.body


async def first_line(response: aiohttp.ClientResponse) -> bytes:
    line = await response.content.readline()
    assert line
    return line
