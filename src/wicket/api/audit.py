"""The log of calls, for readers: owners see the agents that they own, members their own calls."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from wicket.api.guards import Guard, by
from wicket.api.http import Caller, EntryId, Parts, guarded_router
from wicket.api.models import In, ListOut, Out, whole
from wicket.api.shapes import EntryOut
from wicket.store.audit import query as log
from wicket.store.audit.filters import AuditFilter, parse_filter


class FilterQuery(In):
    """Every filter must hold. What each may be is the store's to judge, which names the bad one."""

    from_: str | None = Field(None, alias="from", description="ISO date or date-time, inclusive")
    to: str | None = Field(None, description="the same; a date is that whole day, UTC")
    agent: str | None = Field(None, description="part of the agent's name")
    service: str | None = Field(None, description="the connector's key")
    tool: str | None = Field(None, description="part of the tool's name")
    result: str | None = Field(None, description="`ALLOW` or `DENY`")
    member: str | None = Field(None, description="UUID or e-mail address")
    policy: str | None = Field(None, description="UUID or key")
    session: str | None = Field(None, description="the tool session")
    agent_id: str | None = Field(None, description="the agent")
    reason: str | None = Field(None, description="the reason code")
    outcome: str | None = Field(None, description="how the call ended")
    ip: str | None = Field(None, description="the caller's address")
    q: str | None = Field(None, description="part of tool, resource, reason or deny message")


def filter_of(query: FilterQuery) -> AuditFilter:
    """The filter in a query; raises Invalid naming the parameter."""
    return parse_filter(
        query.model_dump(by_alias=True, exclude_none=True, include={*FilterQuery.model_fields})
    )


class AuditQuery(FilterQuery):
    limit: int = Field(log.LIMIT_MAX, ge=1, le=log.LIMIT_MAX)
    offset: int = Field(0, ge=0, le=log.OFFSET_MAX)
    cursor: str | None = Field(None, max_length=200, description="the `nextCursor` of a page")


class SeenMemberOut(Out):
    id: str
    name: str
    """The e-mail address."""
    agent_id: str
    agent_name: str


def routes() -> APIRouter:
    """`/api/audit`."""
    router = guarded_router("audit")
    router.get("/api/audit", **by(Guard.ACCOUNT))(list_entries)
    router.get("/api/audit/members", **by(Guard.ACCOUNT))(list_seen_members)
    router.get("/api/audit/{entryId}", **by(Guard.ACCOUNT))(read_entry)
    return router


async def list_entries(
    query: Annotated[AuditQuery, Query()], caller: Caller, parts: Parts
) -> ListOut[EntryOut]:
    """Calls that match, newest first. A page may be short and yet have a `nextCursor`: it leads further back."""
    page = await parts.db.read(
        log.list_entries,
        account_id=caller.account_id,
        wanted=filter_of(query),
        limit=query.limit,
        offset=query.offset,
        cursor=query.cursor,
    )
    return ListOut(items=page.items, next_cursor=page.next_cursor, total=page.total)


async def read_entry(entry_id: EntryId, caller: Caller, parts: Parts) -> EntryOut:
    """One call."""
    return await parts.db.read(log.get_entry, account_id=caller.account_id, entry_id=entry_id)


async def list_seen_members(caller: Caller, parts: Parts) -> ListOut[SeenMemberOut]:
    """The members in the entries that the caller may see, for pickers."""
    found = await parts.db.read(log.list_members, account_id=caller.account_id)
    return whole([SeenMemberOut.model_validate(member) for member in found])
