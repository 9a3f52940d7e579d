"""Real MCP servers as upstreams: one that listens on a port of its own, and those that Wicket starts itself."""

import asyncio
import json
import os
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.interop.installed import node, program

EVERYTHING: Final = ("@modelcontextprotocol/server-everything", "dist/index.js")
NOTE: Final = "tomatoes in July"
START_S: Final = 60
_LISTENS = re.compile(rb"listening on port \d+")


@asynccontextmanager
async def everything_over_http() -> AsyncIterator[str]:
    """The address of a server-everything that speaks streamable HTTP."""
    while True:
        port = _free_port()
        process = await asyncio.create_subprocess_exec(
            *node(*EVERYTHING, "streamableHttp"),
            env=os.environ | {"PORT": str(port)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        listens = asyncio.Event()
        reading = asyncio.create_task(_read(process, listens))
        waiting = asyncio.create_task(listens.wait())
        try:
            async with asyncio.timeout(START_S):
                await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if listens.is_set():
                yield f"http://127.0.0.1:{port}/mcp"
                return
        finally:
            waiting.cancel()
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reading


async def _read(process: asyncio.subprocess.Process, listens: asyncio.Event) -> None:
    """To the end of what it says: it ends at once when somebody else has taken its port meanwhile."""
    assert process.stderr is not None
    async for line in process.stderr:
        if _LISTENS.search(line):
            listens.set()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def local_servers(folder: Path) -> Mapping[str, Sequence[str]]:
    """Service -> command line of what is run over stdio, each with something of its own to work on."""
    files, repository = folder / "files", folder / "repository"
    files.mkdir()
    (files / "note.txt").write_text(NOTE, encoding="utf-8")
    _make_repository(repository)
    return {
        "local": node(*EVERYTHING, "stdio"),
        "files": node("@modelcontextprotocol/server-filesystem", "dist/index.js", str(files)),
        "memory": node("@modelcontextprotocol/server-memory", "dist/index.js"),
        "git": [program("mcp-server-git"), "--repository", str(repository)],
        "time": [program("mcp-server-time"), "--local-timezone", "UTC"],
    }


def environment_of(service: str, folder: Path) -> dict[str, str]:
    """What a server over stdio is told beside its command line."""
    return {"MEMORY_FILE_PATH": str(folder / "memory.jsonl")} if service == "memory" else {}


def write_configuration(folder: Path, servers: Mapping[str, Sequence[str]]) -> None:
    """Name the servers over stdio in the configuration file that a Wicket in this folder reads."""
    lines: list[str] = []
    for service, (command, *arguments) in servers.items():
        lines += [
            f"[stdio.{service}]",
            f"command = {json.dumps(command)}",
            f"args = {json.dumps(arguments)}",
            *(f"env.{name} = {json.dumps(v)}" for name, v in environment_of(service, folder).items()),
            "",
        ]
    (folder / "wicket.toml").write_text("\n".join(lines), encoding="utf-8")


def _make_repository(folder: Path) -> None:
    folder.mkdir()
    plain = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false")
    for arguments in (
        ("init", "--quiet", "--initial-branch=main", "--template="),
        ("commit", "--quiet", "--allow-empty", "--message", NOTE),
    ):
        subprocess.run(["git", "-C", str(folder), *plain, *arguments], check=True, capture_output=True)
