"""What a reader of the log asks for: the parameters of `GET /api/audit`, parsed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from wicket.core.errors import Invalid
from wicket.core.model import Effect, Outcome, Reason
from wicket.store.instants import to_us

E = TypeVar("E", bound=StrEnum)

TEXT_MAX: Final = 200
_DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """All of it must hold; None asks for nothing. Instants are inclusive, in microseconds."""

    from_us: int | None = None
    to_us: int | None = None
    agent: str | None = None
    """Part of the agent's name, in any case."""
    service: str | None = None
    tool: str | None = None
    """Part of the tool's name, in any case."""
    result: Effect | None = None
    member: str | None = None
    """UUID or e-mail address."""
    policy: str | None = None
    """UUID or key."""
    session: str | None = None
    agent_id: str | None = None
    reason: Reason | None = None
    outcome: Outcome | None = None
    ip: str | None = None
    q: str | None = None
    """Part of the tool's name, the resource, the reason or the deny message, in any case."""


def parse_filter(parameters: Mapping[str, str]) -> AuditFilter:
    """Read the query parameters that filter; others are ignored. Raises Invalid naming the parameter."""
    texts = {name: value for name, value in parameters.items() if value}
    for name, value in texts.items():
        if len(value) > TEXT_MAX or "\0" in value:
            raise Invalid(f"`{name}` is too long or holds a NUL: at most {TEXT_MAX} characters", field=name)
    return AuditFilter(
        from_us=_instant(texts, "from"),
        to_us=_instant(texts, "to"),
        agent=texts.get("agent"),
        service=texts.get("service"),
        tool=texts.get("tool"),
        result=_choice(texts, "result", Effect),
        member=texts.get("member"),
        policy=texts.get("policy"),
        session=texts.get("session"),
        agent_id=texts.get("agentId"),
        reason=_choice(texts, "reason", Reason),
        outcome=_choice(texts, "outcome", Outcome),
        ip=texts.get("ip"),
        q=texts.get("q"),
    )


def _choice(texts: Mapping[str, str], name: str, kind: type[E]) -> E | None:
    text = texts.get(name)
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError as error:
        known = ", ".join(f"`{choice.value}`" for choice in kind)
        raise Invalid(f"`{text}` is none of {known}", field=name) from error


def _instant(texts: Mapping[str, str], name: str) -> int | None:
    """An ISO date or date-time, UTC when it names no zone; a date as `to` means the end of that day."""
    text = texts.get(name)
    if text is None:
        return None
    try:
        if len(text) <= len("2026-01-10"):
            at = datetime.combine(date.fromisoformat(text), time(), UTC)
            at += _DAY - _MICROSECOND if name == "to" else timedelta()
        else:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        return max(to_us(at), 0)
    except (ValueError, OverflowError) as error:
        raise Invalid(
            f"`{text}` is no ISO date or date-time: write `2026-01-10` or `2026-01-10T18:00:00Z`", field=name
        ) from error
