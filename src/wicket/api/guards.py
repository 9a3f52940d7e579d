"""Who may ask: every route states one word of a closed vocabulary, and what may go wrong beyond what follows from it.

A route without a word cannot be added. The first three are checked before an endpoint runs, by the class of its
route; the others by `store.rights`, inside the transaction that does what is asked.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Final, TypedDict

from wicket.core.codes import CODES

GUARD: Final = "x-wicket-guard"
"""Where an operation of the description says who may ask."""
SCOPE: Final = "x-wicket-scope"
OWN_CODES: Final = "x-wicket-codes"


class Guard(StrEnum):
    """Who may ask. A token needs scope `read` to read and `write` for everything else, whatever the word."""

    PUBLIC = "public"
    COLLECTOR = "collector"
    SESSION = "session"
    ACCOUNT = "account"
    MEMBER = "member"
    APPROVED = "approved"
    SELF = "self"
    SELF_OR_OWNER = "self_or_owner"
    POLICY_READER = "policy_reader"
    OWNER = "owner"


WHO: Final[Mapping[Guard, str]] = {
    Guard.PUBLIC: "anybody",
    Guard.COLLECTOR: "who shows the instance's metrics token; anybody where none is set",
    Guard.SESSION: "who has signed in to the dashboard, by session; no token opens it",
    Guard.ACCOUNT: "any account, by session or token; it sees and changes what is its own",
    Guard.MEMBER: "an account with a membership of the agent, also one that waits for approval",
    Guard.APPROVED: "an account with an approved membership of the agent",
    Guard.SELF: "the account whose own membership the path names",
    Guard.SELF_OR_OWNER: "the account whose own membership the path names, and the agent's owner",
    Guard.POLICY_READER: "the agent's owner; on an untrusted agent a member too, for own policies",
    Guard.OWNER: "the agent's owner",
}
UPSTREAM: Final = ("upstream_unreachable", "upstream_broken", "upstream_timeout")
"""What asking a server for its tools may end in."""
OPEN: Final = frozenset({Guard.PUBLIC, Guard.COLLECTOR})
"""What is served without knowing who asks."""


class Stated(TypedDict):
    openapi_extra: dict[str, Any]


def by(guard: Guard, *codes: str) -> Stated:
    """What a route is added with: who may ask, and codes of problems that only its endpoint knows."""
    if unknown := sorted(set(codes) - CODES.keys()):
        raise ValueError(f"not in `core/codes.py`, where each code has its status and meaning: {unknown}")
    return {"openapi_extra": {GUARD: guard.value, OWN_CODES: list(codes)}}


def check_guard(path: str, extra: Mapping[str, Any] | None, among: Collection[Guard]) -> None:
    """Refuse a route that does not say who may ask, or says what its class does not check."""
    said = (extra or {}).get(GUARD)
    if said not in set(among):
        expected = ", ".join(sorted(among))
        raise ValueError(f"`{path}` has guard `{said}`: add it with `**by(...)` and one of {expected}")
