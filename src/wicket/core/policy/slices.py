"""Which policies can bear on a call: a slice of the agent's, so that cost does not grow with the rest.

A slice holds the enabled policies of the member whose service, tools and principal cover the call; whether
their conditions hold is for the engine. Calls and lists take their slices from here, so what may be called
is what is listed.

An agent's world holds its policies, so it imports them and they cannot import it: the protocols below say what
of a world is read here.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from wicket.core.model import Connector, PolicyRef, Tier, TrustMode
from wicket.core.policy.document import EVERY, PolicyDocument, covering_patterns

CACHED_MAX = 4_096
"""Entries of a world's cache; beyond it starts anew."""

Place: TypeAlias = tuple[str, str, str | None]
"""Service, entry of `tools`, user id or None for all members."""


class BindingPolicy(Protocol):
    """One policy of an agent, at one version."""

    @property
    def ref(self) -> PolicyRef: ...

    @property
    def document(self) -> PolicyDocument: ...


class BoundMember(Protocol):
    """Whom policies bind."""

    @property
    def id(self) -> str: ...

    @property
    def user_id(self) -> str: ...


class RuledWorld(Protocol):
    """An agent's world, as far as its policies go."""

    @property
    def agent_name(self) -> str: ...

    @property
    def trust_mode(self) -> TrustMode: ...

    @property
    def services(self) -> Mapping[str, Connector]: ...

    @property
    def slices(self) -> dict[object, object]: ...

    def policies_of(self, member_id: str) -> Sequence[BindingPolicy]: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What a slice is for: everything of a call that decides which policies cover it."""

    service: str
    tool: str
    selector: str | None
    tier: Tier
    user_id: str
    member_id: str


class Index:
    """Policies by the places where a call may find them."""

    __slots__ = ("_places",)

    def __init__(self, policies: Sequence[BindingPolicy]) -> None:
        self._places: dict[Place, list[tuple[int, BindingPolicy]]] = {}
        for order, policy in enumerate(policies):
            if policy.document.enabled:
                for place in _places_of(policy):
                    self._places.setdefault(place, []).append((order, policy))

    def find_covering(self, subject: Subject) -> tuple[BindingPolicy, ...]:
        """List the policies that cover a call, in the agent's order."""
        patterns = covering_patterns(subject.tool, subject.selector, subject.tier)
        found: dict[int, BindingPolicy] = {}
        for user in (None, subject.user_id):
            for pattern in patterns:
                found.update(self._places.get((subject.service, pattern, user), ()))
            found.update(self._places.get((EVERY, EVERY, user), ()))
        return tuple(found[order] for order in sorted(found))


def _places_of(policy: BindingPolicy) -> list[Place]:
    document = policy.document
    users: Sequence[str | None] = document.principal.user_ids or ()
    if document.principal.user_ids is None:
        users = (None,)
    return [(document.service, pattern, user) for pattern in document.tools for user in users]


def find_covering(world: RuledWorld, subject: Subject) -> tuple[BindingPolicy, ...]:
    """List the policies of `world` that cover a call, in the agent's order."""
    trusted = world.trust_mode is TrustMode.TRUSTED
    key = ("index", None if trusted else subject.member_id)
    index = world.slices.get(key)
    if not isinstance(index, Index):
        index = Index(world.policies_of(subject.member_id))
        remember(world, key, index)
    return index.find_covering(subject)


def remember(world: RuledWorld, key: Hashable, value: object) -> None:
    """Keep what was derived from `world` for the next call, within a bound."""
    if len(world.slices) >= CACHED_MAX:
        world.slices.clear()
    world.slices[key] = value
