"""`make bench-dashboard`: what somebody waits for who opens the log of a million entries, and lets it run.

It is measured in Chromium, as it draws. The log is made below `build/` and kept there, for `--again`.
"""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from statistics import median
from time import perf_counter
from typing import Final

import aiohttp
from playwright.async_api import Page

from tests.bench.big_log import World, make_world
from tests.bench.filling import SEED, fill
from tests.bench.sections import DASHBOARD, write_section
from tests.bench.writing import append_steadily
from tests.browser.installed import ROOT
from tests.browser.visits import Chromium, Visit, launched
from tests.databases import Location
from tests.journeys.servers import Server
from wicket.runtime.rollups import Rollups
from wicket.store import sign_in

LOG: Final = Location(ROOT / "build" / "dashboard" / "wicket.db")
ROWS: Final = 1_000_000
TIMES: Final = 15
SCROLLED_S: Final = 8.0
WHEEL_EVERY_S: Final = 0.016
WHEEL_PX: Final = 240
LIVE_S: Final = 15.0
LIVE_PER_S: Final = 200
LONG_MS: Final = 50
PATH: Final = "/audit"
SHOWN: Final = "document.querySelectorAll('main tbody tr').length >= 10"
FIRST_ROWS: Final = f"() => ({SHOWN}) && performance.now()"
MAIN_SCRIPT: Final = """() => {
    const scripts = [...document.querySelectorAll('head script[type="module"][src]')].map((one) => one.src);
    const loaded = performance.getEntriesByType("resource").filter((one) => scripts.includes(one.name));
    return loaded.reduce((sum, one) => sum + one.encodedBodySize, 0);
}"""
ALL_SCRIPTS: Final = """() => performance.getEntriesByType("resource")
    .filter((one) => new URL(one.name).pathname.endsWith(".js"))
    .reduce((sum, one) => sum + one.encodedBodySize, 0)"""
COUNT_FRAMES: Final = """() => {
    const frames = {gaps: [], long: []};
    window.framesOfBench = frames;
    new PerformanceObserver((list) => frames.long.push(...list.getEntries().map((one) => one.duration)))
        .observe({type: "long-animation-frame"});
    let last = performance.now();
    const tick = (now) => { frames.gaps.push(now - last); last = now; requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
}"""
INTRODUCTION: Final = f"""{DASHBOARD}

Written by `make bench-dashboard`: Chromium without a window on the machine of the server, `wicket serve` on SQLite,
signed in as the owner of 190 agents. *First rows* is from the navigation's start to the frame that shows them, medians
of {TIMES}; *new* is a browser that has nothing of Wicket yet. A frame is *long* from {LONG_MS} ms on.
"""
GOALS: Final = {
    "first rows of the log, new": "500 ms",
    "first rows of the log, again": "500 ms",
    "main script, compressed": "250 kB",
}


@dataclass
class Bench:
    """The log, whoever looks at it, and what was found."""

    location: Location
    world: World
    url: str
    cookie: str
    chromium: Chromium
    figures: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def standing(location: Location) -> AsyncIterator[Bench]:
    """A server on the log, its owner's session, and a browser."""
    world = make_world(SEED)
    async with Server(location) as server, launched() as chromium:
        await server.start()
        cookie = await _signed_in(location, world, server.url)
        yield Bench(location, world, server.url, cookie, chromium)
        await server.stop()


async def _signed_in(location: Location, world: World, url: str) -> str:
    database = await location.open()
    email = world.accounts[world.owner_id]
    link = await database.change(sign_in.make_link, email=email, now=datetime.now(UTC), agents=())
    await database.close()
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/api/auth/verify", json={"token": link.token}) as answer,
    ):
        if answer.status != 200:
            raise SystemExit(f"signing in: {answer.status} {await answer.text()}")
        (cookie,) = answer.cookies.values()
        return f"{cookie.key}={cookie.value}"


