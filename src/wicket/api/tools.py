"""Tools: what the catalog knows of them, what is pinned for an agent, and the owner's word on changes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import StrictBool

from wicket.api.guards import UPSTREAM, Guard, by
from wicket.api.http import AgentId, ApiParts, Asker, Caller, Parts, Service, Text, Tool, guarded_router
from wicket.api.models import In, ListOut, Out, RawObject, whole
from wicket.connectors.services import catalog, target_type
from wicket.core.errors import Conflict, Invalid
from wicket.core.keys import Binding, SealBroken, ServerKeys
from wicket.core.model import AuthType, Connector, Tier, ToolFacts
from wicket.runtime.upstream import Credential
from wicket.store import connections, connectors, pins, rights
from wicket.store.agents import SeenAgent
from wicket.store.connections import SealedConnection
from wicket.store.db import Transaction
from wicket.store.pins import PinnedTool, SeenTool, ToolChange, seen_tools


class CatalogToolOut(Out):
    service: str
    name: str
    tier: Tier | None
    """None: an agent's owner has to review it."""
    selector: str | None = None
    """The argument that says what a call of a multiplexing tool really does."""
    selector_tiers: Mapping[str, Tier] = {}
    resource_args: Sequence[str] = ()
    offered: bool = True
    target: Literal["none", "resource", "search"] = "none"
    """What its calls work on: nothing that policies know, a resource, or whatever lies in the service."""
    resource_type: str | None = None
    """Name of the type of that resource."""

    @classmethod
    def of(cls, service: str, facts: ToolFacts) -> "CatalogToolOut":
        kind = target_type(service, facts.target) if facts.target else ""
        return cls(
            service=service,
            name=facts.name,
            tier=facts.tier,
            selector=facts.selector,
            selector_tiers=dict(facts.selector_tiers),
            resource_args=facts.resource_args,
            offered=facts.offered,
            target="none" if not facts.target else "resource" if kind else "search",
            resource_type=kind or None,
        )


class PendingChangeOut(Out):
    """A definition that a member's upstream sends and nobody has accepted."""

    member_id: str
    hash: str
    definition: RawObject
    seen_at: datetime

    @classmethod
    def of(cls, change: ToolChange) -> "PendingChangeOut":
        return cls(
            member_id=change.member_id,
            hash=change.hash,
            definition=change.definition,
            seen_at=change.seen_at,
        )


class PinnedToolOut(Out):
    name: str
    tier: Tier | None
    """In force; None: denied until it is reviewed."""
    proposed_tier: Tier | None
    held: bool
    accepted: Sequence[str]
    """Hashes of the accepted definitions."""
    definition: RawObject
    """The one accepted last."""
    first_seen_at: datetime
    reviewed_at: datetime | None
    changes: Sequence[PendingChangeOut]

    @classmethod
    def of(cls, tool: PinnedTool) -> "PinnedToolOut":
        return cls(
            name=tool.name,
            tier=tool.tier,
            proposed_tier=tool.proposed_tier,
            held=tool.held,
            accepted=tool.accepted,
            definition=tool.definition,
            first_seen_at=tool.first_seen_at,
            reviewed_at=tool.reviewed_at,
            changes=[PendingChangeOut.of(change) for change in tool.changes],
        )


class RefreshedOut(ListOut[PinnedToolOut]):
    fetched: bool
    """False: only a call or list with the member's key can ask this server; the next one does."""


class CatalogQuery(In):
    service: Text | None = None


class ReviewIn(In):
    tier: Tier | None = None
    hold: StrictBool = False


def routes() -> APIRouter:
    """`/api/tools/catalog`, and the tools of an agent's services."""
    router = guarded_router("tools")
    one = "/api/agents/{agentId}/services/{service}/tools"
    router.get("/api/tools/catalog", **by(Guard.ACCOUNT, "unknown_service"))(list_catalog)
    router.get(one, **by(Guard.OWNER))(list_pinned)
    router.post(one + "/refresh", **by(Guard.OWNER, "service_not_enabled", *UPSTREAM))(refresh_tools)
    router.post(one + "/{tool}/review", **by(Guard.OWNER))(review_tool)
    return router


