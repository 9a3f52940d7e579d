"""What campaigns have shown so far: a file of runs for each part, and the page that adds them up."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from tests.campaign.parts import PARTS, Part
from tests.promises import PROMISES

DIRECTORY = Path(__file__).parents[2] / "docs" / "evidence"
PAGE = "README.md"
Result: TypeAlias = Literal["kept", "broken", "failed"]
"""`broken`: what must never happen has happened. `failed`: the run ended otherwise than it should."""


@dataclass(frozen=True)
class Run:
    """One line of a part's file."""

    date: str
    commit: str
    """With `+` when files were changed since."""
    seed: int
    asked: int
    done: int
    result: Result
    wrong: Mapping[str, int]
    counts: Mapping[str, int]
    seconds: float
    machine: str
    repeat: str
    """The command, from the root of the repository."""
    explained: str = ""
    """Why a run failed in which nothing happened that must not, once somebody knows; added by hand."""

    @property
    def is_explained(self) -> bool:
        return self.result == "failed" and not any(self.wrong.values()) and bool(self.explained)


def file_of(directory: Path, part: str) -> Path:
    return directory / f"{part}.jsonl"


def append_run(directory: Path, part: str, run: Run) -> None:
    with file_of(directory, part).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(run)) + "\n")


def read_runs(directory: Path, part: str) -> list[Run]:
    file = file_of(directory, part)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [Run(**json.loads(line)) for line in lines]


def render(directory: Path) -> str:
    lines = [
        "# Evidence",
        "",
        "Written by `make campaign`, which does long what the tests do briefly. Each run is a line in the file of its",
        "part: seed, commit, what was really done, and how often what must never happen happened. Runs add up; one",
        "that found something does not count, and is shown. Whoever knows a line can repeat it. Where a run without",
        "violations failed and the reason was found, its line says what it was; it does not count either.",
        "",
        "| Promise | What | Wanted | Done | Runs | Violations | Commits | Result |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(part, read_runs(directory, part.name)) for part in PARTS),
        "",
        "## Which promise is which",
        "",
        *(f"- **{name}** {promise.sentence}" for name, promise in PROMISES.items()),
    ]
    return "\n".join([*lines, ""])


def _row(part: Part, runs: Sequence[Run]) -> str:
    done = sum(run.done for run in runs if run.result == "kept")
    violations = sum((Counter(run.wrong) for run in runs), Counter[str]()).total()
    what = f"[{part.what}]({part.name}.jsonl)" if runs else part.what
    commits = ", ".join(dict.fromkeys(run.commit for run in runs))
    cells = (
        part.promise,
        what,
        f"{part.target:,}",
        f"{done:,}",
        f"{len(runs):,}",
        f"{violations:,}",
        commits,
    )
    return f"| {' | '.join(cells)} | {_result(part, runs, done)} |"


def _result(part: Part, runs: Sequence[Run], done: int) -> str:
    bad = Counter(run.result for run in runs if run.result != "kept" and not run.is_explained)
    if bad:
        return ", ".join(f"**{count} {result}**" for result, count in sorted(bad.items()))
    if not runs:
        return "not run yet"
    kept = "kept" if done >= part.target else f"kept so far ({100 * done / part.target:.1f}%)"
    explained = sum(run.is_explained for run in runs)
    return f"{kept}; {explained} failed for another reason, explained" if explained else kept


def write_page(directory: Path) -> None:
    (directory / PAGE).write_text(render(directory), encoding="utf-8")
