"""A real MCP server on loopback, written by hand, that keeps every byte it was sent and can misbehave.

    async with RecordingUpstream(era="legacy", answers="sse") as upstream:
        upstream.on("tools/call", faults.hang)
        ...
        assert upstream.calls[0].headers["authorization"] == "Bearer of-alice"

A behaviour is `async def (seen: Seen, out: Out) -> None`. Without one, the server speaks properly: `echo` answers
with its arguments, and whatever else is asked for gets the right error of its era.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias

from wicket.core.model import Json, JsonObject

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
PROTOCOL_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"

ECHO: JsonObject = {
    "name": "echo",
    "description": "Answers with its arguments",
    "inputSchema": {
        "type": "object",
        "properties": {
            "owner": {"type": "string", "x-mcp-header": "Owner"},
            "text": {"type": "string"},
        },
    },
    "annotations": {"readOnlyHint": True},
}


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    raw: bytes
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Requests with the same number came over the same connection."""

    @property
    def message(self) -> JsonObject:
        document = json.loads(self.body or b"{}")
        assert isinstance(document, dict)
        return document

    @property
    def rpc(self) -> str:
        """JSON-RPC method; empty for a response."""
        return str(self.message.get("method", ""))

    @property
    def params(self) -> JsonObject:
        params = self.message.get("params", {})
        assert isinstance(params, dict)
        return params

    @property
    def id(self) -> Json:
        return self.message.get("id")


