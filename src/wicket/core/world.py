"""An agent's world: everything about one agent that a decision reads, frozen, under one revision.

A world is loaded in one read snapshot with its revision and replaced whole. The recorder accepts a decision
only while the revision it was taken under is still the database's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from wicket.core.entities import EntityCache
from wicket.core.model import (
    AgentStatus,
    Connector,
    DenialShape,
    MemberStatus,
    PolicyRef,
    Reason,
    Role,
    Tier,
    TrustMode,
)
from wicket.core.policy.document import PolicyDocument

_MEMBERSHIP: Final = b"membership\0"


@dataclass(frozen=True, slots=True)
class Member:
    id: str
    user_id: str
    email: str
    role: Role
    status: MemberStatus


@dataclass(frozen=True, slots=True)
class MemberKey:
    """A key's record; the key itself is nowhere."""

    id: str
    member_id: str
    digest: bytes
    live: bool

    @classmethod
    def of_membership(cls, member_id: str, *, key_id: str) -> "MemberKey":
        """Stands for a member who was let in without a key; its digest is that of no key."""
        return cls(key_id, member_id, _MEMBERSHIP + member_id.encode(), live=True)


@dataclass(frozen=True, slots=True)
class ConnectionRef:
    """That a member has connected a service, and which state of the credential this world knows."""

    id: str
    version: int


@dataclass(frozen=True, slots=True)
class ToolPin:
    """What is accepted of one tool of (agent, service)."""

    tier: Tier | None
    """From the owner's review or the catalog; None: seen, in no table, not reviewed."""
    accepted: frozenset[str] = frozenset()
    """Definition hashes that may be shown and called."""
    held: bool = False
    """The owner holds the tool back, whatever its definition."""
    changed_for: frozenset[str] = frozenset()
    """Ids of the members whose upstream sends a definition outside `accepted`."""


@dataclass(frozen=True, slots=True)
class AgentPolicy:
    """One enabled policy of the agent, at its current version."""

    ref: PolicyRef
    document: PolicyDocument
    member_id: str | None = None
    """Untrusted agents: whose policy it is."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    rate_burst: int | None = None
    """Overrides the instance's bucket size; None: the instance's."""
    rate_per_second: float | None = None
    denial_shape: DenialShape = DenialShape.ERROR


@dataclass(frozen=True, slots=True)
class World:
    agent_id: str
    agent_name: str
    revision: int
    status: AgentStatus
    trust_mode: TrustMode
    settings: AgentSettings
    members: Mapping[str, Member]
    keys: Mapping[bytes, MemberKey]
    services: Mapping[str, Connector]
    """The enabled connectors by key, in the owner's order."""
    policies: tuple[AgentPolicy, ...]
    pins: Mapping[tuple[str, str], ToolPin]
    """(service, tool) -> pin."""
    connections: Mapping[tuple[str, str], ConnectionRef]
    """(member id, service) -> the member's connection."""
    slices: dict[object, object] = field(default_factory=dict, compare=False, repr=False)
    """The engine's cache of parsed policy slices; lives and dies with this revision."""
    entities: EntityCache = field(default_factory=EntityCache, compare=False, repr=False)
    """What was looked up of the resources behind its connectors, under this revision."""

    def present(self, key: MemberKey) -> MemberKey | None:
        """A key as this world knows it; None when it knows none, or no such member."""
        known = self.keys.get(key.digest)
        if known is not None or not key.digest.startswith(_MEMBERSHIP):
            return known
        return key if key.member_id in self.members else None

    def refusal(self, key: MemberKey) -> Reason | None:
        """Why no call of `key` may be decided now (a 401 or a 403), or None."""
        if not key.live:
            return Reason.KEY_REVOKED
        if self.status is not AgentStatus.ACTIVE:
            return Reason.AGENT_DISABLED
        if self.members[key.member_id].status is not MemberStatus.APPROVED:
            return Reason.MEMBER_NOT_APPROVED
        return None

    def policies_of(self, member_id: str) -> tuple[AgentPolicy, ...]:
        """The policies that bind a member: the agent's when trusted, the member's own when untrusted."""
        if self.trust_mode is TrustMode.TRUSTED:
            return tuple(p for p in self.policies if p.member_id is None)
        return tuple(p for p in self.policies if p.member_id == member_id)

    def is_connected(self, member_id: str, service: str) -> bool:
        """Whether a call of this member would find what its upstream asks for."""
        connector = self.services[service]
        return (
            connector.auth == "none" or not connector.per_member or (member_id, service) in self.connections
        )
