"""Whatever comes, in whatever pieces: it is read in one way, or not at all, and nothing breaks."""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.front.scene import DOOR, HOST, Api, Handler
from wicket.front import Connection, Front, Limits
from wicket.gateway.http import Inbound

LIMITS = Limits(body_bytes_max=5000, api_body_bytes_max=5000)
SERVICE = re.compile(r"[a-z][a-z0-9]{0,30}")
ANSWERS = re.compile(rb"(?:HTTP/1\.1 \d{3} [A-Za-z -]*\r\n(?:[a-z-]+: [^\r\n]*\r\n)*\r\n[^\r\n]*)*")


class Wire(asyncio.Transport):
    """A transport whose other end is this test."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_over = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("198.51.100.1", 1) if name == "peername" else default

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        assert not self.is_over
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.is_over = True

    def close(self) -> None:
        self.is_over = True

    def abort(self) -> None:
        self.is_over = True

    def pause_reading(self) -> None:
        """The test goes on as it likes."""

    def resume_reading(self) -> None:
        """The test goes on as it likes."""

    def get_write_buffer_size(self) -> int:
        return 0


async def received(pieces: Sequence[bytes]) -> tuple[list[Inbound], bytes, Api]:
    """What is asked of the proxy, answered, and asked of the API, when these pieces come."""
    handler, api, wire = Handler(), Api(), Wire()
    front = Front(handler=handler, api=api, door=DOOR, limits=LIMITS)
    tasks: set[asyncio.Task[None]] = set()
    connection = Connection(front, connections=set(), tasks=tasks)
    connection.connection_made(wire)
    for piece in pieces:
        connection.data_received(piece)
    async with asyncio.timeout(5):
        while tasks:
            await asyncio.gather(*tasks)
    connection.connection_lost(None)
    assert (front.crowd.everyone, front.crowd.half_open, front.crowd.held_bytes) == (set(), 0, 0)
    return handler.seen, wire.written, api


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    ends = sorted({position % (len(data) + 1) for position in at} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


token = st.text("abcdefghijklmnopqrstuvwxyzABC-0123456789", min_size=1, max_size=12).map(
    lambda name: f"X-{name}"
)
value = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
body = st.binary(max_size=200)


@st.composite
def requests(draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """A valid request to the proxy."""
    service = draw(st.sampled_from(["", "/", "/github", "/a1/", "/github?x=%00"]))
    headers = draw(st.lists(st.tuples(token, value), max_size=5))
    content: bytes = draw(body)
    lines = "".join(f"{name}: {said}\r\n" for name, said in headers).encode("latin-1")
    start = f"POST /mcp{service} HTTP/1.1\r\n{HOST}".encode() + lines
    if draw(st.booleans()):
        return start + b"Content-Length: %d\r\n\r\n" % len(content) + content
    sizes = draw(st.lists(st.integers(1, 50), max_size=5))
    chunks, rest = b"", content
    for size in sizes:
        piece, rest = rest[:size], rest[size:]
        chunks += b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
    if rest:
        chunks += b"%X;ext=1\r\n%b\r\n" % (len(rest), rest)
    return start + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@given(st.lists(requests(), min_size=1, max_size=4), st.lists(st.integers(0, 5000), max_size=12))
async def test_where_the_pieces_end_changes_nothing(asked: list[bytes], at: list[int]) -> None:
    data = b"".join(asked)
    whole, answered, _ = await received([data])
    assert len(whole) == len(asked)
    assert answered.count(b"HTTP/1.1 200 OK\r\n") == len(asked)
    for pieces in (cut(data, at), [data[i : i + 1] for i in range(len(data))]):
        assert (await received(pieces))[0] == whole


FRAGMENTS = st.sampled_from(
    [
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b"\t",
            b":",
            b"\x00",
            b"\x80",
            b"0",
            b"5",
            b"{}",
            b"0\r\n\r\n",
            b"2\r\n{}\r\n",
        ),
        *(
            b"GET ",
            b"POST ",
            b"CONNECT ",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"/mcp",
            b"/mcp/github",
            b"/mcp/../api",
        ),
        *(b"/%6dcp", b"/api/x", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", HOST.encode(), b"Host: evil.example\r\n"),
        *(
            b"Content-Length: 2\r\n",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Upgrade: h2c\r\n",
        ),
        *(
            b"Connection: close\r\n",
            b"Connection: upgrade\r\n",
            b"Expect: 100-continue\r\n",
            b"X_Y: z\r\n",
            b"X: y\r\n ",
        ),
        b"POST /mcp HTTP/1.1\r\n" + HOST.encode() + b"Content-Length: 2\r\n\r\n{}",
        b"POST /mcp/a HTTP/1.1\r\n" + HOST.encode() + b"Transfer-Encoding: chunked\r\n\r\n",
    ]
)
noise = st.lists(FRAGMENTS | st.binary(max_size=20), max_size=25).map(b"".join)


@given(noise, st.lists(st.integers(0, 2000), max_size=6))
async def test_noise_is_read_in_one_way_or_not_at_all(data: bytes, at: list[int]) -> None:
    seen, written, api = await received([data])
    again, _, api_again = await received(cut(data, at))
    assert again == seen
    assert api_again.seen == api.seen
    assert ANSWERS.fullmatch(written)
    for inbound in seen:
        assert inbound.service is None or SERVICE.fullmatch(inbound.service)
        assert [value for name, value in inbound.headers if name == "host"] == ["wicket.example"]
        assert not any("_" in name or name != name.lower() for name, _ in inbound.headers)
        assert inbound.caller_ip == "198.51.100.1"
        assert inbound.body in data or b"chunked" in data
    assert not any(path.startswith("/mcp") for _, path, _ in api.seen)
