"""Real servers in processes of their own, on a database that the test has open as well.

async with several(location, 3) as servers, outside(location, servers[0].url) as wicket:
    agent = await wicket.agent(services={"fake": upstream.url})
    await servers[0].kill()
    await servers[0].start()
"""

import asyncio
import os
import re
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Self

import aiohttp
import pytest

from tests.databases import Location
from tests.reachable import Reachable
from wicket.core.keys import ServerKeys

SLOW_ON_POSTGRES = pytest.mark.parametrize(
    "database_kind", ["sqlite", pytest.param("postgresql", marks=(pytest.mark.postgres, pytest.mark.slow))]
)
"""For what takes seconds: on SQLite in every run, on PostgreSQL in the long one."""
REPOSITORY = Path(__file__).parents[2]
SECRET = "the-same-on-every-machine-of-this-test"
WHOLE = "wicket.app:create"
START_S = 60
STOP_S = 20
LINES_KEPT = 40


class Server:
    """One server on a free port: a process, or one with workers below it."""

    ADDRESS = re.compile(r"running on (http://[\d.]+:\d+)")
    STARTED = "Application startup complete"

    def __init__(
        self,
        location: Location,
        *,
        workers: int = 1,
        factory: str = WHOLE,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._location = location
        self._workers = workers
        self._factory = factory
        self._settings = dict(settings or {})
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.url = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Whatever happened, nothing of it is left behind."""
        await self.kill()

    async def start(self) -> None:
        """Until every worker serves."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._command(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            stdin=asyncio.subprocess.DEVNULL,
            cwd=self._location.sqlite_path.parent,
            env=self._environment(),
            start_new_session=True,
        )
        serving = asyncio.Event()
        self._reading = asyncio.create_task(self._read(self._process, serving))
        waiting = asyncio.create_task(serving.wait())
        async with asyncio.timeout(START_S):
            await asyncio.wait({waiting, self._reading}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert serving.is_set(), "\n".join(self._lines)

    def _command(self) -> Sequence[str]:
        """What Python is to run; it says `ADDRESS` once, and `STARTED` for each worker."""
        return (
            *("-m", "uvicorn", "--factory", self._factory, "--host", "127.0.0.1", "--port", "0"),
            *("--http", "wicket.front:Served", "--workers", str(self._workers)),
            *("--no-access-log", "--timeout-graceful-shutdown", "5"),
        )

    async def kill(self) -> None:
        """The power cord: no process of the server runs another instruction."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """As an operator stops it; killed when it does not end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._end(signal.SIGTERM)
                return
        await self.kill()
        raise AssertionError("the server did not end:\n" + "\n".join(self._lines))

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._reading is None:
            return
        with suppress(ProcessLookupError):
            if number is signal.SIGTERM:
                self._process.send_signal(number)
            else:
                os.killpg(self._process.pid, number)
        await self._process.wait()
        await self._reading  # the pipe is closed once the last worker is gone
        self._process = self._reading = None

    async def _read(self, process: asyncio.subprocess.Process, serving: asyncio.Event) -> None:
        assert process.stdout is not None
        started = 0
        async for raw in process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            self._lines.append(line)
            started += self.STARTED in line
            if (found := self.ADDRESS.search(line)) is not None:
                self.url = found[1]
            if self.url and started == self._workers:
                serving.set()

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WICKET_")}
        wanted = {
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)]),
            "PYTHONUNBUFFERED": "1",
            "WICKET_DATA_DIR": str(self._location.sqlite_path.parent),
            "WICKET_SECRET_KEY": SECRET,
            "WICKET_WORKERS": str(self._workers),
            "WICKET_RATE_BURST": "1000000",
            "WICKET_RATE_PER_SECOND": "1000000",
            "WICKET_UPSTREAM_ALLOW_PRIVATE": "true",
        }
        if self._location.url is not None:
            wanted["WICKET_DATABASE_URL"] = self._location.url
        return inherited | wanted | self._settings


@asynccontextmanager
async def several(
    location: Location, count: int = 1, *, workers: int = 1, factory: str = WHOLE
) -> AsyncIterator[Sequence[Server]]:
    """So many servers on one database, each on a port of its own; stopped in the end."""
    servers = [Server(location, workers=workers, factory=factory) for _ in range(count)]
    async with AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server)
        await asyncio.gather(*(server.start() for server in servers))
        yield servers
        await asyncio.gather(*(server.stop() for server in servers))


@asynccontextmanager
async def outside(location: Location, url: str, *, keep_alive: bool = True) -> AsyncIterator[Reachable]:
    """The people around the servers at `location`, who change things from this process.

    Without `keep_alive` every call is a connection of its own, which any worker may accept.
    """
    database = await location.open()
    try:
        connector = aiohttp.TCPConnector(limit=0, force_close=not keep_alive)
        async with aiohttp.ClientSession(connector=connector) as http:
            yield Reachable(database, ServerKeys((SECRET.encode(),)), url, http)
    finally:
        await database.close()


def through(wicket: Reachable, server: Server) -> Reachable:
    """The same people, who talk to another server of the same database."""
    return Reachable(wicket.database, wicket.server_keys, server.url, wicket.http)
