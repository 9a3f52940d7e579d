"""`make bench`: every subject takes the same calls in turns, in one run; docs/benchmarks.md says what came out.

Rounds are interleaved, so that whatever else the machine does meets everybody; figures are medians over rounds,
ratios medians of the ratios within a round. `BENCH_ROUNDS` and `BENCH_SECONDS` make it longer or shorter.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.load import Load, Measured
from tests.bench.policies import ALLOWED_TOOL, DENIED_TOOL
from tests.bench.report import Case, Figures, render
from tests.bench.sections import DOCUMENT, with_those_of_others
from tests.bench.stages import Stage
from tests.bench.subjects import (
    Subject,
    call_body,
    find_nginx,
    naive,
    nginx,
    process,
    request,
    upstream,
    wicket,
)

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "2"))
CONCURRENCIES = (1, 32, 256)
STREAMS = 32


@dataclass(frozen=True)
class Round:
    """What one subject is asked in one case."""

    case: Case
    subject: Subject
    load: Load


def calls(subject: Subject, concurrency: int, *, allowed: bool) -> Round:
    tool = ALLOWED_TOOL if allowed else DENIED_TOOL
    load = Load(
        port=subject.port,
        path="/mcp",
        bearer=subject.bearer,
        body=call_body(subject.prefix + tool),
        expect='"result"' if allowed else "Authorization denied",
        concurrency=concurrency,
        session="allowed" if allowed else "denied",
        seconds=SECONDS,
    )
    return Round(Case("allowed" if allowed else "denied", concurrency), subject, load)


def streams(subject: Subject) -> Round:
    """One long answer for each caller, event by event."""
    body = call_body(f"stream__{ALLOWED_TOOL}" if subject.prefix else ALLOWED_TOOL)
    load = Load(
        port=subject.port,
        path="/mcp" if subject.prefix else "/stream",
        bearer=subject.bearer,
        body=body,
        expect='"result"',
        concurrency=STREAMS,
        session="streamed",
        calls_each=1,
    )
    return Round(Case("streamed", STREAMS), subject, load)


def lists(subject: Subject) -> Round:
    load = Load(
        port=subject.port,
        path="/mcp",
        bearer=subject.list_bearer,
        body=request("tools/list", {}),
        expect="list9__list9_29",
        concurrency=1,
        session="listed",
        seconds=SECONDS,
    )
    return Round(Case("listed", 1), subject, load)


def rounds(subjects: Mapping[str, Subject]) -> list[Round]:
    planned = [
        calls(subject, concurrency, allowed=True)
        for concurrency in CONCURRENCIES
        for subject in subjects.values()
    ]
    deciding = [subject for name, subject in subjects.items() if name != "nginx"]
    planned += [
        calls(subject, concurrency, allowed=False) for concurrency in CONCURRENCIES for subject in deciding
    ]
    planned += [streams(subject) for name, subject in subjects.items() if name != "naive"]
    return [*planned, lists(subjects["wicket"])]


async def measured(wanted: Round, directory: Path) -> Figures:
    before_s = wanted.subject.cpu_s()
    arguments = [sys.executable, "-m", "tests.bench.load", json.dumps(asdict(wanted.load))]
    async with process(arguments, cwd=directory) as started:
        said, _ = await started.communicate()
    if started.returncode:
        raise SystemExit(f"{wanted.subject.name} failed: {wanted.case}")
    seen = Measured(**json.loads(said))
    cpu_us = 1e6 * (wanted.subject.cpu_s() - before_s) / (seen.events or seen.calls)
    return Figures(seen.calls_per_s, cpu_us, seen.median_ms, seen.p99_ms, seen.refused)


@asynccontextmanager
async def standing(directory: Path) -> AsyncIterator[dict[str, Subject]]:
    """Everybody who is measured, by name; nginx where the machine has it."""
    program = find_nginx()
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(upstream(directory))
        subjects: list[Subject] = []
        if program is not None:
            subjects.append(await stack.enter_async_context(nginx(program, directory, port)))
        subjects.append(await stack.enter_async_context(wicket(directory, port)))
        subjects.append(await stack.enter_async_context(naive(directory, port)))
        yield {subject.name: subject for subject in subjects}


async def profiled(directory: Path) -> list[Stage]:
    async with process([sys.executable, "-m", "tests.bench.stages"], cwd=directory) as started:
        said, _ = await started.communicate()
        return [Stage(**stage) for stage in json.loads(said)]


async def main(told: Sequence[str]) -> None:
    """With `--profile`, only where the time of a call goes."""
    others_load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="wicket-bench-") as name:
        directory = Path(name)
        found: dict[tuple[Case, str], list[Figures]] = {}
        if "--profile" not in told:
            async with standing(directory) as subjects:
                for number in range(ROUNDS):
                    sys.stdout.write(f"round {number + 1} of {ROUNDS}\n")
                    for wanted in rounds(subjects):
                        figures = await measured(wanted, directory)
                        found.setdefault((wanted.case, wanted.subject.name), []).append(figures)
        profile = await profiled(directory)
    document = render(found, profile, rounds=ROUNDS, seconds=SECONDS, others_load=others_load)
    sys.stdout.write(document)
    if found:
        before = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(with_those_of_others(document, before), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
