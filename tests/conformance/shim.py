"""What the suite cannot do: send the member's key and, behind the aggregator, names with the service's prefix."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

LISTS = {"tools/list": "tools", "prompts/list": "prompts"}
NAMED = {"tools/call", "prompts/get", "completion/complete"}
UNTOUCHED = {"authorization", "connection", "content-length", "transfer-encoding"}


@asynccontextmanager
async def shim(url: str, key: str, *, prefix: str = "") -> AsyncIterator[str]:
    """The address of a server that passes everything on to `url`, as it came but for key and prefix."""
    async with aiohttp.ClientSession(
        auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
    ) as http:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            body, method = with_prefix(await request.read(), prefix)
            headers = request.headers.copy()
            if prefix and "Mcp-Name" in headers and method in NAMED:
                headers["Mcp-Name"] = prefix + headers["Mcp-Name"]
            sent = [(name, value) for name, value in headers.items() if name.lower() not in UNTOUCHED]
            sent.append(("Authorization", f"Bearer {key}"))
            async with http.request(request.method, url, headers=sent, data=body) as answer:
                is_list = bool(prefix) and method in LISTS
                response = web.StreamResponse(status=answer.status)
                response.headers.extend(
                    {name: value for name, value in answer.headers.items() if name.lower() not in UNTOUCHED}
                )
                await response.prepare(request)
                async for chunk in _once(answer, prefix) if is_list else answer.content.iter_any():
                    await response.write(chunk)
                return response

        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/mcp", pass_on)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
        finally:
            await runner.cleanup()


def with_prefix(body: bytes, prefix: str) -> tuple[bytes, str]:
    """The message with the prefix before the name that it is about, and its method."""
    try:
        message = json.loads(body)
        method = str(message["method"])
    except (ValueError, KeyError, TypeError):
        return body, ""
    params = message.get("params")
    named: Any = params.get("ref") if method == "completion/complete" else params
    if prefix and method in NAMED and "name" in (named or {}):
        named["name"] = prefix + named["name"]
        return json.dumps(message).encode(), method
    return body, method


async def _once(answer: aiohttp.ClientResponse, prefix: str) -> AsyncIterator[bytes]:
    body = await answer.read()
    try:
        message = json.loads(body)
        listed = next(message["result"][key] for key in LISTS.values() if key in message["result"])
    except (ValueError, KeyError, TypeError, StopIteration):
        yield body
        return
    for one in listed:
        one["name"] = one["name"].removeprefix(prefix)
    yield json.dumps(message).encode()
