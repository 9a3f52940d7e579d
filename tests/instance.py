"""A whole Wicket on loopback for tests: the real application under a real server, and the people around it.

async with Instance.started(tmp_path) as wicket:
    agent = await wicket.agent(services={"fake": upstream.url})
    key = await agent.key()
    answer = await wicket.call(key, "fake__echo", {"text": "hello"})
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.reachable import MODERN_META, AgentUnderTest, Answer, Reachable, now
from wicket.app import Running, running
from wicket.front import Connection
from wicket.runtime.recorder import Limits
from wicket.settings import Settings, load_settings

PATIENT = Limits(wait_s=10.0, fresh_ns=10_000_000_000)
"""Of a recorder on a machine that is busy with other things: it refuses nothing for being slow."""

GRACE_S: Final = 1.0
"""For calls under way when it stops."""

__all__ = ["MODERN_META", "PATIENT", "AgentUnderTest", "Answer", "Instance", "now"]


class Instance(Reachable):
    """A Wicket that runs in this process, with all its parts at hand."""

    def __init__(self, parts: Running, url: str, http: aiohttp.ClientSession) -> None:
        super().__init__(parts.database, parts.keys, url, http)
        self.parts = parts

    @classmethod
    @asynccontextmanager
    async def started(
        cls, directory: Path, *, limits: Limits = PATIENT, **settings: object
    ) -> AsyncIterator["Instance"]:
        """Start on a free port, with generous limits unless `settings` and `limits` say otherwise."""
        wanted = {"rate_burst": 100_000, "upstream_allow_private": True} | settings
        # The port is taken first: browsers say where a page is from, and that has to be what the settings say.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            host, port = listener.getsockname()
            async with (
                running(_settings(directory, {"port": port} | wanted), limits=limits) as parts,
                _serving(parts, listener),
                aiohttp.ClientSession() as http,
            ):
                yield cls(parts, f"http://{host}:{port}", http)


def _settings(directory: Path, wanted: Mapping[str, object]) -> Settings:
    return load_settings(data_dir=directory / "data", **wanted)


@asynccontextmanager
async def _serving(parts: Running, listener: socket.socket) -> AsyncIterator[None]:
    """The front, stopped in the order in which uvicorn does it, but without its pauses."""
    connections: set[Any] = set()
    tasks: set[asyncio.Task[None]] = set()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(parts.front, connections=connections, tasks=tasks), sock=listener
    )
    try:
        yield
    finally:
        server.close()
        for connection in list(connections):
            connection.shutdown()
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=GRACE_S)
            for task in unfinished:
                task.cancel()
