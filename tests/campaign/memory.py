"""What a million calls leave behind in a server: `python -m tests.campaign.memory` prints its figures as JSON.

A real `wicket serve` on SQLite takes calls of many agents, members, keys, tools and tool sessions, allowed ones,
denied ones and lists. Its memory after the first ten thousand is compared with what it has in the end, and so are its
descriptors, once all clients are gone. `WICKET_TEST_CALLS` says how many calls.
"""

import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import Final

from tests import evidence
from tests.bench.load import Load
from tests.bench.policies import ALLOWED_TOOL, DENIED_TOOL, SERVICE
from tests.bench.subjects import call_body, process, request, reviewed, upstream
from tests.bench.upstream import TOKEN
from tests.faults.process import Served, served
from tests.reachable import Reachable
from wicket.core.model import AuthType, Tier

FULL: Final = 1_000_000
SETTLED: Final = 10_000
"""Calls after which what a process needs is there."""
GROWTH_MAX: Final = 1.05
AGENTS: Final = 8
MEMBERS_EACH: Final = 8
CALLERS: Final = 64
CALLS_EACH: Final = 40
"""Of one tool session: each connection of each round is a new one."""
ROUNDS_AT_ONCE: Final = 2
SAMPLES: Final = 20
IDLE_S: Final = 10.0
"""Longer than idle connections to upstreams are kept, which are looked at as often as they may be old."""
_PAUSE: Final = threading.Event()


@dataclass
class Figures:
    calls: int = 0
    sessions: int = 0
    keys: int = 0
    seconds: float = 0.0
    settled_kib: int = 0
    ended_kib: int = 0
    growth: float = 0.0
    descriptors_before: int = 0
    descriptors_after: int = 0
    samples: list[tuple[int, int]] = field(default_factory=list)
    """(calls, KiB)."""


async def everybody(people: Reachable, upstream_url: str) -> list[str]:
    """The keys of all members of all agents."""
    keys = []
    for number in range(AGENTS):
        agent = await people.agent(
            f"agent {number}", services={SERVICE: upstream_url}, auth=AuthType.BEARER, tiers={}
        )
        owner = await agent.key()
        await agent.connect(SERVICE, TOKEN)
        await reviewed(agent, owner, {SERVICE: (ALLOWED_TOOL,)})
        await agent.review(SERVICE, DENIED_TOOL, Tier.DESTRUCTIVE)
        await agent.policy(service=SERVICE)
        keys.append(owner)
        for member in range(MEMBERS_EACH - 1):
            email = f"member{member}@example.com"
            keys.append(await agent.key(email))
            await agent.connect(SERVICE, TOKEN, email)
    return keys


def loads(port: int, keys: Sequence[str]) -> Iterator[Load]:
    """One round after the other, for ever."""
    allowed = (call_body(f"{SERVICE}__{ALLOWED_TOOL}"), '"result"')
    denied = (call_body(f"{SERVICE}__{DENIED_TOOL}"), "Authorization denied")
    listed = (request("tools/list", {}), '"result"')
    kinds = cycle([allowed] * 8 + [denied] + [listed])
    for number, key, (body, expect) in zip(count(), cycle(keys), kinds):
        yield Load(port, "/mcp", key, body, expect, CALLERS, f"round-{number}", calls_each=CALLS_EACH)


async def play(load: Load, directory: Path) -> int:
    """One round; how many calls it made."""
    command = [sys.executable, "-m", "tests.bench.load", json.dumps(asdict(load))]
    async with process(command, cwd=directory) as client:
        said, _ = await client.communicate()
    if client.returncode:
        raise RuntimeError("a round failed: its message above says why")
    return int(json.loads(said)["calls"])


async def run(calls: int, directory: Path) -> Figures:
    """So many calls, and what they left."""
    figures = Figures()
    async with standing(directory) as (server, keys):
        figures.keys = len(keys)
        rounds = loads(int(server.url.rpartition(":")[2]), keys)
        await play_until(min(SETTLED, calls), rounds, server, figures, directory)
        figures.settled_kib = server.rss_kib()
        figures.descriptors_before = await at_rest(server)
        await play_until(calls, rounds, server, figures, directory)
        figures.ended_kib = server.rss_kib()
        figures.descriptors_after = await at_rest(server)
    figures.growth = round(figures.ended_kib / figures.settled_kib, 4)
    return figures


async def play_until(
    calls: int, rounds: Iterator[Load], server: Served, figures: Figures, directory: Path
) -> None:
    """Round after round, with a look at the memory now and then."""
    begun_s, every, next_look = time.perf_counter(), max(calls // SAMPLES, 1), 0
    while figures.calls < calls:
        batch = [next(rounds) for _ in range(ROUNDS_AT_ONCE)]
        figures.calls += sum(await asyncio.gather(*(play(load, directory) for load in batch)))
        figures.sessions += CALLERS * len(batch)
        if figures.calls >= next_look:
            next_look = figures.calls + every
            figures.samples.append((figures.calls, server.rss_kib()))
    figures.seconds = round(figures.seconds + time.perf_counter() - begun_s, 1)


@asynccontextmanager
async def standing(directory: Path) -> AsyncIterator[tuple[Served, list[str]]]:
    """A server with its upstream, and everybody's keys."""
    async with upstream(directory) as port, served(directory) as server:
        yield server, await everybody(server.wicket, f"http://127.0.0.1:{port}/mcp")


async def at_rest(server: Served) -> int:
    """Descriptors, once idle connections are gone: the least that is seen for some seconds."""
    least, until_s = server.descriptors(), time.monotonic() + IDLE_S
    while time.monotonic() < until_s:
        await asyncio.to_thread(_PAUSE.wait, 0.1)
        least = min(least, server.descriptors())
    return least


async def main() -> int:
    calls = evidence.asked("WICKET_TEST_CALLS", FULL)
    with tempfile.TemporaryDirectory(prefix="wicket-memory-") as name:
        figures = await run(calls, Path(name))
    sys.stdout.write(json.dumps(asdict(figures), indent=2) + "\n")
    wrong = {
        "memory grew by more than 5%": int(figures.growth > GROWTH_MAX),
        "descriptors were left open": max(0, figures.descriptors_after - figures.descriptors_before),
    }
    evidence.note(
        "memory", figures.calls, wrong=wrong, sessions=figures.sessions, keys=figures.keys,
        settled_kib=figures.settled_kib, ended_kib=figures.ended_kib,
    )  # fmt: skip
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
