"""What a client may take: bytes, seconds, connections. Time is what the test says it is."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.front.scene import HOST, client, fronted, post, request
from tests.front.test_answers import Told, streams
from tests.front.test_leaving import MODERN, Slow
from wicket.front import Connection, Limits
from wicket.front.limits import SLICE_BYTES
from wicket.gateway.http import Inbound, Outbound

pytestmark = pytest.mark.promise("P10")

HALF_OPEN = 2000
P = "POST /mcp HTTP/1.1\r\n" + HOST


@pytest.fixture
def _descriptors() -> Iterator[None]:
    """Room for thousands of sockets, both ends of which are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * HALF_OPEN + 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


TOO_MUCH = {
    "a path": (request("GET", "/mcp?" + "x" * 8192), 414),
    "a path that never ends": ("GET /mcp?" + "x" * 9000, 414),
    "a header": (request("GET", "/mcp", "X: " + "x" * 33_000), 431),
    "a header that never ends": (request("GET", "/mcp", "X: " + "x" * 70_000).removesuffix("\r\n\r\n"), 431),
    "a name that never ends": (P + "x" * 70_000, 431),
    "headers": (request("GET", "/mcp", *["X: y"] * 100), 431),
    "bytes of headers": (request("GET", "/mcp", *["X: " + "y" * 1000] * 34), 431),
    "a body that says so": (P + "Content-Length: 1001\r\n\r\n", 413),
    "a body in chunks": (P + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + "x" * 1001, 413),
    "a body for the API": (request("POST", "/api/x", "Content-Length: 501"), 413),
    "extensions of chunks": (
        P + "Transfer-Encoding: chunked\r\n\r\n" + ("1;" + "x" * 10_000 + "\r\n{\r\n") * 20,
        400,
    ),
}


@pytest.mark.parametrize("name", TOO_MUCH)
async def test_too_much_is_refused(name: str) -> None:
    raw, status = TOO_MUCH[name]
    async with fronted(Limits(body_bytes_max=1000, api_body_bytes_max=500)) as f, client(f) as c:
        c.send(raw)
        answer = await c.answer()
        c.writer.write_eof()
        assert (answer.status, await c.rest()) == (status, b"")
    assert f.handler.seen == []
    assert f.api.seen == []


async def test_as_much_as_may_be_is_taken() -> None:
    headers = ["X: " + "y" * 1000] * 31
    async with fronted(Limits(body_bytes_max=1000, api_body_bytes_max=500)) as f, client(f) as c:
        for raw in (
            request("GET", "/mcp?" + "x" * 8187),
            request("GET", "/mcp", *["X: y"] * 99),
            request("GET", "/mcp", *headers),
            post(body="x" * 1000),
            P + "Transfer-Encoding: chunked\r\n\r\n" + "1\r\nx\r\n" * 1000 + "0\r\n\r\n",
            request("POST", "/api/x", body="x" * 500),
        ):
            c.send(raw)
            assert (await c.answer()).status == 200


async def test_who_sends_too_much_gets_the_answer_and_not_a_reset() -> None:
    async with fronted(Limits(body_bytes_max=1000)) as f, client(f) as c:
        c.send(P + "Content-Length: 10000000\r\n\r\n")
        for _ in range(100):
            c.send(b"x" * 100_000)
        async with asyncio.timeout(5):
            await c.writer.drain()
        assert (await c.answer()).status == 413
        assert not c.reader.at_eof() or await c.rest() == b""


