"""A page of a few lines on loopback, with a policy as strict as ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

STRICT = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"


@dataclass(frozen=True)
class Page:
    """What is at `/`, `/a.js` and `/a.css`; `/fails` answers 503, and there is nothing else."""

    content: str
    script: str = ""
    style: str = ""
    policy: str | None = STRICT


@asynccontextmanager
async def served(page: Page) -> AsyncIterator[str]:
    """Its origin."""
    application = web.Application()
    headers = {} if page.policy is None else {"Content-Security-Policy": page.policy}

    def route(path: str, text: str, kind: str, status: int = 200) -> None:
        async def answer(_request: web.Request) -> web.Response:
            return web.Response(text=text, content_type=kind, headers=headers, status=status)

        application.router.add_get(path, answer)

    route("/", page.content, "text/html")
    route("/a.js", page.script, "text/javascript")
    route("/a.css", page.style, "text/css")
    route("/fails", "", "text/plain", status=503)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
