"""`make campaign`: does long what the tests do briefly, and writes down what came out.

    python -m tests.campaign.run                              everything, in full: hours
    python -m tests.campaign.run messages cuts --share 0.1    a tenth of two parts

A part is run in pieces, as many at a time as the machine has cores; each has a seed of its own and ends as a line in
`docs/evidence`. It may be stopped at any time: what has ended counts. A piece that finds something leaves its
databases and its output below `build/campaign`, and the end of its output in `docs/evidence/failed`.
"""

import argparse
import asyncio
import json
import math
import os
import platform
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests import evidence
from tests.campaign.pages import DIRECTORY, Result, Run, append_run, write_page
from tests.campaign.parts import BY_NAME, Part, find_parts

ROOT = Path(__file__).parents[2]
SCRATCH = ROOT / "build" / "campaign"
PIECE_S_MAX = 4 * 3_600
END_S_MAX = 60
LINES_KEPT = 300
WATCHED = ("src", "tests", "pyproject.toml", "requirements")
"""What a result depends on."""
_PASSED = re.compile(r"(\d+) passed")


@dataclass(frozen=True)
class Piece:
    """A run of a part."""

    part: Part
    count: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.part.name}-{self.seed}"

    @property
    def variables(self) -> dict[str, str]:
        return self.part.variables(self.count) | {evidence.SEED: str(self.seed)}

    @property
    def repeat(self) -> str:
        told = [f"{name}={value}" for name, value in self.variables.items()]
        return shlex.join(["env", *told, "python", *self.part.command(Path("build/repeated"))])


@dataclass
class Noted:
    """What the tests of a run said of one part."""

    done: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Ended:
    code: int | None
    """None: it took too long."""
    seconds: float
    noted: Mapping[str, Noted]
    output: str

    @property
    def result(self) -> Result:
        if any(noted.wrong.total() for noted in self.noted.values()):
            return "broken"
        return "kept" if self.code == 0 else "failed"


def pieces(parts: Sequence[Part], share: float, seed: int) -> Iterator[Piece]:
    for part in parts:
        left = max(round(part.target * share), 1)
        for _ in range(math.ceil(left / part.chunk)):
            count = min(left, part.chunk)
            yield Piece(part, count, seed)
            seed, left = seed + 1, left - count


async def played(piece: Piece) -> Ended:
    home = SCRATCH / piece.name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    notes, output = home / "notes.jsonl", home / "output.txt"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WICKET_")}
    begun_s = time.monotonic()
    with output.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *piece.part.command(home / "tmp"),
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env=inherited
            | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), evidence.FILE: str(notes)}
            | piece.variables,
        )
        code = await _code_of(process)
    said = output.read_text(encoding="utf-8", errors="replace")
    return Ended(code, time.monotonic() - begun_s, _read_notes(notes, piece, said), said)


async def _code_of(process: asyncio.subprocess.Process) -> int | None:
    try:
        async with asyncio.timeout(PIECE_S_MAX):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """As by Ctrl-C, after which servers and databases that tests have started are stopped too."""
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(END_S_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _read_notes(file: Path, piece: Piece, output: str) -> dict[str, Noted]:
    """What was noted; of a test that keeps no account, how many of its cases have passed."""
    noted: defaultdict[str, Noted] = defaultdict(Noted)
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        said = json.loads(line)
        if said["part"] in BY_NAME:
            one = noted[said["part"]]
            one.done += said["done"]
            one.wrong.update(said["wrong"])
            one.counts.update(said["counts"])
    if piece.part.name not in noted:
        found = _PASSED.search(output) if piece.part.asked_as else None
        noted[piece.part.name].done = int(found[1]) if found else 0
    return dict(noted)


def tree() -> str:
    """The commit, with `+` where it is not what lies here."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, check=False, capture_output=True, text=True
        ).stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return commit + ("+" if git("status", "--porcelain", *WATCHED) else "")


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def without_paths(text: str) -> str:
    """Output that names nothing of this machine."""
    places = ((str(ROOT), "."), (sys.base_prefix, "<python>"), (str(Path.home()), "~"))
    for place, name in places:
        text = text.replace(place, name)
    return text


def record(directory: Path, piece: Piece, ended: Ended, commit: str) -> None:
    """A line for each part that was noted; and of a failure, what was said last."""
    for name, noted in ended.noted.items():
        run = Run(
            date=datetime.now(UTC).date().isoformat(),
            commit=commit,
            seed=piece.seed,
            asked=piece.count if name == piece.part.name else noted.done,
            done=noted.done,
            result=ended.result,
            wrong=dict(noted.wrong),
            counts=dict(noted.counts),
            seconds=round(ended.seconds, 1),
            machine=machine(),
            repeat=piece.repeat,
        )
        append_run(directory, name, run)
    if ended.result == "kept":
        shutil.rmtree(SCRATCH / piece.name)
    else:
        (directory / "failed").mkdir(exist_ok=True)
        last = without_paths(ended.output).splitlines()[-LINES_KEPT:]
        (directory / "failed" / f"{piece.name}.txt").write_text("\n".join([*last, ""]), encoding="utf-8")
    write_page(directory)


async def campaign(planned: Sequence[Piece], directory: Path, jobs: int) -> int:
    """How many pieces were not as they should be."""
    commit, bad = tree(), 0
    turn = asyncio.Semaphore(jobs)

    async def one(piece: Piece) -> None:
        nonlocal bad
        async with turn:
            say(f"{piece.name}: {piece.count:,} {piece.part.what}")
            ended = await played(piece)
        record(directory, piece, ended, commit)
        bad += ended.result != "kept"
        say(f"{piece.name}: {ended.result} in {ended.seconds:.0f} s; {told(ended)}")
        if ended.result != "kept":
            say(f"{piece.name}: repeat it by {piece.repeat}")

    await asyncio.gather(*(one(piece) for piece in planned if not piece.part.alone))
    for piece in planned:
        if piece.part.alone:
            await one(piece)
    return bad


def told(ended: Ended) -> str:
    return "; ".join(
        f"{name}: {noted.done:,} done, {noted.wrong.total()} violations"
        for name, noted in ended.noted.items()
    )


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def read_arguments(told: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests.campaign.run", description="The long runs behind the promises."
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(BY_NAME)}; none: all")
    parser.add_argument("--share", type=float, default=1.0, help="of each part's full count")
    parser.add_argument("--seed", type=int, help="of the first piece; each further one takes the next")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="pieces at a time")
    parser.add_argument("--into", type=Path, default=DIRECTORY, help="where the evidence is kept")
    arguments = parser.parse_args(told)
    if unknown := set(arguments.parts) - set(BY_NAME):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return arguments


def main(told: Sequence[str]) -> int:
    arguments = read_arguments(told)
    seed = random.SystemRandom().randrange(10**9) if arguments.seed is None else arguments.seed
    say(f"seeds from {seed} on, {arguments.jobs} at a time")
    arguments.into.mkdir(parents=True, exist_ok=True)
    planned = list(pieces(find_parts(arguments.parts), arguments.share, seed))
    bad = asyncio.run(campaign(planned, arguments.into, arguments.jobs))
    say(f"{len(planned) - bad} of {len(planned)} as promised")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