LATE: dict[str, tuple[str, float, int | None]] = {
    "nothing is said": ("", 10, None),
    "only empty lines are sent": ("\r\n\r\n", 10, None),
    "the head does not end": (P + "X: y\r\n", 10, 408),
    "the body does not come": (P + "Content-Length: 2\r\n\r\n", 30, 408),
    "the body does not end": (P + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", 30, 408),
    "nothing more is asked": (post("/mcp"), 75, None),
}


@pytest.mark.parametrize("name", LATE)
async def test_a_client_has_its_time_and_no_more(name: str) -> None:
    raw, after_s, status = LATE[name]
    async with fronted() as f, client(f) as c:
        c.send(raw)
        if raw == post("/mcp"):
            assert (await c.answer()).status == 200
        elif raw.strip():
            await f.until_held(len(raw))
        else:
            await f.until(lambda: bool(f.connections))
        f.pass_time(after_s - 1)
        assert len(f.connections) == 1
        assert not c.reader.at_eof()
        f.pass_time(2)
        assert status is None or (await c.answer()).status == status
        assert await c.rest() == b""
        c.writer.close()
        await f.until(lambda: not f.connections)
    assert len(f.handler.seen) == (raw == post("/mcp"))


async def test_a_drip_of_headers_does_not_buy_time() -> None:
    async with fronted() as f, client(f) as c:
        c.send(P)
        await f.until_held(len(P))
        for number in range(1, 12):
            c.send("X: y\r\n")
            await f.until(lambda n=number: f.front.crowd.held_bytes in {len(P) + 6 * n, 0})  # type: ignore[misc]
            f.pass_time(1)
        assert (await c.answer()).status == 408


async def test_a_big_body_that_comes_at_a_fair_rate_has_longer() -> None:
    half = 1024 * 1024
    head = P + f"Content-Length: {2 * half}\r\n\r\n"
    async with fronted() as f, client(f) as c:
        c.send(head + "x" * half)
        await f.until_held(len(head) + half)
        f.pass_time(60)
        c.send("x" * half)
        assert (await c.answer()).status == 200


async def test_a_refused_client_that_does_not_go_is_cut() -> None:
    async with fronted() as f, client(f) as c:
        c.send("nonsense\r\n\r\n")
        assert (await c.answer()).status == 400
        assert await c.rest() == b""
        assert len(f.connections) == 1  # it may still be sending
        f.pass_time(3)
        await f.until(lambda: not f.connections)


async def test_a_process_that_stood_still_blames_no_client() -> None:
    async with fronted() as f, client(f) as c:
        c.send(P)
        await f.until_held(len(P))
        f.now_s[0] += 3600
        f.front.sweep()
        c.send("\r\n")
        assert (await c.answer()).status == 200


async def test_a_reader_that_never_reads_is_written_no_more_than_the_buffers_hold() -> None:
    chunk = b"x" * 10_000
    async with fronted() as f:
        streams(f, told := Told(*[chunk] * 3000))
        async with client(f) as c:
            c.writer.transport.pause_reading()  # type: ignore[attr-defined]
            c.send(post("/mcp", MODERN))
            await f.until(lambda: any(one._writable is not None for one in f.connections))
            (connection,) = f.connections
            left = told._parts.qsize()
            assert left > 0
            high = connection._transport.get_write_buffer_limits()[1]
            assert connection._transport.get_write_buffer_size() <= high + len(chunk) + 16
            f.pass_time(59)
            assert told._parts.qsize() == left  # nothing more was taken of what streams
            assert len(f.connections) == 1
            f.pass_time(2)
            await f.until(lambda: not f.connections)
            async with asyncio.timeout(5):
                await told.is_closed.wait()
        assert not f.tasks


async def test_a_slow_reader_that_reads_is_not_cut() -> None:
    async def behave(_inbound: Inbound) -> Outbound:
        return Outbound(200, body=b"x" * 16_000_000)

    async with fronted() as f, client(f) as c:
        f.handler.behave = behave
        c.send(post() + post())
        await f.until(lambda: any(one._writable is not None for one in f.connections))
        head = await c.head()
        left = int(head.headers["content-length"])
        while left:
            async with asyncio.timeout(5):
                left -= len(await c.reader.readexactly(min(4_000_000, left)))
            f.pass_time(50)
        assert (await c.answer()).status == 200
    assert len(f.handler.seen) == 2


async def test_who_does_not_read_its_answers_has_no_more_requests_begun() -> None:
    async def behave(_inbound: Inbound) -> Outbound:
        return Outbound(200, body=b"x" * 10_000_000)

    async with fronted() as f, client(f) as c:
        f.handler.behave = behave
        c.writer.transport.pause_reading()  # type: ignore[attr-defined]
        c.send(post("/mcp", MODERN) * 5)
        await f.until(lambda: any(one._writable is not None for one in f.connections))
        f.pass_time(30)
        assert len(f.handler.seen) == 1
        f.pass_time(31)
        await f.until(lambda: not f.connections)
    assert len(f.handler.seen) == 1


@pytest.mark.usefixtures("_descriptors")
async def test_thousands_of_half_open_connections_keep_nobody_out() -> None:
    async with fronted() as f, AsyncExitStack() as stack:
        healthy = await stack.enter_async_context(client(f))
        for number in range(HALF_OPEN):
            half = await stack.enter_async_context(client(f))
            half.send(P + "X: y\r\n")
            if number % 20 == 0:
                healthy.send(post())
                assert (await healthy.answer()).status == 200
                async with client(f) as newcomer:
                    newcomer.send(post())
                    assert (await newcomer.answer()).status == 200
        await f.until(lambda: f.front.crowd.half_open == f.front.limits.half_open_of_address_max)
        assert len(f.handler.seen) == 2 * HALF_OPEN // 20
        await f.until(lambda: len(f.connections) == f.front.limits.half_open_of_address_max + 1)


async def test_the_oldest_half_open_connection_gives_way_first() -> None:
    async with fronted(Limits(half_open_of_address_max=3)) as f, AsyncExitStack() as stack:
        clients = []
        for number in (1, 2, 3):
            clients.append(await stack.enter_async_context(client(f)))
            clients[-1].send(P)
            await f.until_held(number * len(P))
        clients.append(await stack.enter_async_context(client(f)))
        clients[-1].send(P)
        assert await clients[0].rest() == b""
        for one in clients[1:]:
            one.send("\r\n")
            assert (await one.answer()).status == 200


async def test_what_incomplete_requests_hold_together_is_bounded() -> None:
    async with fronted(Limits(half_open_bytes_max=100_000)) as f, AsyncExitStack() as stack:
        raw = P + "Content-Length: 60000\r\n\r\n"
        first = await stack.enter_async_context(client(f))
        first.send(raw + "x" * 59_000)
        await f.until_held(len(raw) + 59_000)
        second = await stack.enter_async_context(client(f))
        second.send(raw + "x" * 59_000)
        answer = await second.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        await f.until_held(len(raw) + 59_000)
        first.send("x" * 1000)
        assert (await first.answer()).status == 200
        assert f.front.crowd.held_bytes == 0


async def test_idle_connections_make_room_for_new_ones() -> None:
    async with fronted(Limits(connections_max=8)) as f, AsyncExitStack() as stack:
        for _ in range(50):
            one = await stack.enter_async_context(client(f))
            one.send(post())
            assert (await one.answer()).status == 200
        assert len(f.front.crowd.everyone) <= 8
    assert len(f.handler.seen) == 50


async def test_clients_that_wait_for_an_answer_do_not_make_room() -> None:
    async with fronted(Limits(connections_max=2)) as f, AsyncExitStack() as stack:
        slow = Slow(f)
        waiting = [await stack.enter_async_context(client(f)) for _ in range(2)]
        for number, one in enumerate(waiting, start=1):
            one.send(post())
            await f.until(lambda n=number: len(f.handler.seen) == n)  # type: ignore[misc]
        late = await stack.enter_async_context(client(f))
        answer = await late.answer()
        assert (answer.status, answer.headers["connection"], answer.headers["retry-after"]) == (
            503,
            "close",
            "1",
        )
        assert await late.rest() == b""
        slow.go_on.set()
        assert [(await one.answer()).status for one in waiting] == [200, 200]


async def test_clients_that_still_read_their_answer_do_not_make_room() -> None:
    async def behave(_inbound: Inbound) -> Outbound:
        return Outbound(200, body=b"x" * 10_000_000)

    async with fronted(Limits(connections_max=1)) as f, client(f) as c:
        f.handler.behave = behave
        c.writer.transport.pause_reading()  # type: ignore[attr-defined]
        c.send(post())
        await f.until(lambda: any(one._writable is not None for one in f.connections))
        async with client(f) as late:
            assert (await late.answer()).status == 503
        c.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await c.answer()).body) == 10_000_000


