"""The servers that are measured, each a tree of processes of its own, and what they need around them."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.policies import ALLOWED_TOOL, SERVICE, policies
from tests.bench.upstream import TOKEN, TOOLS_COUNT
from tests.databases import Location
from tests.journeys.servers import SECRET, outside
from tests.reachable import AgentUnderTest, Reachable
from wicket.core.keys import make_key
from wicket.core.model import AuthType, JsonObject, Tier

REPOSITORY = Path(__file__).parents[2]
START_S = 30
LIST_SERVICES = tuple(f"list{number}" for number in range(10))
NGINX_WORKERS = 1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Subject:
    """A server that takes calls."""

    name: str
    port: int
    bearer: str
    pid: int
    prefix: str = f"{SERVICE}__"
    list_bearer: str = ""

    def cpu_s(self) -> float:
        """What the whole tree of processes has used so far."""
        return sum(_ticks(pid) for pid in _tree(self.pid)) / _TICKS_PER_S


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _tree(int(child))


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@asynccontextmanager
async def process(
    arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """A process, ended with everything it has started."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WICKET_")}
    paths = {"PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])}
    started = await asyncio.create_subprocess_exec(
        *arguments, cwd=cwd, stdout=PIPE, env=inherited | paths | dict(environment or {})
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.send_signal(signal.SIGTERM)
        await started.wait()


async def first_line(started: Process) -> str:
    assert started.stdout is not None
    async with asyncio.timeout(START_S):
        return (await started.stdout.readline()).decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def request(method: str, params: JsonObject) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, separators=(",", ":"))


def call_body(name: str) -> str:
    """A call of about 200 bytes."""
    arguments: JsonObject = {
        "query": "what was asked for",
        "owner": "somebody",
        "limit": 20,
        "verbose": False,
    }
    return request("tools/call", {"name": name, "arguments": arguments})


async def listening(port: int) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0)
            else:
                writer.close()
                return


@asynccontextmanager
async def upstream(directory: Path) -> AsyncIterator[int]:
    """The port of the upstream."""
    async with process([sys.executable, "-m", "tests.bench.upstream"], cwd=directory) as started:
        yield int(await first_line(started))


def find_nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@asynccontextmanager
async def nginx(program: str, directory: Path, upstream_port: int) -> AsyncIterator[Subject]:
    port = free_port()
    values = {
        "workers": NGINX_WORKERS, "directory": directory, "upstream": upstream_port, "port": port, "token": TOKEN,
    }  # fmt: skip
    text = Path(__file__).with_name("nginx.conf").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    config = directory / "nginx.conf"
    config.write_text(text)
    async with process([program, "-c", str(config), "-e", "stderr"], cwd=directory) as started:
        await listening(port)
        yield Subject("nginx", port, TOKEN, started.pid, prefix="")


@asynccontextmanager
async def naive(directory: Path, upstream_port: int) -> AsyncIterator[Subject]:
    port, key = free_port(), make_key(os.urandom(24))
    url = f"http://127.0.0.1:{upstream_port}/mcp"
    config = {"key": key, "token": TOKEN, "upstream": url, "database": str(directory / "naive.db")}
    environment = {"NAIVE": json.dumps(config), "PORT": str(port)}
    arguments = [sys.executable, "-m", "tests.bench.naive"]
    async with process(arguments, cwd=directory, environment=environment) as started:
        await listening(port)
        yield Subject("naive", port, key, started.pid)


@asynccontextmanager
async def wicket(directory: Path, upstream_port: int) -> AsyncIterator[Subject]:
    """`wicket serve` as it is installed, with one agent for calls and one for lists."""
    data = directory / "data"
    environment = {
        "WICKET_SECRET_KEY": SECRET,
        "WICKET_RATE_BURST": "1000000",
        "WICKET_RATE_PER_SECOND": "1000000",
        "WICKET_UPSTREAM_ALLOW_PRIVATE": "true",
    }
    arguments = [
        sys.executable,
        "-m",
        "wicket.cli",
        "serve",
        "--data-dir",
        str(data),
        "--port",
        "0",
        "--json",
    ]
    async with process(arguments, cwd=directory, environment=environment) as started:
        url = str(json.loads(await first_line(started))["url"])
        async with outside(Location(data / "wicket.db"), url) as people:
            key = await calling_agent(people, f"http://127.0.0.1:{upstream_port}")
            list_key = await listing_agent(people, f"http://127.0.0.1:{upstream_port}")
        yield Subject("wicket", int(url.rpartition(":")[2]), key, started.pid, list_bearer=list_key)


async def calling_agent(people: Reachable, upstream_url: str) -> str:
    """A key of an agent with fifty policies, whose owner has pasted a token for each service."""
    services = {SERVICE: f"{upstream_url}/mcp", "stream": f"{upstream_url}/stream"}
    agent = await people.agent("bench", services=services, auth=AuthType.BEARER, tiers={})
    key = await agent.key()
    for service in services:
        await agent.connect(service, TOKEN)
    await reviewed(agent, key, dict.fromkeys(services, (ALLOWED_TOOL,)))
    await agent.review(SERVICE, "erase", Tier.DESTRUCTIVE)
    for policy in policies():
        await agent.policy(**policy)
    await agent.policy(service="stream")
    return key


async def listing_agent(people: Reachable, upstream_url: str) -> str:
    """A key of an agent with ten services of thirty tools each."""
    services = {name: f"{upstream_url}/tools/{name}" for name in LIST_SERVICES}
    agent = await people.agent("lists", services=services, auth=AuthType.BEARER, tiers={})
    key = await agent.key()
    for service in services:
        await agent.connect(service, TOKEN)
        await agent.policy(service=service)
    names = {service: [f"{service}_{number}" for number in range(TOOLS_COUNT)] for service in services}
    await reviewed(agent, key, names)
    return key


async def reviewed(agent: AgentUnderTest, key: str, tools: Mapping[str, Sequence[str]]) -> None:
    """A list is fetched, so that the tools are pinned as they are; then the owner says that they read."""
    await agent.wicket.rpc(key, "tools/list")
    for service, names in tools.items():
        for name in names:
            await agent.review(service, name, Tier.READ)
