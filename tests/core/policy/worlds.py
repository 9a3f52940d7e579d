"""Small worlds and calls for the tests of policies."""

from collections.abc import Mapping
from datetime import UTC, datetime

from tests.core.policy.connectors import CONNECTORS
from wicket.core.model import (
    AgentStatus,
    Call,
    EntityUid,
    Json,
    JsonObject,
    MemberStatus,
    PolicyRef,
    Resource,
    Role,
    Tier,
    TrustMode,
)
from wicket.core.policy.document import PolicyDocument, digest_of, parse_policy
from wicket.core.world import AgentPolicy, AgentSettings, Member, World

NAMESPACE = "GitHubMCP"
NOON = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
"""A Wednesday."""
ALICE = Member("m-alice", "u-alice", "alice@example.org", Role.OWNER, MemberStatus.APPROVED)
BOB = Member("m-bob", "u-bob", "bob@example.org", Role.MEMBER, MemberStatus.APPROVED)


def raw_policy(**changes: Json) -> JsonObject:
    """Write a permit of everything that reads on GitHub, with `changes`; None leaves a field out."""
    raw: JsonObject = {
        "name": "Reads",
        "service": "github",
        "effect": "permit",
        "tools": ["tier:read"],
        **changes,
    }
    return {name: value for name, value in raw.items() if value is not None}


def bind(document: PolicyDocument, *, key: str, member_id: str | None = None) -> AgentPolicy:
    ref = PolicyRef(
        id=f"id-{key}",
        key=key,
        name=document.name,
        version=1,
        effect=document.effect,
        deny_message=document.deny_message,
        digest=digest_of(document, 1),
    )
    return AgentPolicy(ref, document, member_id)


def build_world(*documents: PolicyDocument, trust_mode: TrustMode = TrustMode.TRUSTED) -> World:
    """Build a world of alice and bob whose policies have the keys `p0`, `p1` ..."""
    return World(
        agent_id="agent",
        agent_name="bot",
        revision=1,
        status=AgentStatus.ACTIVE,
        trust_mode=trust_mode,
        settings=AgentSettings(),
        members={member.id: member for member in (ALICE, BOB)},
        keys={},
        services=CONNECTORS,
        policies=tuple(bind(d, key=f"p{i}", member_id=d.member_id) for i, d in enumerate(documents)),
        pins={},
        connections={},
    )


def world_of(*raws: Mapping[str, Json], trust_mode: TrustMode = TrustMode.TRUSTED) -> World:
    return build_world(*(parse_policy(dict(raw), CONNECTORS) for raw in raws), trust_mode=trust_mode)


def call_of(
    tool: str = "get_file_contents",
    *,
    tier: Tier = Tier.READ,
    selector: str | None = None,
    service: str = "github",
    namespace: str = NAMESPACE,
    member: Member = ALICE,
    ip: str = "192.0.2.7",
    resources: tuple[Resource, ...] | None = None,
    arguments: JsonObject | None = None,
) -> Call:
    return Call(
        method="tools/call",
        service=service,
        namespace=namespace,
        tool=tool,
        tier=tier,
        arguments=arguments or {},
        user_id=member.user_id,
        member_id=member.id,
        caller_ip=ip,
        selector=selector,
        resources=resources or (Resource(EntityUid(f"{namespace}::Service", service)),),
    )


PERMIT_ALL = raw_policy(name="All", tools=["tier:read", "tier:write", "tier:destructive"])


def matched_keys(matched: tuple[PolicyRef, ...]) -> list[str]:
    return [ref.key for ref in matched]
