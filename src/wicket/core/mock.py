"""A call that a signed-in member makes from the dashboard: real in everything but the door that it came in by."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from wicket.core.model import Decision, JsonObject, PolicyRef

MEMBER_KEY_HEADER: Final = "X-Wicket-Member-Key"


@dataclass(frozen=True, slots=True)
class MockCall:
    agent_id: str
    member_id: str
    service: str
    tool: str
    """Without the service's prefix."""
    arguments: JsonObject
    caller_ip: str
    member_key: str | None = field(default=None, repr=False)
    """Presented to open what is sealed under it; nobody keeps it."""


@dataclass(frozen=True, slots=True)
class MockAnswer:
    """A call that was decided, and what came of it."""

    entry_id: str
    decision: Decision
    sentence: str
    """Why, in words that this member may read."""
    matched: Sequence[PolicyRef] | None
    """None where the member may not know which policies the agent has."""
    result: JsonObject | None = None
    error: JsonObject | None = None
    """JSON-RPC error: of a denial, of the tool, or of an upstream that failed."""
