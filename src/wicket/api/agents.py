"""Agents: names and tags, the kill switch, enabled services, settings."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Body, Query, Response
from pydantic import Field

from wicket.api.etags import IfMatch, put_etag
from wicket.api.guards import UPSTREAM, Guard, by
from wicket.api.http import AgentId, ApiParts, Asker, Caller, PageQuery, Parts, Text, guarded_router
from wicket.api.models import In, ListOut, Out
from wicket.api.shapes import SettingsBody
from wicket.core.model import AgentStatus, DenialShape, Role, TrustMode
from wicket.store import agents, rights
from wicket.store.agents import SeenAgent, StoredAgent, StoredSettings
from wicket.store.db import Transaction
from wicket.store.pins import SeenTool, seen_tools

R = TypeVar("R")


class AgentOut(Out):
    id: str
    name: str
    status: AgentStatus
    trust_mode: TrustMode
    role: Role
    """The caller's."""
    tags: Sequence[str]
    services: Sequence[str]
    created_at: datetime

    @classmethod
    def of(cls, agent: StoredAgent, role: Role = Role.OWNER) -> "AgentOut":
        return cls(
            id=agent.id,
            name=agent.name,
            status=agent.status,
            trust_mode=agent.trust_mode,
            role=role,
            tags=agent.tags,
            services=agent.services,
            created_at=agent.created_at,
        )

    @classmethod
    def seen(cls, seen: SeenAgent) -> "AgentOut":
        return cls.of(seen.agent, seen.role)


class AgentsQuery(PageQuery):
    search: Text | None = None
    status: AgentStatus | None = None
    role: Role | None = None
    tag: Text | None = None
    sort_by: Literal["name", "createdAt", "status"] = "createdAt"
    sort_dir: Literal["asc", "desc"] = "desc"


class AgentIn(In):
    name: str
    trust_mode: TrustMode
    tags: list[str] = Field(default_factory=list)


class AgentChangeIn(In):
    name: str | None = None
    tags: list[str] | None = None


class StatusIn(In):
    status: AgentStatus
    reason: str | None = None


class ServicesIn(In):
    services: list[str]


class SettingsOut(Out):
    """Null where the instance's setting applies."""

    rate_burst: int | None
    rate_per_second: float | None
    denial_shape: DenialShape
    time_zone: str | None

    @classmethod
    def of(cls, settings: StoredSettings) -> "SettingsOut":
        return cls.model_validate(agents.render_settings(settings))


def routes() -> APIRouter:
    """`/api/agents` and one agent."""
    router = guarded_router("agents")
    router.get("/api/agents", **by(Guard.ACCOUNT))(list_agents)
    router.post("/api/agents", status_code=201, **by(Guard.ACCOUNT, "name_taken", "too_many_agents"))(
        create_agent
    )
    router.get("/api/agents/{agentId}", **by(Guard.MEMBER))(read_agent)
    router.put("/api/agents/{agentId}", **by(Guard.OWNER, "version_conflict", "name_taken"))(update_agent)
    router.delete("/api/agents/{agentId}", status_code=204, **by(Guard.OWNER, "version_conflict"))(
        delete_agent
    )
    router.put("/api/agents/{agentId}/status", **by(Guard.OWNER, "version_conflict"))(put_status)
    router.put(
        "/api/agents/{agentId}/services", **by(Guard.OWNER, "version_conflict", "unknown_service", *UPSTREAM)
    )(put_services)
    router.get("/api/agents/{agentId}/settings", **by(Guard.APPROVED))(read_settings)
    router.put("/api/agents/{agentId}/settings", **by(Guard.OWNER, "version_conflict"))(put_settings)
    return router


async def list_agents(
    query: Annotated[AgentsQuery, Query()], caller: Caller, parts: Parts
) -> ListOut[AgentOut]:
    """The agents that the caller owns or is a member of."""
    page = await parts.db.read(
        agents.list_agents,
        account_id=caller.account_id,
        search=query.search,
        status=query.status,
        role=query.role,
        tag=query.tag,
        sort_by=query.sort_by,
        sort_dir=query.sort_dir,
        limit=query.limit,
        offset=query.start,
    )
    items = [AgentOut.seen(seen) for seen in page.items]
    return ListOut(items=items, total=page.total, next_cursor=query.next_cursor(page.total))


async def create_agent(body: AgentIn, response: Response, caller: Caller, parts: Parts) -> AgentOut:
    """Make an agent, whose owner and first member the caller is."""
    agent = await parts.db.change(
        agents.create_agent,
        owner_id=caller.account_id,
        name=body.name,
        trust_mode=body.trust_mode,
        tags=body.tags,
        now=parts.now(),
        agents=(),
    )
    response.headers["Location"] = f"/api/agents/{agent.id}"
    return _tagged(agent, response)


