"""What goes into the recorder and what it promises about each call.

`Attempt` is one understood request; its `judge` decides it again on whatever world and facts it is given, as
often as the commit needs. `Recorded` (see recorded.py) is what comes out.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from wicket.core.entities import EntityKey
from wicket.core.model import Call, Decision, JsonObject, Outcome, Reason
from wicket.core.policy.explain import Told
from wicket.core.session import Facts
from wicket.core.world import World

COALESCED = frozenset(
    {Reason.RATE_LIMITED, Reason.AGENT_DISABLED, Reason.MEMBER_NOT_APPROVED, Reason.KEY_REVOKED}
)
"""Refusals that are entered once per key, reason and second, with a count."""


class Judged(NamedTuple):
    """What an attempt comes to under one world and one set of facts."""

    decision: Decision
    call: Call | None = None
    """None: refused before the call was understood."""
    counts: bool = True
    """Whether it is a decided call, which the session's facts count; False for 401, 403 and 429."""
    reads_facts: bool = False
    """Whether other facts could have led to another decision."""
    labels: frozenset[str] = frozenset()
    """What an allowed call touches, for the session's labels."""
    lacks: frozenset[EntityKey] = frozenset()
    """What the world has not been told of: nothing is decided until it was looked up."""
    told: Told | None = None
    """The decision in the log's words; None: they are made when it is entered."""


Judge: TypeAlias = Callable[[World, Facts], Judged]


class Attempt(NamedTuple):
    """One request of a resolved key whose envelope parsed."""

    entry_id: str
    """UUID version 7 of `decided_us`."""
    agent_id: str
    member_id: str
    key_id: str
    slot: str
    """See `slot_of`."""
    external_session_id: str
    service: str
    """As asked for, whether or not it exists."""
    tool: str
    """Unprefixed, as asked for."""
    caller_ip: str
    client_name: str
    client_version: str
    protocol_version: str
    request_bytes: int
    decided_us: int
    """Microseconds since 1970 UTC."""
    redacted_args: JsonObject
    judge: Judge
    """Pure: admission, resolution and the engine, on any world and any facts of the session."""
    method: str = "tools/call"


@dataclass(frozen=True, slots=True)
class Ending:
    """How an allowed call ended."""

    outcome: Outcome
    upstream_status: int | None = None
    upstream_ms: float | None = None
    duration_ms: float | None = None
    """Total, upstream included."""
    response_bytes: int | None = None


def _wall_us() -> int:
    return time.time_ns() // 1_000


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The instants the recorder reads. Waits go by the event loop's own clock."""

    wall_us: Callable[[], int] = _wall_us
    boottime_ns: Callable[[], int] = _boottime_ns
    """Goes on while the machine sleeps, so that a suspended process notices how old a decision is."""
    perf_ns: Callable[[], int] = time.perf_counter_ns


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the recorder, each with its unit."""

    wait_s: float = 0.25
    """After which a call that could not be recorded is refused."""
    fresh_ns: int = 250_000_000
    """Up to which age a recorded decision may be sent without asking for the revision again."""
    batch_max: int = 512
    queue_max: int = 4_096
    outcomes_max: int = 65_536
    outcome_delay_s: float = 0.05
    """How long outcomes wait for entries to share a transaction with."""
    facts_max: int = 1_000
    """Sessions whose facts are kept at hand, at one to two kilobytes each; the others' are read from their rows."""
    windows_max: int = 10_000
    """Refusals being counted at a time."""
    sweep_every_s: float = 5.0
    retry_min_s: float = 0.1
    retry_max_s: float = 2.0
    drain_s: float = 5.0
    """How long a stop waits for what is still to be written."""


def slot_of(key_id: str, external_session_id: str) -> str:
    """The place of a tool session: bound to the key, so sessions never mix across members."""
    return hashlib.sha256(f"{len(key_id)}:{key_id}{external_session_id}".encode()).hexdigest()
