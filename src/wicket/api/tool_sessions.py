"""Tool sessions of an agent: what each client conversation has done so far, and its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import Field

from wicket.api.guards import Guard, by
from wicket.api.http import AgentId, ApiParts, Caller, PageQuery, Parts, Text, ToolSessionId, guarded_router
from wicket.api.models import ListOut, Out
from wicket.api.shapes import EntryOut
from wicket.core.model import JsonObject, Role, TrustMode
from wicket.store import rights, sessions
from wicket.store.agents import SeenAgent, get_agent_of
from wicket.store.audit import query as log
from wicket.store.audit.filters import parse_filter
from wicket.store.db import Transaction
from wicket.store.page import Page
from wicket.store.sessions import EndReason, ToolSession

ACTIVITY_MAX: Final = 50
"""Calls that are shown with a session; the log has all of them."""


class SessionsQuery(PageQuery):
    active: bool | None = Field(None, description="only those that go on")
    member: Text | None = Field(None, description="only of this member")


class ToolSessionOut(Out):
    id: str
    """`ts_...`, as in the log."""
    member_id: str
    agent_type: str
    """The client's name, as it says."""
    client_version: str
    external_session_id: str
    """What the client calls its conversation."""
    is_active: bool
    created_at: datetime
    last_activity_at: datetime
    call_count: int
    deny_count: int
    tools_used: Mapping[str, int]
    """`github:get_file_contents` -> calls, allowed or denied."""
    policies_allow_counts: Mapping[str, int] | None
    """Policy key -> calls that it permitted; null for whom policies are withheld from."""
    policies_deny_counts: Mapping[str, int] | None
    labels: Sequence[str]
    """What the session has touched: `github:private`."""
    terminated_at: datetime | None
    terminated_reason: EndReason | None

    @classmethod
    def of(cls, session: ToolSession, seen: SeenAgent, parts: ApiParts) -> "ToolSessionOut":
        facts = session.facts
        end = session.end(now=parts.now(), idle=parts.tool_session_idle)
        shows_policies = seen.role is Role.OWNER or seen.agent.trust_mode is not TrustMode.TRUSTED
        return cls(
            id=session.id,
            member_id=session.member_id,
            agent_type=session.client_name,
            client_version=session.client_version,
            external_session_id=session.external_id,
            is_active=end is None,
            created_at=session.created_at,
            last_activity_at=session.last_activity_at,
            call_count=facts.call_count,
            deny_count=facts.deny_count,
            tools_used=facts.tools_used,
            policies_allow_counts=facts.policy_allows if shows_policies else None,
            policies_deny_counts=facts.policy_denies if shows_policies else None,
            labels=sorted(facts.labels),
            terminated_at=None if end is None else end[0],
            terminated_reason=None if end is None else end[1],
        )


class ActiveSessionOut(ToolSessionOut):
    activity: Sequence[EntryOut]
    """Its newest calls, newest first; `GET /api/audit?session=` has all."""


@dataclass(frozen=True, slots=True)
class Found:
    """A session, as one account sees it."""

    seen: SeenAgent
    session: ToolSession
    activity: Sequence[JsonObject] = ()


def routes() -> APIRouter:
    """`/api/agents/{agentId}/sessions`."""
    router = guarded_router("sessions")
    root = "/api/agents/{agentId}/sessions"
    one = root + "/{toolSessionId}"
    router.get(root, **by(Guard.MEMBER))(list_tool_sessions)
    router.get(one, **by(Guard.MEMBER))(read_tool_session)
    router.post(one + "/reset", **by(Guard.OWNER))(reset_tool_session)
    return router


async def list_tool_sessions(
    agent_id: AgentId, query: Annotated[SessionsQuery, Query()], caller: Caller, parts: Parts
) -> ListOut[ToolSessionOut]:
    """The sessions of an agent, last active first: to the owner all of them, to a member the own ones."""
    seen, page = await parts.db.read(
        _list, agent_id=agent_id, account_id=caller.account_id, query=query, parts=parts
    )
    items = [ToolSessionOut.of(session, seen, parts) for session in page.items]
    return ListOut(items=items, total=page.total, next_cursor=query.next_cursor(page.total))


async def read_tool_session(
    agent_id: AgentId, session_id: ToolSessionId, caller: Caller, parts: Parts
) -> ActiveSessionOut:
    """One session, with its newest calls."""
    found = await parts.db.read(_read, agent_id=agent_id, session_id=session_id, account_id=caller.account_id)
    shown = ToolSessionOut.of(found.session, found.seen, parts)
    return ActiveSessionOut.model_validate({**shown.model_dump(), "activity": found.activity})


async def reset_tool_session(
    agent_id: AgentId, session_id: ToolSessionId, caller: Caller, parts: Parts
) -> ToolSessionOut:
    """End a session at once: the client's next call begins a fresh one, whose facts are those of no call."""
    found = await parts.db.change(
        _reset,
        agent_id=agent_id,
        session_id=session_id,
        account_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )
    return ToolSessionOut.of(found.session, found.seen, parts)


def _list(
    tx: Transaction, *, agent_id: str, account_id: str, query: SessionsQuery, parts: ApiParts
) -> tuple[SeenAgent, Page[ToolSession]]:
    seen = get_agent_of(tx, agent_id=agent_id, account_id=account_id)
    whose = query.member
    if seen.role is not Role.OWNER:
        if whose not in (None, seen.member_id):
            return seen, Page([], 0)
        whose = seen.member_id
    page = sessions.list_sessions(
        tx,
        agent_id=agent_id,
        member_id=whose,
        active_since=parts.now() - parts.tool_session_idle if query.active else None,
        limit=query.limit,
        offset=query.start,
    )
    return seen, page


def _read(tx: Transaction, *, agent_id: str, session_id: str, account_id: str) -> Found:
    seen = get_agent_of(tx, agent_id=agent_id, account_id=account_id)
    session = sessions.get_session(
        tx,
        agent_id=agent_id,
        session_id=session_id,
        member_id=None if seen.role is Role.OWNER else seen.member_id,
    )
    wanted = parse_filter({"session": session_id, "agentId": agent_id})
    page = log.list_entries(tx, account_id=account_id, wanted=wanted, limit=ACTIVITY_MAX)
    return Found(seen, session, page.items)


def _reset(tx: Transaction, *, agent_id: str, session_id: str, account_id: str, now: datetime) -> Found:
    seen = rights.require_owner(tx, agent_id=agent_id, account_id=account_id)
    session = sessions.reset_session(
        tx, agent_id=agent_id, session_id=session_id, actor_id=account_id, now=now
    )
    return Found(seen, session)
