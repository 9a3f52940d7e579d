"""A TCP relay that cuts the connection after exactly so many bytes, one way or the other."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit


class CuttingRelay:
    """Passes everything on until it is armed; the cut is made on both sides, and disarms it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._to = (parts.hostname, parts.port)
        self._path = parts.path
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._left: dict[str, int | None] = {"up": None, "down": None}
        self._close: Callable[[asyncio.StreamWriter], None] = _reset
        self.passed = {"up": 0, "down": 0}
        self.cuts = 0

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self._path}"

    def arm(self, *, up: int | None = None, down: int | None = None, gently: bool = False) -> None:
        """Cut once so many bytes have gone up or down from now on: with a reset, or `gently` in good order."""
        self._left = {"up": up, "down": down}
        self._close = asyncio.StreamWriter.close if gently else _reset
        self.passed = {"up": 0, "down": 0}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self.idle()

    async def idle(self) -> None:
        """Until no connection is open."""
        await asyncio.gather(*self._tasks)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        self._writers |= {writer, far_writer}
        ways = [
            asyncio.create_task(self._pump("up", reader, far_writer)),
            asyncio.create_task(self._pump("down", far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers -= {writer, far_writer}
            for end in (writer, far_writer):
                self._close(end)

    async def _pump(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            data = await reader.read(65_536)
            if not data:
                return
            left = self._left[way]
            if left is not None:
                data = data[:left]
                self._left[way] = left - len(data)
            self.passed[way] += len(data)
            writer.write(data)
            await writer.drain()
            if self._left[way] == 0:
                self._left = {"up": None, "down": None}
                self.cuts += 1
                return


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
