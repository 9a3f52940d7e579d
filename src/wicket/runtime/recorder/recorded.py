"""The proof that a decision is durable. What forwards a call takes a `Recorded`, and only the recorder makes one."""

from dataclasses import InitVar, dataclass

from wicket.core.model import Call, Decision
from wicket.core.world import World
from wicket.runtime.recorder.values import Attempt, Judged

_MINT = object()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A committed entry. Cannot be built, nor copied with other fields, outside the recorder."""

    attempt: Attempt
    entry_id: str
    """Of the entry that stands for this call; coalesced refusals share one."""
    session_id: str | None
    """None for what does not count in a session."""
    judged: Judged
    world: World
    """Under which it was decided."""
    committed_boottime_ns: int
    """Taken just before COMMIT, while no change of the agent could pass."""
    decision_ms: float
    record_ms: float
    mint: InitVar[object]

    def __post_init__(self, mint: object) -> None:
        if mint is not _MINT:
            raise TypeError("only the recorder makes a Recorded")

    @property
    def decision(self) -> Decision:
        return self.judged.decision

    @property
    def call(self) -> Call | None:
        return self.judged.call

    @property
    def allowed(self) -> bool:
        return self.judged.decision.allowed and self.judged.call is not None