async def list_catalog(
    query: Annotated[CatalogQuery, Query()], caller: Caller, parts: Parts
) -> ListOut[CatalogToolOut]:
    """What is known of tools before any server was asked: the catalog, and the caller's own connectors."""
    own = await parts.db.read(connectors.list_connectors, account_id=caller.account_id)
    known = {
        **{connector.key: [] for connector in parts.stdio.values()},
        **{
            connector.key: [
                CatalogToolOut(service=connector.key, name=tool.name, tier=tool.tier)
                for tool in connector.tools
            ]
            for connector in own
        },
        **{
            key: [CatalogToolOut.of(key, facts) for facts in c.tools.values()] for key, c in catalog().items()
        },
    }
    if query.service is None:
        return whole([tool for tools in known.values() for tool in tools])
    if query.service not in known:
        raise Invalid(
            f"there is no connector `{query.service}`: name one of `/api/connectors/meta`",
            field="service",
            code="unknown_service",
        )
    return whole(known[query.service])


async def list_pinned(
    agent_id: AgentId, service: Service, caller: Caller, parts: Parts
) -> ListOut[PinnedToolOut]:
    """The tools seen so far, with the definitions that wait for a review; the owner's to read."""
    tools = await parts.db.read(
        rights.as_owner, pins.list_tools, agent_id=agent_id, account_id=caller.account_id, service=service
    )
    return whole([PinnedToolOut.of(tool) for tool in tools])


async def review_tool(
    agent_id: AgentId, service: Service, tool: Tool, body: ReviewIn, caller: Caller, parts: Parts
) -> PinnedToolOut:
    """Accept what is pending of a tool, at a tier; or hold the tool back."""
    reviewed = await parts.db.change(
        rights.as_owner,
        pins.review,
        agent_id=agent_id,
        account_id=caller.account_id,
        service=service,
        tool=tool,
        tier=body.tier,
        hold=body.hold,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )
    return PinnedToolOut.of(reviewed)


async def refresh_tools(agent_id: AgentId, service: Service, caller: Caller, parts: Parts) -> RefreshedOut:
    """Forget what is remembered of a service's tools, and compare what its server lists now with the pins."""
    seen, connector, sealed = await parts.db.read(
        _find_source, agent_id=agent_id, service=service, caller=caller, local=parts.stdio
    )
    parts.forget_tools(agent_id, service)
    fetched = await _fetch(parts, connector, sealed)
    if fetched is not None:
        await parts.db.change(
            rights.as_owner,
            pins.observe,
            agent_id=agent_id,
            account_id=caller.account_id,
            service=service,
            member_id=seen.member_id,
            seen=fetched,
            now=parts.now(),
            agents=[agent_id],
        )
    listed = await list_pinned(agent_id, service, caller, parts)
    return RefreshedOut(items=listed.items, total=listed.total, fetched=fetched is not None)


def _find_source(
    tx: Transaction, *, agent_id: str, service: str, caller: Asker, local: Mapping[str, Connector]
) -> tuple[SeenAgent, Connector, SealedConnection | None]:
    """Where the tools of an enabled service come from, and the owner's own credential for it."""
    seen = rights.require_owner(tx, agent_id=agent_id, account_id=caller.account_id)
    connector = {**connectors.load_connectors(tx, [service]), **local, **catalog()}.get(service)
    if connector is None or service not in seen.agent.services:
        raise Conflict(f"`{service}` is not enabled for this agent: enable it", code="service_not_enabled")
    sealed = connections.find_sealed(tx, agent_id=agent_id, member_id=seen.member_id, service=service)
    return seen, connector, sealed


async def _fetch(
    parts: ApiParts, connector: Connector, sealed: SealedConnection | None
) -> Sequence[SeenTool] | None:
    """The server's tools; None where only a member's key could ask for them. Raises UpstreamFailed."""
    if connector.auth is AuthType.NONE:
        return seen_tools(await parts.fetch_tools(connector, None))
    token = _open(parts.keys, connector, sealed)
    if token is None:
        return None
    scheme = "Bearer " if connector.auth is AuthType.BEARER else ""
    return seen_tools(await parts.fetch_tools(connector, Credential(connector.auth_header, scheme + token)))


def _open(keys: ServerKeys, connector: Connector, sealed: SealedConnection | None) -> str | None:
    """The credential, where the server's own key opens one."""
    try:
        if not connector.per_member and connector.sealed_credential is not None:
            return keys.open_sealed(connector.sealed_credential, Binding.of_connector(connector.id)).decode()
        if connector.per_member and sealed is not None and sealed.key_id is None:
            return keys.open_sealed(sealed.sealed, sealed.binding).decode()
    except SealBroken:
        return None
    return None
