"""A real HTTP server on loopback that takes what is posted to it, and answers as a test wants."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Posted:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came in, and which statuses the next answers have (200 when none is planned)."""

    url: str = ""
    posted: list[Posted] = field(default_factory=list)
    statuses: deque[int] = field(default_factory=deque)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    @asynccontextmanager
    async def started(cls, tls: ssl.SSLContext | None = None) -> AsyncIterator["Receiver"]:
        receiver = cls()
        application = web.Application()
        application.router.add_post("/{path:.*}", receiver.take)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        try:
            yield receiver
        finally:
            await runner.cleanup()

    async def take(self, request: web.Request) -> web.Response:
        status = self.statuses.popleft() if self.statuses else 200
        body = await request.read()
        self.posted.append(Posted(request.path, {k.lower(): v for k, v in request.headers.items()}, body))
        self._came.set()
        return web.Response(status=status, text="{}")

    async def until(self, is_there: Callable[[list[Posted]], bool]) -> None:
        """Wait until what was posted satisfies."""
        async with asyncio.timeout(20):
            while not is_there(self.posted):
                self._came.clear()
                await self._came.wait()
