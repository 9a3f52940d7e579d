"""A server built on the official SDK, on loopback: both eras, JSON or streams, as SDK users deploy it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


def build_server() -> MCPServer[None]:
    """`add`, `count` (which reports progress) and `fail`."""
    server: MCPServer[None] = MCPServer("sdk")

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool()
    async def count(to: int, ctx: Context) -> str:
        for number in range(to):
            await ctx.report_progress(number, to)
        return "done"

    @server.tool()
    def fail() -> str:
        raise ValueError("as asked")

    return server


@asynccontextmanager
async def sdk_upstream(*, json_response: bool = False, is_legacy: bool = False) -> AsyncIterator[str]:
    """Its URL, while it runs. A legacy one answers `server/discover` as servers did before there was one."""
    app: ASGIApp = build_server().streamable_http_app(json_response=json_response)
    async with on_loopback(_without_discovery(app) if is_legacy else app) as url:
        yield url


@asynccontextmanager
async def on_loopback(app: ASGIApp, *, grace_s: int | None = None) -> AsyncIterator[str]:
    """The MCP address of an SDK server's application, while it runs; `grace_s` is what open streams get at its end."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="critical", lifespan="on", timeout_graceful_shutdown=grace_s
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        await serving


def _without_discovery(app: ASGIApp) -> ASGIApp:
    async def legacy(scope: Scope, receive: Receive, send: Send) -> None:
        is_modern = any(
            name == b"mcp-protocol-version" and value == b"2026-07-28"
            for name, value in scope.get("headers", ())
        )
        if is_modern:
            await PlainTextResponse("Bad Request: unsupported protocol version", 400)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return legacy
