"""`subscriptions/listen`, which Claude Code opens at once and keeps: cheap to hold, and cut with its member.

Claude Code opens one where the server says that its lists change: at `/mcp/{service}` of a modern upstream that
says so, and never at the aggregator, which tells of no changes. It is kept running by a model that does not answer.
How many can be held is tried with plain requests of the same shape.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import aiohttp
import pytest

from tests.interop.clients.claude import claude_code, scripted
from tests.interop.clients.driven import Call
from tests.interop.scene import HTTP_SERVICE, MODERN_SERVICE, PERMITTED, Scene
from tests.interop.tap import tap
from tests.reachable import MODERN_META
from wicket.core.model import JsonObject

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

LISTEN: Final = "subscriptions/listen"
ACKNOWLEDGED: Final = b"notifications/subscriptions/acknowledged"
WAIT_S: Final = 120
PARKED: Final = 200
SPARE_SOCKETS: Final = 20
"""Of the database and of the requests that measure."""
BYTES_EACH_MAX: Final = 256 * 1024
(TOOL,) = PERMITTED[MODERN_SERVICE]


async def test_what_claude_code_parks_is_cut_when_its_member_is_removed(s: Scene) -> None:
    email = "ben@example.com"
    async with (
        tap(f"{s.url}/mcp/{MODERN_SERVICE}") as wire,
        claude_code(wire.url, await s.key(email)) as claude,
        scripted([Call(TOOL, {})]) as model,
        asyncio.timeout(WAIT_S),
        asyncio.TaskGroup() as group,
    ):
        group.create_task(claude.work(model))
        parked = await wire.find(LISTEN, ACKNOWLEDGED)
        await model.has_had_all.wait()
        assert not model.heard[0].is_error
        assert not parked.has_ended.is_set()
        await s.remove(email)
        await parked.has_ended.wait()
        last = json.loads(bytes(parked.body).rsplit(b"data: ", 1)[1])
        assert last["error"]["data"] == {"reason": "key_revoked", "retryable": False}
        model.may_end.set()


async def test_claude_code_parks_nothing_at_the_aggregator(s: Scene) -> None:
    async with (
        tap(f"{s.url}/mcp") as wire,
        claude_code(wire.url, await s.key()) as claude,
        scripted([Call(f"{HTTP_SERVICE}__echo", {"message": "parks nothing"})]) as model,
    ):
        model.may_end.set()
        await claude.work(model)
        assert [heard.text for heard in model.heard] == ["Echo: parks nothing"]
        assert LISTEN not in {one.method for one in wire.passed}
        assert all(one.has_ended.is_set() for one in wire.passed)


@pytest.mark.parametrize(("path", "sockets_each"), [("/mcp", 1), (f"/mcp/{MODERN_SERVICE}", 2)])
async def test_hundreds_of_parked_ones_cost_little_and_are_all_cut(
    path: str, sockets_each: int, s: Scene
) -> None:
    email = f"many{sockets_each}@example.com"
    key = await s.key(email)
    async with AsyncExitStack() as stack, asyncio.timeout(WAIT_S):
        before, entries = await measures(s), len(await s.entries())
        streams = [await stack.enter_async_context(listening(s, path, key)) for _ in range(PARKED)]
        after = await measures(s)
        assert after["open_fds"] - before["open_fds"] <= PARKED * sockets_each + SPARE_SOCKETS
        assert after["resident_memory_bytes"] - before["resident_memory_bytes"] <= PARKED * BYTES_EACH_MAX
        assert len(await s.entries()) == entries
        assert not any(stream.at_eof() for stream in streams)
        await s.remove(email)
        endings = await asyncio.gather(*(stream.read() for stream in streams))
    assert {b'"reason":"key_revoked"' in ending for ending in endings} == {True}


@asynccontextmanager
async def listening(s: Scene, path: str, key: str) -> AsyncIterator[aiohttp.StreamReader]:
    """What follows on the acknowledgement."""
    wanted: JsonObject = {"toolsListChanged": True}
    params: JsonObject = {"notifications": wanted, "_meta": MODERN_META}
    headers = {
        "authorization": f"Bearer {key}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": LISTEN,
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": LISTEN, "params": params}
    async with s.wicket.http.post(s.url + path, json=message, headers=headers) as response:
        while ACKNOWLEDGED not in await response.content.readline():
            assert not response.content.at_eof()
        yield response.content


async def measures(s: Scene) -> dict[str, float]:
    """What the process says of itself."""
    async with s.wicket.http.get(f"{s.url}/metrics") as response:
        said = await response.text()
    return {
        name: float(value) for name, value in re.findall(r"^process_(\w+) ([\d.e+]+)$", said, re.MULTILINE)
    }
