"""What counts as an HTTP answer, byte by byte, and what becomes of the connection that it came on."""

import asyncio

import pytest

from tests.upstreams.recording import Out, RecordingUpstream, Seen
from wicket.core.errors import Invalid, UpstreamFailed
from wicket.runtime.wire import AddressPolicy, HttpWire, WireLimits, WireRequest, header_lines

LOOPBACK = AddressPolicy(allow_private=True)
OK = b"HTTP/1.1 200 OK\r\n"
LONG = b" " * 16 * 1024 * 1024
"""Sent in so many pieces that an answer to the first comes before the last."""


def post(url: str, **headers: str) -> WireRequest:
    return WireRequest(url=url, headers=header_lines(headers), body=b"{}", timeout_s=2, service="fake")


async def answered(raw: bytes, *, times: int = 1, hang_up: bool = False) -> tuple[bytes, int]:
    """The last body that is read when the upstream says `raw`, and how many connections that took."""

    async def say(_: Seen, out: Out) -> None:
        await out.raw(raw)
        if hang_up:
            out.hang_up()

    body = b""
    wire = HttpWire(addresses=LOOPBACK, limits=WireLimits(head_bytes_max=2_000))
    async with RecordingUpstream() as server, asyncio.timeout(5):
        server.on("*", say)
        for _ in range(times):
            response = await wire.send(post(server.url))
            body = await response.read()
            response.close()
        await wire.close()
        return body, server.connections


@pytest.mark.parametrize(
    ("raw", "body", "connections"),
    [
        (OK + b"Content-Length: 2\r\n\r\nok", b"ok", 1),
        (OK + b"Content-Length: 0\r\n\r\n", b"", 1),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"ok", 1),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", b"ok", 1),
        (b"HTTP/1.1 204 Nothing\r\n\r\n", b"", 1),
        (b"HTTP/1.1 100 Go on\r\nX: 1\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", b"ok", 1),
        (b"HTTP/1.1 103 Hints\r\n\r\n" * 2 + OK + b"Content-Length: 2\r\n\r\nok", b"ok", 1),
        (OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nok", b"ok", 2),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", 2),
        # More than was asked for: nothing of it is ever an answer.
        (OK + b"Content-Length: 2\r\n\r\nok" + OK + b"Content-Length: 5\r\n\r\nstale", b"ok", 2),
        (OK + b"Content-Length: 2\r\n\r\nok?", b"ok", 2),
    ],
)
async def test_an_answer_ends_where_it_says_and_its_connection_is_kept_or_not(
    raw: bytes, body: bytes, connections: int
) -> None:
    assert await answered(raw, times=2) == (body, connections)


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    assert await answered(OK + b"\r\nuntil the end", hang_up=True) == (b"until the end", 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"hello\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        OK + b"Content-Length: two\r\n\r\nok",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nno number\r\nok\r\n0\r\n\r\n",
        OK.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\nok",
        OK + b"X: " + b"a" * 3_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: " + b"a" * 2_000_000,
        b"HTTP/1.1 100 Go on\r\n\r\n" * 200,
    ],
)
async def test_what_leaves_its_end_in_doubt_is_no_answer(raw: bytes) -> None:
    with pytest.raises(UpstreamFailed) as failed:
        await answered(raw)
    assert failed.value.code == "upstream_broken"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        OK[:9],
        OK + b"Content-Length: 3\r\n\r\nok",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\nok",
    ],
)
async def test_an_answer_that_is_cut_short_is_none(raw: bytes) -> None:
    with pytest.raises(UpstreamFailed) as failed:
        await answered(raw, hang_up=True)
    assert failed.value.code == "upstream_broken"


async def test_a_request_that_is_answered_before_it_is_sent_is_the_last_of_its_connection() -> None:
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 413 Too long\r\nContent-Length: 0\r\n\r\n")

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    wire = HttpWire(addresses=LOOPBACK)
    async with server, asyncio.timeout(5):
        for _ in range(2):
            response = await wire.send(
                WireRequest(url=url, headers=header_lines({}), body=LONG, timeout_s=2, service="fake")
            )
            assert response.status == 413
            response.close()
        await wire.close()
    assert [head.startswith(b"POST /mcp ") for head in heads] == [True, True]


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "a\rb", "a\0b"])
def test_a_header_that_would_be_two_cannot_be_sent(value: str) -> None:
    for header in ({"X-Name": value}, {value: "x"}):
        with pytest.raises(Invalid):
            header_lines(header)


async def test_a_path_is_sent_so_that_it_stays_one_path() -> None:
    wire = HttpWire(addresses=LOOPBACK)
    async with RecordingUpstream() as server:
        response = await wire.send(post(f"{server.url}/a b/\u00e9%2F?q=x y&r=%20"))
        response.close()
        await wire.close()
        assert server.seen[0].path == "/mcp/a%20b/%C3%A9%2F?q=x%20y&r=%20"


async def test_an_answer_that_nobody_reads_waits_at_the_upstream() -> None:
    size = 16 * 1024 * 1024

    async def flood(_: Seen, out: Out) -> None:
        await out.raw(OK + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)

    wire = HttpWire(addresses=LOOPBACK)
    async with RecordingUpstream() as server, asyncio.timeout(5):
        server.on("*", flood)
        response = await wire.send(post(server.url))
        connection = response._connection
        assert connection is not None
        while not connection._is_paused:
            await asyncio.sleep(0)
        assert sum(map(len, connection._chunks)) < size // 8
        assert len(await response.read()) == size
        assert response.is_over
        await wire.close()


async def test_closing_the_wire_leaves_nobody_waiting() -> None:
    async def hang(_: Seen, out: Out) -> None:
        await out.until_left()

    wire = HttpWire(addresses=LOOPBACK)
    async with RecordingUpstream() as server, asyncio.timeout(5):
        server.on("*", hang)
        waiting = asyncio.create_task(wire.send(post(server.url)))
        await server.wait_for("", 1)
        await wire.close()
        with pytest.raises(UpstreamFailed) as failed:
            await waiting
        assert failed.value.code == "upstream_broken"
