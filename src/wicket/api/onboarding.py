"""What a member still has to do before the first call."""

from collections.abc import Sequence

from fastapi import APIRouter

from wicket.api.guards import Guard, by
from wicket.api.http import AgentId, ApiParts, Asker, Caller, Parts, guarded_router
from wicket.api.members import KeyOut
from wicket.api.models import Out
from wicket.connectors.services import AuthKind
from wicket.core.model import AgentStatus, MemberStatus, Role
from wicket.store import onboarding
from wicket.store.agents import get_agent_of
from wicket.store.db import Transaction
from wicket.store.onboarding import KeyState, NextStep, Onboarding, ServiceToConnect


class ServiceToConnectOut(Out):
    service: str
    name: str
    auth_kinds: Sequence[AuthKind]
    """Empty where nobody needs to connect."""
    can_paste_token: bool
    connected: bool
    needs_reconnect: bool

    @classmethod
    def of(cls, service: ServiceToConnect) -> "ServiceToConnectOut":
        return cls(
            service=service.service,
            name=service.name,
            auth_kinds=service.kinds,
            can_paste_token=service.can_paste_token,
            connected=service.is_connected,
            needs_reconnect=service.needs_reconnect,
        )


class OnboardingOut(Out):
    agent_id: str
    agent_name: str
    agent_status: AgentStatus
    member_id: str
    role: Role
    status: MemberStatus
    """Of the membership."""
    key: KeyOut | None
    key_state: KeyState
    services: Sequence[ServiceToConnectOut]
    next_step: NextStep
    url: str
    """What a client connects to, with the key as bearer."""

    @classmethod
    def of(cls, found: Onboarding, public_url: str) -> "OnboardingOut":
        seen = found.seen
        return cls(
            agent_id=seen.agent.id,
            agent_name=seen.agent.name,
            agent_status=seen.agent.status,
            member_id=seen.member_id,
            role=seen.role,
            status=seen.member_status,
            key=None if found.key is None else KeyOut.of(found.key),
            key_state=found.key_state,
            services=[ServiceToConnectOut.of(service) for service in found.services],
            next_step=found.next_step,
            url=f"{public_url}/mcp",
        )


def routes() -> APIRouter:
    """`/api/agents/{agentId}/onboarding`."""
    router = guarded_router("connections")
    router.get("/api/agents/{agentId}/onboarding", **by(Guard.MEMBER))(read_onboarding)
    return router


async def read_onboarding(agent_id: AgentId, caller: Caller, parts: Parts) -> OnboardingOut:
    """How far the caller is: services, key, membership, and what to do next; metadata only."""
    found = await parts.db.read(_describe, agent_id=agent_id, caller=caller, parts=parts)
    return OnboardingOut.of(found, parts.public_url)


def _describe(tx: Transaction, *, agent_id: str, caller: Asker, parts: ApiParts) -> Onboarding:
    seen = get_agent_of(tx, agent_id=agent_id, account_id=caller.account_id)
    return onboarding.describe(tx, seen=seen, local=parts.stdio, server=parts.keys)
