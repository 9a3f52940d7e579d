"""The section of docs/benchmarks.md about a big log."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.sections import AUDIT

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
INTRODUCTION = f"""{AUDIT}

Written by `make bench-audit`: ninety days of 200 agents, 2,000 members, 16 services, 300 tools and 500 policies, with
the chains and everything that `wicket audit verify` checks. One account owns 190 of the agents and asks. Medians of 30;
*HTTP* is a page of 100 entries through `wicket serve`, one process, warm; *store* is the same in this process.
"""


@dataclass
class Found:
    """What was measured on one database."""

    rows: int = 0
    pages: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Filter -> milliseconds through the store and through HTTP."""
    figures: dict[str, str] = field(default_factory=dict)


BARS: Mapping[str, str] = {
    "newest page of a filter, the slowest, HTTP": "50 ms",
    "statistics of 30 days, all agents": "100 ms",
    "statistics of 30 days, one agent": "100 ms",
    "statistics of 30 days, a member's own": "100 ms",
    "exported as CSV": "50,000 rows/s",
    "exported as JSON lines": "50,000 rows/s",
    "memory that an export takes": "20 MB",
    "verified": "50,000 rows/s",
    "summed up after a pause": "20,000 entries/s",
    "cost of a row here, against an empty log": "1.2x",
}


def render(found: Mapping[str, Found]) -> str:
    """The section; databases side by side."""
    kinds = list(found)
    lines = [INTRODUCTION, _machine()]
    lines.append(_table(("what", *(NAMES[kind] for kind in kinds), "goal"), _figures(found)))
    lines.append("### The newest page of each filter\n")
    heads = [f"{NAMES[kind]}, {way}" for kind in kinds for way in ("store", "HTTP")]
    lines.append(_table(("filter", *heads), _pages(found)))
    return "\n".join(lines)


def _machine() -> str:
    load = os.getloadavg()[0]
    return f"Load average when it ended: {load:.1f}, of which one is this; more was other work on the same two cores.\n"


def _figures(found: Mapping[str, Found]) -> Iterable[Sequence[str]]:
    names = dict.fromkeys(name for one in found.values() for name in one.figures)
    for name in names:
        yield name, *(one.figures.get(name, "") for one in found.values()), BARS.get(name, "")


def _pages(found: Mapping[str, Found]) -> Iterable[Sequence[str]]:
    names = dict.fromkeys(name for one in found.values() for name in one.pages)
    for name in names:
        cells = [one.pages.get(name, (0.0, 0.0)) for one in found.values()]
        yield name, *(f"{ms:.1f} ms" for pair in cells for ms in pair)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
