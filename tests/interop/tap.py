"""A wire between a client and Wicket that shows which requests are open, and what came back of each."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import web

HOP_BY_HOP: Final = {"connection", "content-length", "host", "transfer-encoding"}


@dataclass
class Passed:
    """A request and its answer, as far as it has come."""

    method: str
    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Tap:
    url: str = ""
    passed: list[Passed] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def find(self, method: str, said: bytes) -> Passed:
        """The first request of a method, once its answer has come so far."""
        while True:
            for one in self.passed:
                if one.method == method and said in one.body:
                    return one
            self._news.clear()
            await self._news.wait()

    def note(self, one: Passed, chunk: bytes) -> None:
        one.body += chunk
        self._news.set()


@asynccontextmanager
async def tap(target: str) -> AsyncIterator[Tap]:
    """The address in front of `target`, while it lasts."""
    told = Tap()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            one = Passed(json.loads(body)["method"] if body else request.method)
            told.passed.append(one)
            sent = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
            try:
                async with http.request(request.method, target, headers=sent, data=body) as answer:
                    one.status = answer.status
                    response = web.StreamResponse(status=answer.status)
                    response.headers["Content-Type"] = answer.headers.get("Content-Type", "")
                    await response.prepare(request)
                    async for chunk in answer.content.iter_any():
                        told.note(one, chunk)
                        await response.write(chunk)
                    return response
            finally:
                one.has_ended.set()

        app = web.Application()
        app.router.add_route("*", "/mcp", pass_on)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            told.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
            yield told
        finally:
            await runner.cleanup()
