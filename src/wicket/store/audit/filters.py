"""What a reader of the log asks for: the parameters of `GET /api/audit`, parsed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Final, TypeVar

from wicket.core.errors import Invalid
from wicket.core.ids import uuid7
from wicket.core.model import Effect, Outcome, Reason
from wicket.store.instants import to_us

E = TypeVar("E", bound=StrEnum)

TEXT_MAX: Final = 200
_DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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

    @property
    def from_id(self) -> str | None:
        """The least id that an entry of the first instant may have: ids begin with the instant."""
        return None if self.from_us is None else uuid7(self.from_us, bytes(8))

    @property
    def to_id(self) -> str | None:
        """The greatest id of the last instant."""
        return None if self.to_us is None else uuid7(self.to_us, b"\xff" * 8)


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """The same for changes made by people."""

    from_us: int | None = None
    to_us: int | None = None
    agent_id: str | None = None
    kind: str | None = None
    actor: str | None = None
    """UUID or e-mail address of an account."""


def parse_change_filter(parameters: Mapping[str, str]) -> ChangeFilter:
    """Read the query parameters that filter; raises Invalid naming the parameter."""
    texts = _texts(parameters)
    return ChangeFilter(
        from_us=_instant(texts, "from"),
        to_us=_instant(texts, "to"),
        agent_id=_uuid(texts, "agentId"),
        kind=texts.get("kind"),
        actor=_person(texts, "actor"),
    )


def parse_filter(parameters: Mapping[str, str]) -> AuditFilter:
    """Read the query parameters that filter; others are ignored. Raises Invalid naming the parameter."""
    texts = _texts(parameters)
    return AuditFilter(
        from_us=_instant(texts, "from"),
        to_us=_instant(texts, "to"),
        agent=texts.get("agent"),
        service=texts.get("service"),
        tool=texts.get("tool"),
        result=_choice(texts, "result", Effect),
        member=_person(texts, "member"),
        policy=texts.get("policy"),
        session=texts.get("session"),
        agent_id=_uuid(texts, "agentId"),
        reason=_choice(texts, "reason", Reason),
        outcome=_choice(texts, "outcome", Outcome),
        ip=_address(texts),
        q=texts.get("q"),
    )


def _texts(parameters: Mapping[str, str]) -> Mapping[str, str]:
    texts = {name: value for name, value in parameters.items() if value}
    for name, value in texts.items():
        if len(value) > TEXT_MAX or "\0" in value:
            raise Invalid(f"`{name}` is too long or holds a NUL: at most {TEXT_MAX} characters", field=name)
    return texts


def fold(text: str) -> str:
    """Text as it is compared in any case: character by character, so that both databases can do the same.

    Nothing becomes ASCII that was not: in plain text only plain letters have another case.
    """
    return text.lower() if text.isascii() else "".join(map(_fold_character, text))


def _fold_character(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 and lower.isascii() == character.isascii() else character


def has_part(text: str | None, part: str) -> bool:
    """Whether `part` is in the text, in any case."""
    return text is not None and fold(part) in fold(text)


def _person(texts: Mapping[str, str], name: str) -> str | None:
    text = texts.get(name, "").lower() or None
    if text is not None and "@" not in text and not _UUID.fullmatch(text):
        raise Invalid(f"`{text}` is neither a UUID nor an e-mail address: send one of them", field=name)
    return text


def _uuid(texts: Mapping[str, str], name: str) -> str | None:
    text = texts.get(name, "").lower() or None
    if text is not None and not _UUID.fullmatch(text):
        raise Invalid(f"`{text}` is no UUID: list the objects to find it", field=name)
    return text


def _address(texts: Mapping[str, str]) -> str | None:
    text = texts.get("ip")
    try:
        return None if text is None else str(ip_address(text))
    except ValueError as error:
        raise Invalid(f"`{text}` is no IP address: write `192.0.2.7` or `2001:db8::7`", field="ip") from error


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
