"""What a campaign consists of: which test does so much of what, for which promise."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PYTEST = ("-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider")


@dataclass(frozen=True)
class Part:
    """One count to be reached, by runs of one test."""

    name: str
    """As tests note it, see `tests/evidence.py`."""
    promise: str
    what: str
    """What is counted."""
    target: int
    test: str = ""
    """File of tests, or module that is run. Nothing: the part is noted by the runs of `comes_with`, and others."""
    select: str = ""
    """Which of a file's tests, as pytest's `-k` takes it."""
    asks: str = ""
    """The variable that says how many."""
    asks_each: int = 1
    """So many of what is counted are one of what is asked for."""
    chunk: int = 1
    """What one run does at most: its log and its memory stay small, and little is lost when it is stopped."""
    asked_as: str | None = None
    """The variable's value, where it is no number."""
    comes_with: str | None = None
    alone: bool = False
    """Whether nothing else may run meanwhile: it measures."""

    def command(self, scratch: Path) -> tuple[str, ...]:
        """What Python is to run; what a test leaves behind is below `scratch`."""
        if not self.test.endswith(".py"):
            return ("-m", self.test)
        select = ("-k", self.select) if self.select else ()
        return (*PYTEST, f"--basetemp={scratch}", self.test, *select)

    def variables(self, count: int) -> dict[str, str]:
        return {self.asks: self.asked_as or str(max(count // self.asks_each, 1))} if self.asks else {}


WRITERS = "tests/runtime/recorder/test_recorder_writers.py"
DURABILITY = "tests/journeys/test_durability.py"
BINDING = "tests/journeys/test_binding.py"
VERIFY = "tests/store/audit/test_verify.py"
ATTESTED = "tests/store/audit/test_attested.py"
KILLS, SERVER_KILLS, TOGGLES = "WICKET_TEST_KILLS", "WICKET_TEST_SERVER_KILLS", "WICKET_TEST_TOGGLES"


def _recorder_kills(database: str) -> Part:
    return Part(
        f"recorder-kills-{database}",
        "P3",
        f"recorders killed while they commit, {database}",
        10_000,
        WRITERS,
        f"however_often_it_is_killed and {database}",
        KILLS,
        chunk=250,
    )


def _server_kills(name: str, select: str, what: str, target: int) -> Part:
    return Part(f"server-kills-{name}", "P3", what, target, DURABILITY, select, SERVER_KILLS, chunk=20)


def _changes(database: str, workers: int) -> Part:
    return Part(
        f"changes-{database}-{workers}",
        "P6",
        f"changes under load, {database}, {workers} process{'es' if workers > 1 else ''}",
        5_000,
        BINDING,
        f"however_often and {database}-{workers}",
        TOGGLES,
        asks_each=4,
        chunk=500,
    )


def _tampering(database: str) -> Part:
    return Part(
        f"tampering-{database}",
        "P4",
        f"changes to the log behind its back, {database}",
        5_000,
        VERIFY,
        f"whatever_is_done and {database}",
        "WICKET_TEST_MUTATIONS",
        chunk=1_250,
    )


def _attested(database: str) -> Part:
    return Part(
        f"attested-{database}",
        "P4",
        f"changes to checkpoints, and ends of chains cut off, {database}",
        1_000,
        ATTESTED,
        f"whatever_is_done and {database}",
        "WICKET_TEST_MUTATIONS",
        chunk=500,
    )


PARTS = (
    Part(
        "messages",
        "P1",
        "generated messages, both eras",
        1_000_000,
        "tests/gateway/test_mediation.py",
        "every_call_that_reaches",
        "WICKET_TEST_MESSAGES",
        chunk=40_000,
    ),
    _recorder_kills("sqlite"),
    _recorder_kills("postgresql"),
    _server_kills("sqlite", "no_decision_is_lost", "servers killed under load, sqlite", 200),
    _server_kills("postgresql", "postgresql_has_it_all", "servers killed under load, postgresql", 200),
    _server_kills("workers", "killed_workers", "servers of two processes killed under load, sqlite", 100),
    Part(
        "io-faults",
        "P3",
        "tests in which disk operations fail, each at every operation",
        9,
        "tests/faults/test_storage_disk.py",
        asks="WICKET_TEST_IO_FAULTS",
        asked_as="all",
        chunk=9,
    ),
    _tampering("sqlite"),
    _tampering("postgresql"),
    _attested("sqlite"),
    _attested("postgresql"),
    Part(
        "policies",
        "P5",
        "generated policies and calls, decided as a second opinion decides them, and again from the record",
        200_000,
        "tests/core/policy/test_differential.py",
        "second_opinion",
        "WICKET_TEST_PAIRS",
        chunk=20_000,
    ),
    Part("replays", "P5", "entries decided again", 1_000_000, comes_with="messages"),
    _changes("sqlite", 1),
    _changes("sqlite", 4),
    _changes("postgresql", 1),
    _changes("postgresql", 4),
    Part(
        "canaries",
        "P8",
        "interleaved calls of several members to several services",
        100_000,
        "tests/gateway/test_canaries.py",
        asks="WICKET_TEST_CANARIES",
        chunk=20_000,
    ),
    Part(
        "memory",
        "P10",
        "calls of one server whose memory is watched",
        1_000_000,
        "tests.campaign.memory",
        asks="WICKET_TEST_CALLS",
        chunk=1_000_000,
        alone=True,
    ),
    Part(
        "bulkheads",
        "P12",
        "calls of four upstreams, timed while the fifth hangs, drips or fails",
        10_000,
        "tests.bench.bulkheads",
        asks="WICKET_TEST_ROUNDS",
        asked_as="10",
        chunk=10_000,
        alone=True,
    ),
    Part(
        "abuse",
        "P10",
        "kinds of abuse, and what healthy callers notice of each",
        8,
        "tests.bench.abuse",
        asks="WICKET_TEST_ROUNDS",
        asked_as="10",
        chunk=8,
        alone=True,
    ),
    Part(
        "cuts",
        "P11",
        "connections to upstreams cut somewhere in a call",
        10_000,
        "tests/faults/test_upstream_cuts.py",
        "connections_cut_anywhere",
        "WICKET_TEST_CUTS",
        chunk=1_000,
    ),
)


BY_NAME = {part.name: part for part in PARTS}


def find_parts(names: Sequence[str]) -> list[Part]:
    """The parts of these names, all when there is none; one that comes with another stands for that one."""
    wanted = [BY_NAME[name] for name in names] or PARTS
    return list(dict.fromkeys(BY_NAME[part.comes_with or part.name] for part in wanted))
