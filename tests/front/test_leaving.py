"""Clients that leave, at every stage of a request: what ends with them, and what does not."""

import asyncio

import pytest

from tests.front.scene import HOST, Fronted, client, fronted, post, request
from tests.front.test_answers import Told, streams
from wicket.gateway.http import Inbound, Outbound

MODERN = "MCP-Protocol-Version: 2026-07-28"
LEGACY = "MCP-Protocol-Version: 2025-11-25"
UNFINISHED = [
    "",
    "\r\n",
    "PO",
    "POST /mcp",
    "POST /mcp HTTP/1.1\r\n",
    "POST /mcp HTTP/1.1\r\n" + HOST + "Content-Len",
    "POST /mcp HTTP/1.1\r\n" + HOST + "Content-Length: 2\r\n\r",
    "POST /mcp HTTP/1.1\r\n" + HOST + "Content-Length: 2\r\n\r\n",
    "POST /mcp HTTP/1.1\r\n" + HOST + "Content-Length: 2\r\n\r\n{",
    "POST /mcp HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "POST /mcp HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
]


class Slow:
    """Answers when it is told to, and notes what becomes of it."""

    def __init__(self, f: Fronted) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.finished = asyncio.Event()
        f.handler.behave = self

    async def __call__(self, _inbound: Inbound) -> Outbound:
        self.asked.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        self.finished.set()
        return Outbound(200, body=b"{}")


@pytest.mark.parametrize("hard", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("raw", UNFINISHED)
async def test_what_was_not_asked_whole_was_not_asked(raw: str, *, hard: bool) -> None:
    async with fronted() as f:
        async with client(f) as c:
            c.send(raw)
            await c.writer.drain()
            await f.until(lambda: bool(f.connections))
            if hard:
                c.writer.transport.abort()
            else:
                c.writer.write_eof()
                assert await c.rest() == b""
        await f.until(lambda: not f.connections)
        assert f.handler.seen == []
        assert (f.front.crowd.half_open, f.front.crowd.held_bytes, f.tasks) == (0, 0, set())
        assert f.front.crowd.everyone == set()


@pytest.mark.parametrize(
    "raw", [post("/mcp", MODERN), request("GET", "/mcp", LEGACY), request("DELETE", "/mcp", LEGACY)]
)
async def test_leaving_cancels_what_ends_with_its_stream(raw: str) -> None:
    async with fronted() as f:
        slow = Slow(f)
        async with client(f) as c, asyncio.timeout(5):
            c.send(raw + post("/mcp/behind"))
            await slow.asked.wait()
        async with asyncio.timeout(5):
            await slow.cancelled.wait()
        await f.until(lambda: not f.tasks and not f.connections)
    assert [inbound.service for inbound in f.handler.seen] == [None]


async def test_leaving_does_not_end_a_call_of_the_legacy_era() -> None:
    async with fronted() as f:
        slow = Slow(f)
        async with client(f) as c, asyncio.timeout(5):
            c.send(post("/mcp", LEGACY) + post("/mcp/behind", LEGACY))
            await slow.asked.wait()
        await f.until(lambda: not f.connections)
        assert len(f.tasks) == 1  # what the process waits for before it ends
        slow.go_on.set()
        async with asyncio.timeout(5):
            await slow.finished.wait()
        await f.until(lambda: not f.tasks)
        assert not slow.cancelled.is_set()
    assert [inbound.service for inbound in f.handler.seen] == [None]


async def test_leaving_ends_a_stream_of_the_modern_era() -> None:
    async with fronted() as f:
        streams(f, told := Told(b"data: 1\n\n"))
        async with client(f) as c:
            c.send(post("/mcp", MODERN))
            await c.head()
            await c.chunk()
        async with asyncio.timeout(5):
            await told.is_closed.wait()
        await f.until(lambda: not f.tasks)
        assert f.front.crowd.everyone == set()


async def test_a_stream_of_the_legacy_era_is_read_to_its_end_for_nobody() -> None:
    async with fronted() as f:
        streams(f, told := Told(b"data: 1\n\n"))
        async with client(f) as c:
            c.send(post("/mcp", LEGACY))
            await c.head()
            await c.chunk()
        await f.until(lambda: not f.connections)
        for _ in range(100):
            told.say(b"x" * 10_000)
        assert not told.is_closed.is_set()
        told.say(None)
        async with asyncio.timeout(5):
            await told.is_closed.wait()
        await f.until(lambda: not f.tasks)
        assert told._parts.empty()


async def test_leaving_while_more_waits_than_the_client_reads_ends_the_wait() -> None:
    async with fronted() as f:
        streams(f, told := Told(*[b"x" * 1_000_000] * 20))
        async with client(f) as c:
            c.writer.transport.pause_reading()  # type: ignore[attr-defined]
            c.send(post("/mcp", LEGACY))
            await f.until(lambda: any(one._writable is not None for one in f.connections))
        told.say(None)
        async with asyncio.timeout(5):
            await told.is_closed.wait()
        await f.until(lambda: not f.tasks)
        assert told._parts.empty()
