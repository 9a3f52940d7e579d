"""The changes that people made: policies saved, members approved, keys rotated, settings, tokens."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from wicket.api.guards import Guard, by
from wicket.api.http import Caller, Parts, guarded_router
from wicket.api.models import In, ListOut, Out, RawObject
from wicket.store.audit import changes
from wicket.store.audit.filters import parse_change_filter
from wicket.store.page import PAGE_DEFAULT, PAGE_MAX


class ChangesQuery(In):
    from_: str | None = Field(None, alias="from", description="ISO date or date-time, inclusive")
    to: str | None = Field(None, description="the same; a date is that whole day, UTC")
    agent_id: str | None = Field(None, description="the agent")
    kind: str | None = Field(None, description="what was done, `policy_updated`")
    actor: str | None = Field(None, description="who did it: UUID of the account, or e-mail address")
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_MAX)
    cursor: str | None = Field(None, max_length=200, description="the `nextCursor` of a page")


class ChangeOut(Out):
    id: str
    at: str
    """ISO 8601 UTC."""
    kind: str
    agent_id: str | None
    agent_name: str | None
    """As it is now."""
    actor_id: str | None
    """The account; None for what was done on the host, or by Wicket itself."""
    actor_email: str | None
    details: RawObject
    """What was changed, without secrets."""
    seq: int
    """The place in the chain of changes."""
    hash: str
    """The link of that chain, hexadecimal."""


def routes() -> APIRouter:
    """`/api/audit/changes`."""
    router = guarded_router("audit")
    router.get("/api/audit/changes", **by(Guard.ACCOUNT))(list_changes)
    return router


async def list_changes(
    query: Annotated[ChangesQuery, Query()], caller: Caller, parts: Parts
) -> ListOut[ChangeOut]:
    """Changes of the caller's agents and of the caller's own account, newest first.

    A page may be short and yet have a `nextCursor`: it leads further back.
    """
    filters = query.model_dump(by_alias=True, exclude_none=True, exclude={"limit", "cursor"})
    page = await parts.db.read(
        changes.list_changes,
        account_id=caller.account_id,
        wanted=parse_change_filter(filters),
        limit=query.limit,
        cursor=query.cursor,
    )
    return ListOut(
        items=[ChangeOut.model_validate(item) for item in page.items], next_cursor=page.next_cursor
    )
