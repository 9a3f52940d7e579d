"""Answers on the wire: whole and streamed, in order, for every kind of client."""

import asyncio
from math import inf

import pytest

from tests.front.scene import HOST, Fronted, client, fronted, post, request
from wicket.gateway.http import STREAM_HEADERS, Headers, Inbound, Outbound, Reader

LONG = b"{" + b" " * 16 * 1024 * 1024 + b"}"
"""Beyond what the system buffers for a connection."""


class Told:
    """A stream of parts that come when the test says so."""

    def __init__(self, *parts: bytes | Exception) -> None:
        self._parts: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.is_closed = asyncio.Event()
        for part in parts:
            self._parts.put_nowait(part)

    def say(self, part: bytes | Exception | None) -> None:
        self._parts.put_nowait(part)

    async def tell(self, reader: Reader) -> None:
        while (part := await self._parts.get()) is not None:
            if isinstance(part, Exception):
                raise part
            if reader.send(part):
                await reader.drained()

    async def aclose(self) -> None:
        self.is_closed.set()


def streams(f: Fronted, told: Told, headers: Headers = STREAM_HEADERS) -> None:
    async def behave(_inbound: Inbound) -> Outbound:
        return Outbound(200, headers, told)

    f.handler.behave = behave


async def test_a_whole_answer_says_how_long_it_is() -> None:
    async with fronted() as f, client(f) as c:
        c.send(post())
        answer = await c.answer()
    assert (answer.status, answer.body) == (200, b'{"number":1}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["date"].endswith(" GMT")
    assert "connection" not in answer.headers
    assert "server" not in answer.headers


async def test_a_long_answer_comes_whole_and_before_the_next() -> None:
    async def behave(_inbound: Inbound) -> Outbound:
        return Outbound(200, body=LONG if len(f.handler.seen) == 1 else b"{}")

    async with fronted() as f, client(f) as c:
        f.handler.behave = behave
        c.send(post() + post())
        assert (await c.answer()).body == LONG
        assert (await c.answer()).body == b"{}"


@pytest.mark.promise("P10")
async def test_of_a_long_answer_no_more_waits_for_a_client_than_it_may_read_at_once() -> None:
    async def behave(_inbound: Inbound) -> Outbound:
        return Outbound(200, body=LONG)

    async with fronted() as f, client(f) as c:
        f.handler.behave = behave
        c.send(post())
        await c.head()
        (connection,) = f.connections
        await f.until(lambda: connection.write_by_s < inf)
        assert f.tasks
        f.pass_time(f.front.limits.unread_s + 2)
        await f.until(lambda: not f.tasks and not f.connections)
    assert len(f.handler.seen) == 1


@pytest.mark.parametrize(("status", "headers"), [(202, {"content-length": "0"}), (204, {})])
async def test_an_answer_without_a_body_has_none(status: int, headers: dict[str, str]) -> None:
    async def behave(_inbound: Inbound) -> Outbound:
        return Outbound(status, ())

    async with fronted() as f, client(f) as c:
        f.handler.behave = behave
        c.send(post() + post())
        answers = [await c.answer(), await c.answer()]
    assert [answer.status for answer in answers] == [status, status]
    assert [{k: v for k, v in answer.headers.items() if k != "date"} for answer in answers] == [headers] * 2


async def test_head_gets_the_headers_alone() -> None:
    async with fronted() as f, client(f) as c:
        c.send(request("HEAD", "/mcp") + request("HEAD", "/api/x") + post())
        proxy, api = await c.answer(of_head=True), await c.answer(of_head=True)
        assert (await c.answer()).body == b'{"number":2}'
    assert (proxy.headers["content-length"], api.headers["content-length"]) == ("12", "3")


@pytest.mark.parametrize("raw", [post("/mcp", "Connection: close"), f"GET /mcp HTTP/1.0\r\n{HOST}\r\n"])
async def test_a_connection_ends_when_its_client_wants_that(raw: str) -> None:
    async with fronted() as f, client(f) as c:
        c.send(raw + post("/mcp/behind"))
        answer = await c.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await c.rest() == b""
    assert [inbound.service for inbound in f.handler.seen] == [None]


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on() -> None:
    async with fronted() as f, client(f) as c:
        c.send("POST /mcp HTTP/1.1\r\n" + HOST + "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
        assert (await c.head()).status == 100
        assert f.handler.seen == []
        c.send("{}")
        assert (await c.answer()).body == b'{"number":1}'


async def test_a_client_that_asks_before_it_sends_too_much_is_told_so_instead() -> None:
    async with fronted() as f, client(f) as c:
        c.send("POST /mcp HTTP/1.1\r\n" + HOST + "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
        assert (await c.answer()).status == 413
    assert f.handler.seen == []


@pytest.mark.parametrize("ahead", [1, 3, 40, 2000])
async def test_requests_sent_ahead_are_answered_in_their_order_one_at_a_time(ahead: int) -> None:
    at_once = 0

    async def behave(inbound: Inbound) -> Outbound:
        nonlocal at_once
        at_once += 1
        await asyncio.sleep(0)
        assert at_once == 1
        at_once -= 1
        return Outbound(200, body=inbound.body)

    async with fronted() as f, client(f) as c:
        f.handler.behave = behave
        c.send("".join(post(body=str(number)) for number in range(ahead)))
        assert [(await c.answer()).body for _ in range(ahead)] == [b"%d" % number for number in range(ahead)]


async def test_no_more_is_taken_in_than_a_few_requests_ahead() -> None:
    go_on = asyncio.Event()

    async def behave(_inbound: Inbound) -> Outbound:
        await go_on.wait()
        return Outbound(200, body=b"{}")

    ahead = 20_000
    async with fronted() as f, client(f) as c:
        f.handler.behave = behave
        c.send(post() * ahead)
        await f.until(lambda: bool(f.handler.seen) and not next(iter(f.connections))._transport.is_reading())
        (connection,) = f.connections
        assert len(connection._queue) <= 300  # one slice of tiny requests
        assert connection.read_by_s == float("inf")
        go_on.set()
        assert {(await c.answer()).status for _ in range(ahead)} == {200}


async def test_a_stream_is_passed_on_chunk_by_chunk() -> None:
    told = Told(b"data: 1\n\n")
    async with fronted() as f, client(f) as c:
        streams(f, told)
        c.send(post() + post())
        head = await c.head()
        assert head.headers["transfer-encoding"] == "chunked"
        assert head.headers["content-type"] == "text/event-stream"
        assert head.headers["x-accel-buffering"] == "no"
        assert "content-length" not in head.headers
        assert await c.chunk() == b"data: 1\n\n"
        told.say(b"")  # would end the stream if it were written as a chunk
        told.say(b"data: 2\n\n")
        assert await c.chunk() == b"data: 2\n\n"
        told.say(None)
        assert await c.chunk() == b""
        await told.is_closed.wait()
        assert (await c.head()).status == 200  # and the connection goes on


async def test_a_stream_to_an_old_client_ends_with_its_connection() -> None:
    async with fronted() as f, client(f) as c:
        streams(f, Told(b"data: 1\n\n", b"data: 2\n\n"))
        c.send(f"GET /mcp HTTP/1.0\r\n{HOST}\r\n")
        head = await c.head()
        assert "transfer-encoding" not in head.headers
        async with asyncio.timeout(5):
            assert await c.reader.readexactly(18) == b"data: 1\n\ndata: 2\n\n"


async def test_a_stream_that_breaks_off_does_not_look_complete() -> None:
    async with fronted() as f, client(f) as c:
        streams(f, told := Told(b"data: 1\n\n", LookupError("a secret")))
        c.send(post() + post("/mcp/behind"))
        await c.head()
        rest = await c.rest()
        await told.is_closed.wait()
    assert rest in {b"", b"9\r\ndata: 1\n\n\r\n"}
    assert [inbound.service for inbound in f.handler.seen] == [None]


async def test_a_defect_is_answered_as_a_failure_that_says_nothing_of_it() -> None:
    async def behave(_inbound: Inbound) -> Outbound:
        raise LookupError("a secret")

    async with fronted() as f, client(f) as c:
        f.handler.behave = behave
        c.send(post() + post())
        for _ in range(2):
            answer = await c.answer()
            assert answer.status == 500
            assert b"-32603" in answer.body
            assert b"secret" not in answer.body


@pytest.mark.parametrize(
    "header", [("x-a", "a\r\nx-b: c"), ("x-a", "a\nb"), ("x a", "b"), ("x-a\r\nx-b", "c")]
)
async def test_no_header_of_an_answer_becomes_two(header: tuple[str, str]) -> None:
    async def behave(_inbound: Inbound) -> Outbound:
        return Outbound(200, (header,), b"{}")

    async with fronted() as f, client(f) as c:
        f.handler.behave = behave
        c.send(post())
        assert await c.rest() == b""
    assert len(f.handler.seen) == 1


async def test_a_silent_stream_of_events_gets_a_comment_now_and_then() -> None:
    told = Told(b"data: 1\n\n")
    async with fronted() as f, client(f) as c:
        streams(f, told)
        c.send(post())
        await c.head()
        assert await c.chunk() == b"data: 1\n\n"
        f.pass_time(14)
        told.say(b"data: 2\n\n")
        assert await c.chunk() == b"data: 2\n\n"
        f.pass_time(14)
        told.say(b"data: 3\n\n")
        assert await c.chunk() == b"data: 3\n\n"
        for _ in range(3):
            f.pass_time(16)
            assert await c.chunk() == b": keep-alive\n\n"
        told.say(None)
        assert await c.chunk() == b""


async def test_a_silent_stream_of_anything_else_gets_nothing() -> None:
    told = Told(b"a")
    async with fronted() as f, client(f) as c:
        streams(f, told, (("content-type", "text/csv"),))
        c.send(post())
        await c.head()
        assert await c.chunk() == b"a"
        f.pass_time(60)
        told.say(b"b")
        assert [await c.chunk(), f.handler.seen[0].method] == [b"b", "POST"]


async def test_a_request_may_come_in_any_two_pieces() -> None:
    raw = post("/mcp/github?q", "X-A: b", body='{"a": 1}')
    async with fronted() as f, client(f) as c:
        for at in range(1, len(raw)):
            c.send(raw[:at])
            await f.until_held(at)
            c.send(raw[at:])
            assert (await c.answer()).status == 200
    assert len(f.handler.seen) == len(raw) - 1
    assert len(set(f.handler.seen)) == 1