class Out:
    """The way back of one request."""

    def __init__(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        self._writer = writer
        self._reader = reader

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: int, headers: dict[str, str]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await self.raw(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode())

    async def body(
        self,
        body: bytes,
        *,
        kind: str = "application/json",
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        sent = {"Content-Type": kind, "Content-Length": str(len(body))} | (headers or {})
        await self.head(status, sent)
        await self.raw(body)

    async def json(self, document: Json, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        await self.body(json.dumps(document).encode(), status=status, headers=headers)

    async def accepted(self) -> None:
        await self.body(b"", status=202)

    async def stream(self, headers: dict[str, str] | None = None) -> None:
        sent = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
        await self.head(200, sent | (headers or {}))

    async def chunk(self, data: bytes) -> None:
        await self.raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def event(self, document: Json) -> None:
        await self.chunk(f"event: message\ndata: {json.dumps(document)}\n\n".encode())

    async def finish(self) -> None:
        await self.raw(b"0\r\n\r\n")

    def hang_up(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.close()

    async def is_left(self, *, within_s: float) -> bool:
        """Whether the other side closes the connection within so many seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self.until_left()
        except TimeoutError:
            return False
        return True

    async def until_left(self) -> None:
        """Wait until the other side closes the connection."""
        try:
            while await self._reader.read(65_536):
                pass
        except ConnectionError:
            return


Spoken: TypeAlias = Literal["modern", "legacy"]
AnsweredIn: TypeAlias = Literal["json", "sse"]
Behaviour: TypeAlias = Callable[[Seen, Out], Awaitable[None]]


@dataclass
class RecordingUpstream:
    era: Spoken = "modern"
    answers: AnsweredIn = "json"
    tools: list[JsonObject] = field(default_factory=lambda: [ECHO])
    page_size: int = 100
    has_sessions: bool = True
    seen: list[Seen] = field(default_factory=list)
    cut: bytes = b""
    """What arrived of a request that never became whole."""
    connections: int = 0
    bytes_in: int = 0
    """Whatever has arrived."""

    def __post_init__(self) -> None:
        self._behaviours: dict[str, Behaviour] = {}
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._sessions: set[str] = set()
        self._arrived = asyncio.Condition()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/mcp"

    @property
    def calls(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.rpc == "tools/call"]

    def of(self, rpc: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.rpc == rpc]

    def on(self, rpc: str, behaviour: Behaviour | None) -> None:
        """Behave so from now on when this method is asked for; `GET` and `DELETE` are HTTP's, `*` stands for all."""
        if behaviour is None:
            self._behaviours.pop(rpc, None)
        else:
            self._behaviours[rpc] = behaviour

    def forget_sessions(self) -> None:
        self._sessions.clear()

    async def wait_for(self, rpc: str, count: int = 1) -> list[Seen]:
        """Until so many requests of a method have arrived."""
        async with asyncio.timeout(5), self._arrived:
            await self._arrived.wait_for(lambda: len(self.of(rpc)) >= count)
        return self.of(rpc)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=32 * 1024 * 1024)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        self.drop_connections()
        await asyncio.gather(*(task for task in self._tasks if task is not None))

    def drop_connections(self) -> None:
        """Reset everything that is open."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            while (seen := await self._read(reader, number)) is not None:
                async with self._arrived:
                    self.seen.append(seen)
                    self._arrived.notify_all()
                await self._behaviour(seen)(seen, Out(writer, reader))
                if writer.is_closing():
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Seen | None:
        raw = b""
        while (seen := _parsed(raw, number)) is None:
            piece = await reader.read(65_536)
            if not piece:
                self.cut += raw
                return None
            raw += piece
            self.bytes_in += len(piece)
        return seen

    def _behaviour(self, seen: Seen) -> Behaviour:
        for key in (seen.rpc or seen.method, "*"):
            if key in self._behaviours:
                return self._behaviours[key]
        return self._modern if self.era == "modern" else self._legacy

    async def answer(
        self, seen: Seen, out: Out, result: JsonObject, headers: dict[str, str] | None = None
    ) -> None:
        """A proper answer in the server's manner."""
        document: JsonObject = {"jsonrpc": "2.0", "id": seen.id, "result": result}
        if self.answers == "json":
            await out.json(document, headers=headers)
            return
        await out.stream(headers)
        await out.event(document)
        await out.finish()

    async def _modern(self, seen: Seen, out: Out) -> None:
        meta = seen.params.get("_meta", {})
        version = meta.get(PROTOCOL_VERSION_KEY) if isinstance(meta, dict) else None
        if version != MODERN or seen.headers.get("mcp-protocol-version") != MODERN:
            await out.json(_error(seen.id, -32602, "no version"), status=400)
        elif seen.headers.get("mcp-method") != seen.rpc:
            await out.json(_error(seen.id, -32020, "Mcp-Method does not match"), status=400)
        elif seen.rpc == "server/discover":
            await self.answer(
                seen, out, {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": {}}
            )
        elif seen.rpc == "tools/call" and not _has_headers(seen):
            await out.json(_error(seen.id, -32020, "Mcp-Name or Mcp-Param-Owner does not match"), status=400)
        else:
            await self._serve_tools(seen, out)

    async def _legacy(self, seen: Seen, out: Out) -> None:
        session = seen.headers.get("mcp-session-id")
        if seen.rpc == "initialize":
            session = f"session-{len(self.of('initialize'))}"
            self._sessions.add(session)
            result: JsonObject = {"protocolVersion": LEGACY, "capabilities": {"tools": {}}, "serverInfo": {}}
            await self.answer(seen, out, result, {"Mcp-Session-Id": session} if self.has_sessions else None)
        elif self.has_sessions and session is None:
            await out.json(_error(None, -32000, "no session"), status=400)
        elif self.has_sessions and session not in self._sessions:
            await out.json(_error(None, -32001, "session not found"), status=404)
        elif seen.id is None or not seen.rpc:
            await out.accepted()
        else:
            await self._serve_tools(seen, out)

    async def _serve_tools(self, seen: Seen, out: Out) -> None:
        if seen.rpc == "tools/list":
            cursor = seen.params.get("cursor")
            first = int(cursor) if isinstance(cursor, str) else 0
            listed: JsonObject = {"tools": list(self.tools[first : first + self.page_size])}
            if first + self.page_size < len(self.tools):
                listed["nextCursor"] = str(first + self.page_size)
            await self.answer(seen, out, listed)
        elif seen.rpc == "tools/call" and seen.params.get("name") == "echo":
            text = json.dumps(seen.params.get("arguments"))
            await self.answer(seen, out, {"content": [{"type": "text", "text": text}]})
        else:
            status = 404 if self.era == "modern" else 200
            await out.json(_error(seen.id, -32601, "unknown"), status=status)


def _has_headers(seen: Seen) -> bool:
    arguments = seen.params.get("arguments")
    owner = arguments.get("owner") if isinstance(arguments, dict) else None
    return (
        seen.headers.get("mcp-name") == seen.params.get("name")
        and seen.headers.get("mcp-param-owner") == owner
    )


def _error(request_id: Json, code: int, message: str) -> JsonObject:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}


def _parsed(raw: bytes, number: int) -> Seen | None:
    """The request, when all of it is there."""
    head, end, body = raw.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if len(body) < int(headers.get("content-length", "0")):
        return None
    method, path, _ = first.split(" ")
    return Seen(raw, method, path, headers, body, number)
