"""What a client is told to do, and what its user gets to see; and the clients that are libraries."""

import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.interop.installed import NODE, node, python_of_clients
from wicket.core.model import JsonObject

HERE: Final = Path(__file__).parent
RUN_S_MAX: Final = 120
DENIAL_META: Final = "wicket/denial"


@dataclass(frozen=True)
class Call:
    tool: str
    arguments: JsonObject


@dataclass(frozen=True)
class Heard:
    """What came back of a call."""

    text: str
    is_error: bool
    data: JsonObject | None = None
    """Of a denial, where the client passes it on."""


@dataclass(frozen=True)
class Seen:
    """The tools that a client was shown, and what it heard, call by call."""

    tools: Sequence[str]
    heard: Sequence[Heard]


Drive: TypeAlias = Callable[[str, str, Sequence[Call]], Awaitable[Seen]]
"""(address, member key, calls): list, then make the calls in order."""


async def ran(command: Sequence[str], *, home: Path | None = None, **settings: str) -> tuple[int, str, str]:
    """Run a client that is a program, with nothing of ours around it: exit code, output, messages."""
    with tempfile.TemporaryDirectory(prefix="interop-") as fresh:
        folder = str(home or fresh)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": folder, "NO_PROXY": "*"} | settings,
            cwd=folder,
        )
        try:
            async with asyncio.timeout(RUN_S_MAX):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return process.returncode or 0, out.decode(), err.decode()


def python_sdk(mode: str) -> Drive:
    """The official Python SDK, in this process."""

    async def drive(url: str, key: str, calls: Sequence[Call]) -> Seen:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=RUN_S_MAX) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            return await _spoken(client, calls)

    return drive


async def mcp_remote(url: str, key: str, calls: Sequence[Call]) -> Seen:
    """The bridge, started as a server over stdio by the Python SDK."""
    arguments = [
        *node("mcp-remote", "dist/proxy.js")[1:],
        url,
        "--silent",
        "--header",
        "Authorization:${AUTH}",
    ]
    with tempfile.TemporaryDirectory(prefix="interop-") as home:
        started = StdioServerParameters(
            command=str(NODE), args=arguments, env={"HOME": home, "AUTH": f"Bearer {key}"}
        )
        async with Client(started) as client:
            return await _spoken(client, calls)


async def _spoken(client: Client, calls: Sequence[Call]) -> Seen:
    tools = [tool.name for tool in (await client.list_tools()).tools]
    return Seen(tools, [await _heard(client, call) for call in calls])


async def _heard(client: Client, call: Call) -> Heard:
    try:
        result = await client.call_tool(call.tool, call.arguments)
    except MCPError as refusal:
        return Heard(refusal.message, is_error=True, data=refusal.error.data)
    text = "".join(getattr(part, "text", "") for part in result.content)
    return Heard(text, is_error=bool(result.is_error), data=(result.meta or {}).get(DENIAL_META))


def typescript_sdk(sdk: str, mode: object = None) -> Drive:
    """One of the official TypeScript SDKs, in a Node of its own."""

    async def drive(url: str, key: str, calls: Sequence[Call]) -> Seen:
        return await _scripted([str(NODE), str(HERE / "typescript.mjs")], url, key, calls, sdk=sdk, mode=mode)

    return drive


async def fastmcp(url: str, key: str, calls: Sequence[Call]) -> Seen:
    """fastmcp, in its own environment."""
    return await _scripted([python_of_clients(), str(HERE / "on_fastmcp.py")], url, key, calls)


async def _scripted(command: list[str], url: str, key: str, calls: Sequence[Call], **more: object) -> Seen:
    told = {"url": url, "key": key, "calls": [[call.tool, call.arguments] for call in calls], **more}
    code, out, err = await ran([*command, json.dumps(told)])
    assert code == 0, err
    seen: Any = json.loads(out)
    return Seen(
        seen["tools"],
        [Heard(one["text"], is_error=one["isError"], data=one["data"]) for one in seen["heard"]],
    )
