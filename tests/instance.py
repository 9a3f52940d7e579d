"""A whole Wicket on loopback for tests: the real application under a real server, and the people around it.

async with Instance.started(tmp_path) as wicket:
    agent = await wicket.agent(services={"fake": upstream.url})
    key = await agent.key()
    answer = await wicket.call(key, "fake__echo", {"text": "hello"})
"""

import asyncio
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
        async with (
            running(_settings(directory, wanted), limits=limits) as parts,
            _serving(parts) as url,
            aiohttp.ClientSession() as http,
        ):
            yield cls(parts, url, http)


def _settings(directory: Path, wanted: Mapping[str, object]) -> Settings:
    return load_settings(data_dir=directory / "data", port=0, **wanted)


@asynccontextmanager
async def _serving(parts: Running) -> AsyncIterator[str]:
    """The front on a free port, stopped in the order in which uvicorn does it, but without its pauses."""
    connections: set[Any] = set()
    tasks: set[asyncio.Task[None]] = set()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(parts.front, connections=connections, tasks=tasks), "127.0.0.1", 0
    )
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()
        for connection in list(connections):
            connection.shutdown()
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=GRACE_S)
            for task in unfinished:
                task.cancel()
