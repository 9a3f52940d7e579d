"""A fast MCP server on loopback, for measurements alone: `python -m tests.bench.upstream` prints its port.

It speaks MCP 2026-07-28 without checking it. A call is answered with the same 500 bytes but for the id, on
`/stream` behind events that come one by one; `/tools/<prefix>` lists thirty tools. Without the member's token the
answer is 401, so whatever stands in front has to open it.
"""

import asyncio
import json
import re
import sys
from typing import Final, cast

import uvloop

from tests.bench.policies import TOOLS
from wicket.core.model import JsonObject

TOKEN: Final = "bench-token-of-the-member"
TOOLS_COUNT: Final = 30
ANSWER_BYTES: Final = 500
EVENTS: Final = 400
EVENT_EVERY_S: Final = 0.005

_LENGTH = re.compile(rb"content-length: *(\d+)")
_ID = re.compile(rb'"id": ?(\d+|"[^"]*")')
_BEARER = f"authorization: bearer {TOKEN}\r\n".encode()
_JSON_HEAD = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_PROLOGUE = b'{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[{"type":"text","text":"'
_EPILOGUE = b'"}]}}'


def answer(request_id: bytes) -> bytes:
    prologue = _PROLOGUE % request_id
    return prologue + b"x" * (ANSWER_BYTES - len(prologue) - len(_EPILOGUE)) + _EPILOGUE


def event() -> bytes:
    params: JsonObject = {
        "level": "info",
        "logger": "bench",
        "data": "what happened, in so many words: " + "y" * 200,
    }
    message = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
    return f"event: message\ndata: {message}\n\n".encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


EVENT_CHUNK: Final = chunk(event())


def tools(prefix: str) -> list[JsonObject]:
    """Definitions of the size that real servers list, about 900 bytes each."""
    return [
        {
            "name": f"{prefix}_{number}",
            "description": f"Reads the {number}th kind of thing. " + "It says at some length what for. " * 10,
            "inputSchema": {
                "type": "object",
                "properties": {
                    f"argument_{n}": {"type": "string", "description": "One of the arguments"}
                    for n in range(6)
                },
                "required": ["argument_0"],
            },
            "annotations": {"readOnlyHint": True},
        }
        for number in range(TOOLS_COUNT)
    ]


def other(path: str, body: bytes) -> JsonObject:
    """The result of what is no call."""
    method = json.loads(body)["method"]
    if method == "server/discover":
        return {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
    if path.startswith("/tools/"):
        return {"resultType": "complete", "tools": [*tools(path.removeprefix("/tools/"))]}
    return {
        "resultType": "complete",
        "tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS],
    }


class Upstream(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self) -> None:
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by their class

    def data_received(self, data: bytes) -> None:
        self._buffer = data = self._buffer + data if self._buffer else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = data[: end + 2].lower()
        length = _LENGTH.search(head)
        body = data[end + 4 :]
        if length is None or len(body) < int(length[1]):
            return
        self._buffer = b""
        self._respond(head, body)

    def _respond(self, head: bytes, body: bytes) -> None:
        request_id = _ID.search(body)
        if _BEARER not in head or request_id is None:
            self._transport.write(_JSON_HEAD % (401, 2) + b"{}")
            return
        if b'"tools/call"' not in body:
            path = head.split(b" ", 2)[1].decode()
            result = json.dumps(other(path, body)).encode()
            said = b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (request_id[1], result)
            self._transport.write(_JSON_HEAD % (200, len(said)) + said)
        elif head.startswith(b"post /stream"):
            self._transport.write(_STREAM_HEAD)
            self._stream(request_id[1], EVENTS)
        else:
            self._transport.write(_JSON_HEAD % (200, ANSWER_BYTES) + answer(request_id[1]))

    def _stream(self, request_id: bytes, left: int) -> None:
        if self._transport.is_closing():
            return
        if left:
            self._transport.write(EVENT_CHUNK)
            self._loop.call_later(EVENT_EVERY_S, self._stream, request_id, left - 1)
            return
        last = b"event: message\ndata: " + answer(request_id) + b"\n\n"
        self._transport.write(chunk(last) + b"0\r\n\r\n")


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
