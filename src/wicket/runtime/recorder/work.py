"""What passes between the event loop and the writer's thread."""

import asyncio
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from wicket.core.session import FRESH, Facts
from wicket.core.world import World
from wicket.runtime.recorder.values import Attempt, Judged


class State(Enum):
    WAITING = auto()
    DONE = auto()
    """Committed, and so durable."""
    STALE = auto()
    """The agent's revision has moved: decide again in a fresh world."""
    FAILED = auto()


@dataclass(slots=True, eq=False)
class Work:
    """One decision on its way into the log. The writer sets the results before it hands it back."""

    attempt: Attempt
    world: World
    judged: Judged
    facts: Facts
    """That the judgement was made with."""
    decision_ms: float
    final: bool
    """No more turning back: decide inside the transaction when this world is stale."""
    future: asyncio.Future[None]
    """Resolved on the event loop when the state is no longer WAITING, or when nobody waits any more."""
    submitted: bool = False
    """The writer has it, or has had it."""
    abandoned: bool = False
    """Its caller was refused meanwhile. Set on the event loop."""
    state: State = State.WAITING
    session_id: str | None = None
    committed_boottime_ns: int = 0

    @property
    def at_us(self) -> int:
        return self.attempt.decided_us


@dataclass(slots=True)
class Gap:
    """Calls that were refused because nothing could be recorded, until an event says so. Thread-safe."""

    count: int = 0
    from_us: int = 0
    to_us: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, from_us: int, to_us: int | None = None, *, count: int = 1) -> None:
        until = from_us if to_us is None else to_us
        with self._lock:
            self.from_us = min(self.from_us, from_us) if self.count else from_us
            self.to_us = max(self.to_us, until) if self.count else until
            self.count += count

    def take(self) -> tuple[int, int, int] | None:
        """(count, from, to), leaving none; None when there are none."""
        if not self.count:
            return None
        with self._lock:
            if not self.count:
                return None
            taken = (self.count, self.from_us, self.to_us)
            self.count = 0
            return taken


class KnownFacts(NamedTuple):
    session_id: str
    version: int
    facts: Facts


class FactsCache:
    """The facts last committed here. Only the writer's thread changes it; the event loop looks into it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[str, KnownFacts] = OrderedDict()

    def guess(self, slot: str) -> Facts:
        """Good enough to judge with: the writer compares with what is stored."""
        known = self._known.get(slot)
        return FRESH if known is None else known.facts

    def find(self, slot: str, session_id: str, version: int) -> Facts | None:
        """The facts of exactly this state of the session's row."""
        known = self._known.get(slot)
        if known is None or known.session_id != session_id or known.version != version:
            return None
        return known.facts

    def keep(self, slot: str, known: KnownFacts) -> None:
        self._known[slot] = known
        self._known.move_to_end(slot)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
