"""The front on a real socket, before a handler that keeps what it is asked; and clients that send raw bytes.

async with fronted() as front:
    async with client(front) as c:
        c.send(post("/mcp"))
        answer = await c.answer()
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

from wicket.front import Connection, Door, Front, Limits
from wicket.gateway.http import Inbound, Outbound

DOOR = Door("wicket.example", is_loopback=True)
HOST = "Host: wicket.example\r\n"


class Handler:
    """Answers at once with the number of requests so far, unless told otherwise; keeps every request."""

    def __init__(self) -> None:
        self.seen: list[Inbound] = []
        self.is_drained = False
        self.behave: Callable[[Inbound], Any] | None = None

    async def answer(self, inbound: Inbound) -> Outbound:
        self.seen.append(inbound)
        if self.behave is not None:
            outbound = await self.behave(inbound)
            assert isinstance(outbound, Outbound)
            return outbound
        return Outbound(200, body=b'{"number":%d}' % len(self.seen))

    def drain(self) -> None:
        self.is_drained = True


class Api:
    """An ASGI application that keeps what it is asked, and answers as it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.scopes: list[Scope] = []
        self.behave: Callable[[Scope, Receive, Send], Any] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if self.behave is not None:
            await self.behave(scope, receive, send)
            return
        message = await receive()
        assert message["more_body"] is False
        self.seen.append((scope["method"], scope["path"], message["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Api", b"yes")]})
        await send({"type": "http.response.body", "body": b"api"})


@dataclass
class Fronted:
    """The front under test, and what is behind it."""

    front: Front
    handler: Handler
    api: Api
    port: int
    connections: set[Connection]
    tasks: set[asyncio.Task[None]]
    now_s: list[float]

    def pass_time(self, seconds: float) -> None:
        """Let the front believe that so much time has passed, a sweep at a time."""
        until_s = self.now_s[0] + seconds
        while self.now_s[0] < until_s:
            self.now_s[0] = min(self.now_s[0] + 1.0, until_s)
            self.front.sweep()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Until something is so, of which nobody tells."""
        async with asyncio.timeout(5):
            while not is_so():
                await asyncio.sleep(0)

    async def until_held(self, held_bytes: int) -> None:
        """Until incomplete requests hold so many bytes."""
        await self.until(lambda: self.front.crowd.held_bytes == held_bytes)


@asynccontextmanager
async def fronted(limits: Limits | None = None, door: Door = DOOR) -> AsyncIterator[Fronted]:
    handler, api, now_s = Handler(), Api(), [1000.0]
    front = Front(
        handler=handler, api=api, door=door, limits=limits or Limits(), monotonic_s=lambda: now_s[0]
    )
    connections: set[Connection] = set()
    tasks: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(front, connections=connections, tasks=tasks), "127.0.0.1", 0, backlog=4096
    )
    try:
        port = server.sockets[0].getsockname()[1]
        yield Fronted(front, handler, api, port, connections, tasks, now_s)
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in tuple(connections):
            connection.drop()
        async with asyncio.timeout(5):
            while connections:
                await asyncio.sleep(0)


@dataclass(frozen=True)
class Answer:
    """One HTTP answer as it stood on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes
    chunks: list[bytes] = field(default_factory=list)


class Client:
    """A client's end, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode("latin-1") if isinstance(data, str) else data)

    async def head(self) -> Answer:
        """Status and headers; the body is left to be read."""
        async with asyncio.timeout(5):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        start, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        version, status, _ = start.split(" ", 2)
        assert version == "HTTP/1.1"
        pairs = [line.split(": ", 1) for line in lines]
        assert len({name for name, _ in pairs}) == len(pairs)
        return Answer(int(status), dict(pairs), b"")

    async def chunk(self) -> bytes:
        """The next chunk of a stream; empty at its end."""
        async with asyncio.timeout(5):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            data = await self.reader.readexactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def answer(self, *, of_head: bool = False) -> Answer:
        """One whole answer."""
        head, chunks = await self.head(), list[bytes]()
        if of_head or head.status in {100, 204, 304}:
            return head
        if head.headers.get("transfer-encoding") == "chunked":
            while chunk := await self.chunk():
                chunks.append(chunk)
            return Answer(head.status, head.headers, b"".join(chunks), chunks)
        async with asyncio.timeout(5):
            if "content-length" in head.headers:
                body = await self.reader.readexactly(int(head.headers["content-length"]))
            else:
                body = await self.reader.read()
        return Answer(head.status, head.headers, body)

    async def rest(self) -> bytes:
        """Whatever comes until the server closes."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


@asynccontextmanager
async def client(fronted: Fronted) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", fronted.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def request(method: str, target: str, *headers: str, body: str = "") -> str:
    """A proper request, with a length where there is a body."""
    lines = [f"{method} {target} HTTP/1.1\r\n{HOST}", *(f"{header}\r\n" for header in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}\r\n")
    return "".join((*lines, "\r\n", body))


def post(target: str = "/mcp", *headers: str, body: str = "{}") -> str:
    return request("POST", target, *headers, body=body)