async def measure_first_rows(bench: Bench) -> None:
    new, again, main_bytes, all_bytes = [], [], 0, 0
    for _ in range(TIMES):
        async with bench.chromium.visit(bench.url, cookie=bench.cookie) as visit:
            new.append(await _first_rows_ms(visit))
            main_bytes = await visit.page.evaluate(MAIN_SCRIPT)
            all_bytes = await visit.page.evaluate(ALL_SCRIPTS)
            again.append(await _first_rows_ms(visit))
    for name, taken in (("new", new), ("again", again)):
        bench.figures[f"first rows of the log, {name}"] = f"{median(taken):.0f} ms"
        bench.figures[f"first rows of the log, {name}, the slowest"] = f"{max(taken):.0f} ms"
    bench.figures["main script, compressed"] = f"{main_bytes / 1_000:.0f} kB"
    bench.figures["all scripts that the page loads, compressed"] = f"{all_bytes / 1_000:.0f} kB"


async def _first_rows_ms(visit: Visit) -> float:
    await visit.page.goto(visit.origin + PATH, wait_until="commit")
    shown = await visit.page.wait_for_function(FIRST_ROWS)
    return float(await shown.json_value())


async def measure_scrolling(bench: Bench) -> None:
    async with bench.chromium.visit(bench.url, cookie=bench.cookie) as visit:
        await visit.open(PATH)
        await visit.page.locator("main tbody").hover()
        await _note_frames(bench, "scrolling", visit.page, partial(_scroll, visit.page))


async def _scroll(page: Page) -> None:
    began = perf_counter()
    while perf_counter() - began < SCROLLED_S:
        await page.mouse.wheel(0, WHEEL_PX)
        await asyncio.sleep(WHEEL_EVERY_S)


async def measure_live_tail(bench: Bench) -> None:
    async with bench.chromium.visit(bench.url, cookie=bench.cookie) as visit:
        await visit.open(PATH)
        await visit.page.get_by_role("switch", name="Live").check()
        appending = partial(append_steadily, bench.location, bench.world, per_s=LIVE_PER_S, seconds=LIVE_S)
        await _note_frames(bench, f"live, {LIVE_PER_S} entries a second", visit.page, appending)
        heap = await visit.page.evaluate("() => performance.memory.usedJSHeapSize")
        bench.figures["memory of the page's script after that"] = f"{heap / 1e6:.0f} MB"


async def _note_frames(bench: Bench, name: str, page: Page, act: Callable[[], Awaitable[object]]) -> None:
    await page.evaluate(COUNT_FRAMES)
    await act()
    frames = await page.evaluate("() => window.framesOfBench")
    gaps, long = sorted(frames["gaps"]), frames["long"]
    bench.figures[f"{name}: frames a second"] = f"{1_000 * len(gaps) / sum(gaps):.0f}"
    bench.figures[f"{name}: 99th percentile between frames"] = f"{gaps[int(0.99 * len(gaps))]:.0f} ms"
    bench.figures[f"{name}: long frames"] = str(sum(one >= LONG_MS for one in long))
    bench.figures[f"{name}: the longest between frames"] = f"{gaps[-1]:.0f} ms"


def render(figures: dict[str, str]) -> str:
    """The section."""
    lines = [INTRODUCTION, f"Load average when it ended: {os.getloadavg()[0]:.1f}.\n"]
    lines += ["| what | measured | goal |", "|---|---|---|"]
    lines += [f"| {name} | {value} | {GOALS.get(name, '')} |" for name, value in figures.items()]
    return "\n".join(lines) + "\n"


async def prepare(rows: int) -> None:
    """Make the log, and sum it up as a server would have done by then."""
    shutil.rmtree(LOG.sqlite_path.parent, ignore_errors=True)
    LOG.sqlite_path.parent.mkdir(parents=True)
    began = perf_counter()
    await fill(LOG, rows)
    database = await LOG.open()
    await Rollups(database).catch_up()
    await database.close()
    sys.stderr.write(f"{rows:,} entries in {perf_counter() - began:.0f} s\n")


async def main(told: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench-dashboard")
    parser.add_argument("--rows", type=int, default=ROWS, help="entries of the log")
    parser.add_argument("--again", action="store_true", help="measure the log that is there")
    wanted = parser.parse_args(told)
    if not wanted.again:
        await prepare(wanted.rows)
    async with standing(LOG) as bench:
        for part in (measure_first_rows, measure_scrolling, measure_live_tail):
            sys.stderr.write(f"{part.__name__}\n")
            await part(bench)
    section = render(bench.figures)
    sys.stdout.write(section)
    if wanted.rows == ROWS:
        write_section(DASHBOARD, section)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
