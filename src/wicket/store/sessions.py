"""Tool sessions as people see them. The recorder makes them and keeps their facts; a person may only end one."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from wicket.core.errors import NotFound
from wicket.core.session import Facts, facts_from_json
from wicket.store import tables
from wicket.store.changes import record_change
from wicket.store.instants import from_us, to_us
from wicket.store.page import PAGE_DEFAULT, Page, check_page

COUNTED_MAX: Final = 10_000

_S = tables.tool_sessions.c


class EndReason(StrEnum):
    INACTIVITY = "inactivity"
    MANUAL_RESET = "manual_reset"
    PROXY_RESTART = "proxy_restart"


@dataclass(frozen=True, slots=True)
class ToolSession:
    id: str
    agent_id: str
    member_id: str
    key_id: str
    external_id: str
    client_name: str
    client_version: str
    facts: Facts
    created_at: datetime
    last_activity_at: datetime
    ended_at: datetime | None
    ended_reason: EndReason | None

    def is_active(self, *, now: datetime, idle: timedelta) -> bool:
        """Whether its next call would go on counting."""
        return self.end(now=now, idle=idle) is None

    def end(self, *, now: datetime, idle: timedelta) -> tuple[datetime, EndReason] | None:
        """When and why it ended, None while it goes on.

        One that went idle has ended, though its row says so only when somebody calls again.
        """
        if self.ended_at is not None and self.ended_reason is not None:
            return self.ended_at, self.ended_reason
        if now - self.last_activity_at > idle:
            return self.last_activity_at + idle, EndReason.INACTIVITY
        return None


def list_sessions(
    tx: sa.Connection,
    *,
    agent_id: str,
    member_id: str | None = None,
    active_since: datetime | None = None,
    limit: int = PAGE_DEFAULT,
    offset: int = 0,
) -> Page[ToolSession]:
    """The sessions of an agent, last active first; with `active_since`, those that go on and called since then.

    More than `COUNTED_MAX` are not counted.
    """
    check_page(limit=limit, offset=offset)
    wanted = [_S.agent_id == agent_id]
    if member_id is not None:
        wanted.append(_S.member_id == member_id)
    if active_since is not None:
        wanted += [_S.ended_at.is_(None), _S.last_activity_at >= to_us(active_since)]
    counted = sa.select(_S.id).where(*wanted).limit(COUNTED_MAX).subquery()
    total = tx.execute(sa.select(sa.func.count()).select_from(counted)).scalar_one()
    rows = tx.execute(
        sa.select(tables.tool_sessions)
        .where(*wanted)
        .order_by(_S.last_activity_at.desc(), _S.id)
        .limit(limit)
        .offset(offset)
    )
    return Page([_session_of(row) for row in rows], total)


def get_session(
    tx: sa.Connection, *, agent_id: str, session_id: str, member_id: str | None = None
) -> ToolSession:
    """A session, live or ended; raises NotFound, with `member_id` also for another member's."""
    wanted = [_S.agent_id == agent_id, _S.id == session_id]
    if member_id is not None:
        wanted.append(_S.member_id == member_id)
    row = tx.execute(sa.select(tables.tool_sessions).where(*wanted)).one_or_none()
    if row is None:
        raise NotFound(f"there is no session `{session_id}` of this agent: list its sessions to find the id")
    return _session_of(row)


def reset_session(
    tx: sa.Connection, *, agent_id: str, session_id: str, actor_id: str | None, now: datetime
) -> ToolSession:
    """End a session at once: the client's next call starts a fresh one. One that has ended stays as it is."""
    ended = tx.execute(
        sa.update(tables.tool_sessions)
        .where(_S.agent_id == agent_id, _S.id == session_id, _S.ended_at.is_(None))
        .values(ended_at=to_us(now), ended_reason=EndReason.MANUAL_RESET.value)
    )
    session = get_session(tx, agent_id=agent_id, session_id=session_id)
    if ended.rowcount:
        record_change(
            tx,
            kind="session_reset",
            agent_id=agent_id,
            actor_id=actor_id,
            body={"sessionId": session_id, "memberId": session.member_id},
            now=now,
        )
    return session


def _session_of(row: sa.Row[Any]) -> ToolSession:
    return ToolSession(
        id=row.id,
        agent_id=row.agent_id,
        member_id=row.member_id,
        key_id=row.key_id,
        external_id=row.external_id,
        client_name=row.client_name,
        client_version=row.client_version,
        facts=facts_from_json(json.loads(row.facts)),
        created_at=from_us(row.created_at),
        last_activity_at=from_us(row.last_activity_at),
        ended_at=None if row.ended_at is None else from_us(row.ended_at),
        ended_reason=None if row.ended_reason is None else EndReason(row.ended_reason),
    )
