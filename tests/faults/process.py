"""`wicket serve` in a process of its own, as an operator runs it, and what `/proc` says of it."""

import asyncio
import json
import os
import resource
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.subjects import first_line, process
from tests.databases import Location
from tests.journeys.servers import SECRET, outside
from tests.reachable import Reachable

ENDED_S = 60
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Served:
    """A server, and the people around it."""

    process: Process
    wicket: Reachable
    data_dir: Path

    @property
    def url(self) -> str:
        return self.wicket.url

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(ENDED_S):
            return await self.process.wait()

    async def stopped(self) -> None:
        """Until a stop has come over the whole process."""
        async with asyncio.timeout(ENDED_S):
            while self._fields()[0] != "T":
                await asyncio.sleep(0)

    def cpu_s(self) -> float:
        """What it has used so far."""
        fields = self._fields()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def rss_kib(self) -> int:
        """What it has in memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("VmRSS:"))
        return int(line.split()[1])

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def limit_descriptors(self, most: int | None) -> None:
        """From now on it may open no more; None: as many as at its start."""
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (hard if most is None else most, hard))

    def _fields(self) -> list[str]:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()


@asynccontextmanager
async def served(directory: Path, settings: Mapping[str, str] | None = None) -> AsyncIterator[Served]:
    """On a free port and an empty SQLite file; stopped in the end where it still runs."""
    data = directory / "data"
    environment = {
        "WICKET_SECRET_KEY": SECRET,
        "WICKET_RATE_BURST": "1000000",
        "WICKET_RATE_PER_SECOND": "1000000",
        "WICKET_UPSTREAM_ALLOW_PRIVATE": "true",
        **(settings or {}),
    }
    command = [
        sys.executable,
        *("-m", "wicket.cli", "serve", "--data-dir", str(data), "--port", "0", "--json"),
    ]
    async with process(command, cwd=directory, environment=environment) as started:
        try:
            url = str(json.loads(await first_line(started))["url"])
            async with outside(Location(data / "wicket.db"), url) as wicket:
                yield Served(started, wicket, data)
        finally:
            if started.returncode is None:
                started.send_signal(signal.SIGCONT)
