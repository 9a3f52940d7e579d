"""docs/benchmarks.md, out of what was measured."""

import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.bench.stages import Stage
from tests.bench.subjects import NGINX_WORKERS, find_nginx
from tests.bench.upstream import ANSWER_BYTES, EVENT_EVERY_S, EVENTS
from wicket.store.db.sqlite import library

PACKAGES = ("uvicorn", "uvloop", "httptools", "orjson", "cedarpy", "cryptography", "fastapi", "httpx2")


@dataclass(frozen=True)
class Case:
    name: str
    concurrency: int


@dataclass(frozen=True)
class Figures:
    """Of one subject in one case: a round's, or the medians over rounds."""

    calls_per_s: float
    cpu_us: float
    """Of the whole tree of processes, for a call; for an event where there are any."""
    median_ms: float
    p99_ms: float
    refused: int
    """Calls answered with 503."""


Found = Mapping[tuple[Case, str], Sequence[Figures]]


def render(found: Found, profile: Sequence[Stage], *, rounds: int, seconds: float, others_load: float) -> str:
    """The document; `others_load` is the machine's load average before anything was started."""
    parts = [INTRODUCTION, *_machine(rounds, seconds)]
    parts.append(
        f"- load average before it began: {others_load:.1f}; above 0.5, other work took part of the cores and the disk"
    )
    if found:
        parts += ["\n## Against nginx and against what people write\n", *_rows(found), ROWS_NOTE]
        parts += ["\n## Figures\n", *_figures(found)]
    parts += ["\n## Where a call's time goes\n", PROFILE_NOTE, *_profile(profile)]
    return "\n".join(parts) + "\n"


def _machine(rounds: int, seconds: float) -> Iterator[str]:
    yield f"- machine: {_processor()}, {os.cpu_count()} cores, Linux {platform.release()}"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    yield f"- Python {platform.python_version()}, SQLite {library.sqlite_version}, {packages}"
    yield f"- {_nginx()}"
    yield f"- {rounds} rounds of {seconds:g} s for each subject and case, interleaved; medians"


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _nginx() -> str:
    program = find_nginx()
    if program is None:
        return "nginx: not on the path, so its rows are left out (Debian: `apt-get install nginx-light`)"
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    return f"nginx {said.strip().rpartition('/')[2]}, {NGINX_WORKERS} worker process"


def _rows(found: Found) -> Iterator[str]:
    yield "| what | measured | first version | goal |"
    yield "|---|---|---|---|"
    busy, denied = Case("allowed", 32), Case("denied", 32)
    for what, reached, first, goal in (
        ("allowed call, everything on, against the naive proxy's calls per second",
         _ratio(found, (busy, "wicket"), (busy, "naive")), "6x", "50x"),
        ("the same, against nginx's plain proxying",
         _ratio(found, (busy, "wicket"), (busy, "nginx")), "0.05x", "0.40x"),
        ("the same, CPU per call of the process tree, against nginx's",
         _ratio(found, (busy, "wicket"), (busy, "nginx"), of="cpu_us"), "", "at most 3.5x"),
        ("denied call, against the calls per second that nginx forwards",
         _ratio(found, (denied, "wicket"), (busy, "nginx")), "0.08x", "0.60x"),
        ("denied call, against the calls per second that the naive proxy forwards",
         _ratio(found, (denied, "wicket"), (busy, "naive")), "10x", ""),
        ("denied call, against the calls per second that the naive proxy denies",
         _ratio(found, (denied, "wicket"), (denied, "naive")), "", ""),
        ("latency added at concurrency 1, against nginx, at the median", _added(found), "1.5 ms", "0.6 ms"),
        ("server-sent events passed through, CPU per event, against nginx",
         _ratio(found, (Case("streamed", 32), "wicket"), (Case("streamed", 32), "nginx"), of="cpu_us"),
         "3x", "1.4x"),
        ("`tools/list`, 10 connectors, 300 tools, at the median", _listed(found), "20 ms", "2 ms"),
    ):  # fmt: skip
        yield f"| {what} | {reached} | {first} | {goal} |"


def _ratio(found: Found, ours: tuple[Case, str], theirs: tuple[Case, str], of: str = "calls_per_s") -> str:
    if theirs not in found:
        return "not measured"
    pairs = zip(found[ours], found[theirs], strict=True)
    return f"{median(getattr(our, of) / getattr(their, of) for our, their in pairs):.3g}x"


def _added(found: Found) -> str:
    alone = Case("allowed", 1)
    if (alone, "nginx") not in found:
        return "not measured"
    pairs = zip(found[alone, "wicket"], found[alone, "nginx"], strict=True)
    return f"{median(our.median_ms - their.median_ms for our, their in pairs):.2f} ms"


def _listed(found: Found) -> str:
    return f"{median(figures.median_ms for figures in found[Case('listed', 1), 'wicket']):.1f} ms"


def _figures(found: Found) -> Iterator[str]:
    yield "| case | callers | subject | calls/s | CPU us | median ms | p99 ms | 503 |"
    yield "|---|---|---|---|---|---|---|---|"
    for (case, subject), rounds in found.items():
        calls, cpu, middle, late = (
            median(getattr(one, name) for one in rounds)
            for name in ("calls_per_s", "cpu_us", "median_ms", "p99_ms")
        )
        refused = sum(one.refused for one in rounds)
        unit = " an event" if case.name == "streamed" else ""
        yield (
            f"| {case.name} | {case.concurrency} | {subject} | {calls:,.0f} | {cpu:,.0f}{unit} "
            f"| {middle:.2f} | {late:.2f} | {refused} |"
        )


def _profile(profile: Sequence[Stage]) -> Iterator[str]:
    yield "| stage | CPU us a call |"
    yield "|---|---|"
    for stage in profile:
        yield f"| {stage.name} | {stage.cpu_us:.0f} |"


INTRODUCTION = f"""# Benchmarks

Written by `make bench`, which anybody can run; do not edit. One machine, one run: the client, the upstream and
the proxy share its cores, so ratios say more than figures do. The upstream answers every call with the same
{ANSWER_BYTES} bytes and asks for the member's token. *nginx* is a plain reverse proxy, the limit. *Naive* is what
people write, FastAPI and an httpx client, with the same features done in the straightforward way
(`tests/bench/naive.py`): the key's digest looked up in its SQLite file, a token bucket, a parser that refuses
repeated names, Cedar's handles for the policies, parsed once, under the session's counters, which are read and kept
in the transaction of the call's row, and secrets taken out of its arguments. Each call's row is committed by itself
before it is forwarded, and a row of how it ended behind the answer; rows are chained by hash, and indexed by time,
member, tool and decision. A tool must be as it was reviewed, and the member's token is opened with a key made of the
bearer. *Wicket* runs as `wicket serve` does, one process, SQLite.
"""
ROWS_NOTE = f"""
Rows are at concurrency 32. Everything on: authentication, rate limit, strict parsing, Cedar with 50 policies of
which ten bear on the call and one reads the session's facts, a durable record, the member's sealed token. Each
connection is a tool session of its own. CPU per call is user and system time of the proxy's whole tree of
processes. A stream has {EVENTS} events, one every {1000 * EVENT_EVERY_S:g} ms, in 32 calls at a time.
A call whose entry is not on disk within 250 ms is refused (503): a disk that stalls longer than that shows there."""
PROFILE_NOTE = """Each stage by itself, 32 calls at a time, in one process: CPU time of all its threads for a call.
The stages of the commit and of the exchange with the upstream hold what the event loop spends on them.
"""