async def test_a_burst_is_read_a_slice_at_a_time() -> None:
    body = "x" * (10 * SLICE_BYTES)
    async with fronted() as f, client(f) as c:
        c.send(post(body=body) * 3)
        assert [(await c.answer()).status for _ in range(3)] == [200] * 3
    assert [inbound.body.decode() == body for inbound in f.handler.seen] == [True] * 3


class Paced(asyncio.Transport):
    """A client's end that notes whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.noted.append("paused")

    def resume_reading(self) -> None:
        self.noted.append("resumed")

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None: ...


async def test_after_a_long_read_of_one_connection_others_are_read_first() -> None:
    body = b"x" * 1024 * 1024
    async with fronted() as f:
        transport = Paced()
        connection = Connection(f.front, connections=set(), tasks=set())
        connection.connection_made(transport)
        connection.data_received(request("POST", "/mcp", f"Content-Length: {len(body)}").encode())
        for number in range(4):
            connection.data_received(body[number * len(body) // 4 : (number + 1) * len(body) // 4])
            assert transport.noted == ["paused", "resumed"] * number + ["paused"]
            await asyncio.sleep(0)
            assert transport.noted == ["paused", "resumed"] * (number + 1)
        await f.until(lambda: bool(f.handler.seen))
        assert f.handler.seen[0].body == body
        connection.connection_lost(None)
