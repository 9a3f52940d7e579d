"""Clients that behave as no library does: they send parts of a request, read nothing, and leave when they like."""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from tests.reachable import MODERN_META
from wicket.core.model import Json, JsonObject

SMALL_BUFFER_BYTES = 4096


def request_bytes(
    url: str,
    key: str,
    arguments: JsonObject,
    *,
    tool: str = "fake__echo",
    modern: bool = False,
    request_id: Json = 1,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A whole `tools/call` as it goes over the wire."""
    params: JsonObject = {"name": tool, "arguments": arguments}
    sent = {
        "Host": urlsplit(url).netloc,
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    if modern:
        params["_meta"] = MODERN_META
        sent |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool}
    body = json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}).encode()
    sent |= {"Content-Length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return f"POST /mcp HTTP/1.1\r\n{lines}\r\n".encode() + body


@dataclass
class RawClient:
    """One connection, with as little room for what is not read as the system allows."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connected(
        cls, url: str, *, buffer_bytes: int = SMALL_BUFFER_BYTES, source: str = "127.0.0.1"
    ) -> Self:
        """`source` is any address of loopback: what a server counts by address, it counts by this one."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        plain.bind((source, 0))
        plain.setblocking(False)  # noqa: FBT003 - as the system call has it
        await asyncio.get_running_loop().sock_connect(plain, (parts.hostname, parts.port))
        reader, writer = await asyncio.open_connection(sock=plain, limit=buffer_bytes)
        return cls(reader, writer)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def stop_reading(self) -> None:
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def read_until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(30):
            return await self.reader.readuntil(mark)

    async def left(self) -> bytes:
        """Whatever comes until the other side hangs up."""
        read = b""
        async with asyncio.timeout(30):
            try:
                while piece := await self.reader.read(65_536):
                    read += piece
            except ConnectionError:
                return read
        return read

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()