async def read_agent(agent_id: AgentId, response: Response, caller: Caller, parts: Parts) -> AgentOut:
    """One agent."""
    seen = await parts.db.read(agents.get_agent_of, agent_id=agent_id, account_id=caller.account_id)
    return _tagged(seen.agent, response, seen.role)


async def update_agent(
    agent_id: AgentId,
    body: AgentChangeIn,
    response: Response,
    if_match: IfMatch,
    caller: Caller,
    parts: Parts,
) -> AgentOut:
    """Rename or tag an agent; what is left out stays. The trust mode never changes."""
    agent = await parts.db.change(
        _as_owner,
        agents.update_agent,
        agent_id=agent_id,
        caller=caller,
        if_match=if_match,
        name=body.name,
        tags=body.tags,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )
    return _tagged(agent, response)


async def delete_agent(agent_id: AgentId, if_match: IfMatch, caller: Caller, parts: Parts) -> None:
    """Delete an agent: keys and credentials are gone at once, audit entries stay."""
    await parts.db.change(
        _as_owner,
        agents.delete_agent,
        agent_id=agent_id,
        caller=caller,
        if_match=if_match,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )


async def put_status(
    agent_id: AgentId, body: StatusIn, response: Response, if_match: IfMatch, caller: Caller, parts: Parts
) -> AgentOut:
    """The kill switch: while `disabled`, every call of the agent is refused; keys stay as they are."""
    is_stop = body.status is AgentStatus.DISABLED
    change = parts.db.change_urgently if is_stop else parts.db.change
    agent = await change(
        _as_owner,
        agents.set_status,
        agent_id=agent_id,
        caller=caller,
        if_match=if_match,
        status=body.status,
        reason=body.reason,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )
    return _tagged(agent, response)


async def put_services(
    agent_id: AgentId, body: ServicesIn, response: Response, if_match: IfMatch, caller: Caller, parts: Parts
) -> AgentOut:
    """Replace the enabled services. A local server is asked for its tools first, which are pinned."""
    seen = await parts.db.read(rights.require_owner, agent_id=agent_id, account_id=caller.account_id)
    fetched = await _fetch_local(parts, [key for key in body.services if key not in seen.agent.services])
    agent = await parts.db.change(
        _as_owner,
        agents.set_services,
        agent_id=agent_id,
        caller=caller,
        if_match=if_match,
        services=body.services,
        local=parts.stdio,
        local_tools=fetched,
        tiers_from_annotations=parts.tiers_from_annotations,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )
    return _tagged(agent, response)


async def read_settings(agent_id: AgentId, response: Response, caller: Caller, parts: Parts) -> SettingsOut:
    """Where the agent differs from the instance."""
    settings = await parts.db.read(_read_settings, agent_id=agent_id, caller=caller)
    put_etag(response, agents.etag_of_settings(settings))
    return SettingsOut.of(settings)


async def put_settings(
    agent_id: AgentId,
    body: Annotated[SettingsBody, Body()],
    response: Response,
    if_match: IfMatch,
    caller: Caller,
    parts: Parts,
) -> SettingsOut:
    """Replace the agent's settings; null or absent is the instance's."""
    settings = agents.parse_settings(body, known_zones=parts.known_zones)
    await parts.db.change(
        _as_owner,
        agents.put_settings,
        agent_id=agent_id,
        caller=caller,
        if_match=if_match,
        still=agents.check_settings,
        settings=settings,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )
    put_etag(response, agents.etag_of_settings(settings))
    return SettingsOut.of(settings)


def _tagged(agent: StoredAgent, response: Response, role: Role = Role.OWNER) -> AgentOut:
    put_etag(response, agents.etag_of(agent))
    return AgentOut.of(agent, role)


def _as_owner(
    tx: Transaction,
    fn: Callable[..., R],
    /,
    *,
    agent_id: str,
    caller: Asker,
    if_match: Collection[str] | None,
    still: Callable[..., None] = agents.check_agent,
    **kwargs: object,
) -> R:
    """Run a store function on an agent that the caller owns, if it is still what the caller has read."""
    rights.require_owner(tx, agent_id=agent_id, account_id=caller.account_id)
    still(tx, agent_id=agent_id, etags=if_match)
    return fn(tx, agent_id=agent_id, **kwargs)


def _read_settings(tx: Transaction, *, agent_id: str, caller: Asker) -> StoredSettings:
    rights.require_approved(tx, agent_id=agent_id, account_id=caller.account_id)
    return agents.get_settings(tx, agent_id=agent_id)


async def _fetch_local(parts: ApiParts, services: Sequence[str]) -> Mapping[str, Sequence[SeenTool]]:
    """What the local servers among `services` list; raises UpstreamFailed."""
    local = [key for key in dict.fromkeys(services) if key in parts.stdio]
    # Each may have to be started first: all at once, so that the caller waits for the slowest alone.
    fetched = await asyncio.gather(*(parts.fetch_tools(parts.stdio[key], None) for key in local))
    return {key: seen_tools(tools) for key, tools in zip(local, fetched, strict=True)}
