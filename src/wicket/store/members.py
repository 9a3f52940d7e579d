"""Members: who belongs to an agent, and how memberships begin and end.

    join -> pending -> approved -> removed
                    `-> rejected

The owner's own membership is approved from the start and never ends. Whoever was rejected or removed may join
again, with nothing left of before: no key, no connection, and on untrusted agents no policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa

from wicket.core.errors import Conflict, NotFound
from wicket.core.model import JsonObject, MemberStatus, Role
from wicket.store import pins, policies, tables
from wicket.store.changes import record_change
from wicket.store.connections import discard_connections
from wicket.store.instants import from_us, to_us
from wicket.store.keys import KeyRecord, live_keys, revoke_key
from wicket.store.page import PAGE_DEFAULT, Page, check_page

MEMBERS_MAX: Final = 100_000

_ALLOWED: Final = {
    MemberStatus.APPROVED: {MemberStatus.PENDING, MemberStatus.REJECTED},
    MemberStatus.REJECTED: {MemberStatus.PENDING},
    MemberStatus.REMOVED: {MemberStatus.PENDING, MemberStatus.APPROVED, MemberStatus.REJECTED},
}
"""New status -> the statuses that it may follow."""


@dataclass(frozen=True, slots=True)
class MemberRecord:
    id: str
    agent_id: str
    account_id: str
    """The `userId` of policies."""
    email: str
    role: Role
    status: MemberStatus
    created_at: datetime
    key: KeyRecord | None
    """The live key, if any."""


def add_owner(tx: sa.Connection, *, agent_id: str, account_id: str, now: datetime) -> MemberRecord:
    """Make the creator of an agent its owner; part of the agent's creation, which enters the event."""
    return _insert(
        tx, agent_id=agent_id, account_id=account_id, role=Role.OWNER, status=MemberStatus.APPROVED, now=now
    )


def join(tx: sa.Connection, *, agent_id: str, account_id: str, now: datetime) -> MemberRecord:
    """Ask for membership on an invitation that was checked; who is pending or approved already stays so."""
    before = find_membership(tx, agent_id=agent_id, account_id=account_id)
    if before is not None and before.status in (MemberStatus.PENDING, MemberStatus.APPROVED):
        return before
    if before is None:
        count = tx.execute(sa.select(sa.func.count()).where(_members.agent_id == agent_id)).scalar_one()
        if count >= MEMBERS_MAX:
            raise Conflict(f"an agent has at most {MEMBERS_MAX} members; make another", code="limit_reached")
        member = _insert(
            tx,
            agent_id=agent_id,
            account_id=account_id,
            role=Role.MEMBER,
            status=MemberStatus.PENDING,
            now=now,
        )
    else:
        member = _store_status(tx, before, MemberStatus.PENDING)
    _record(tx, "member_joined", member, actor_id=account_id, now=now)
    return member


def approve(
    tx: sa.Connection, *, agent_id: str, member_id: str, actor_id: str | None, now: datetime
) -> MemberRecord:
    """Let a member in; from now on the member can make a key."""
    member, changed = _move(tx, agent_id=agent_id, member_id=member_id, to=MemberStatus.APPROVED)
    if changed:
        _record(tx, "member_approved", member, actor_id=actor_id, now=now)
    return member


def reject(
    tx: sa.Connection, *, agent_id: str, member_id: str, actor_id: str | None, now: datetime
) -> MemberRecord:
    """Turn down who waits to be let in; connections made meanwhile are discarded."""
    member, changed = _move(tx, agent_id=agent_id, member_id=member_id, to=MemberStatus.REJECTED)
    if changed:
        _record(tx, "member_rejected", member, actor_id=actor_id, now=now)
        _clear(tx, member, actor_id=actor_id, now=now)
    return get_member(tx, agent_id=agent_id, member_id=member_id)


def remove(
    tx: sa.Connection, *, agent_id: str, member_id: str, actor_id: str | None, now: datetime
) -> MemberRecord:
    """End a membership: the key is dead at once, connections and the member's own policies are gone."""
    member, changed = _move(tx, agent_id=agent_id, member_id=member_id, to=MemberStatus.REMOVED)
    if changed:
        _record(tx, "member_removed", member, actor_id=actor_id, now=now)
        _clear(tx, member, actor_id=actor_id, now=now)
    return get_member(tx, agent_id=agent_id, member_id=member_id)


def set_status(
    tx: sa.Connection,
    *,
    agent_id: str,
    member_id: str,
    status: MemberStatus,
    actor_id: str | None,
    now: datetime,
) -> MemberRecord:
    """Approve, reject or remove, by the name of the status that follows; raises Conflict for another."""
    changes = {
        MemberStatus.APPROVED: approve,
        MemberStatus.REJECTED: reject,
        MemberStatus.REMOVED: remove,
    }
    if status not in changes:
        raise Conflict("a member becomes pending only by joining; send an invitation", code="member_status")
    return changes[status](tx, agent_id=agent_id, member_id=member_id, actor_id=actor_id, now=now)


def get_member(tx: sa.Connection, *, agent_id: str, member_id: str) -> MemberRecord:
    """A member, whatever the status; raises NotFound."""
    row = tx.execute(_MEMBERS.where(_members.agent_id == agent_id, _members.id == member_id)).one_or_none()
    if row is None:
        raise NotFound(f"no member `{member_id}` on this agent; list its members")
    return _with_keys(tx, agent_id, [row])[0]


def find_membership(tx: sa.Connection, *, agent_id: str, account_id: str) -> MemberRecord | None:
    """An account's membership of an agent, whatever its status."""
    row = tx.execute(
        _MEMBERS.where(_members.agent_id == agent_id, _members.account_id == account_id)
    ).one_or_none()
    return None if row is None else _with_keys(tx, agent_id, [row])[0]


def list_members(
    tx: sa.Connection,
    *,
    agent_id: str,
    status: MemberStatus | None = None,
    limit: int = PAGE_DEFAULT,
    offset: int = 0,
) -> Page[MemberRecord]:
    """The members of an agent, oldest first; without a status, those who have left or were rejected too."""
    check_page(limit=limit, offset=offset)
    of_agent = _members.agent_id == agent_id
    wanted = of_agent if status is None else sa.and_(of_agent, _members.status == status)
    total = tx.execute(sa.select(sa.func.count()).select_from(tables.members).where(wanted)).scalar_one()
    query = _MEMBERS.where(wanted).order_by(_members.created_at, _members.id).limit(limit).offset(offset)
    return Page(_with_keys(tx, agent_id, tx.execute(query).all()), total)


def _move(tx: sa.Connection, *, agent_id: str, member_id: str, to: MemberStatus) -> tuple[MemberRecord, bool]:
    """The member at the new status, and whether that is a change."""
    member = get_member(tx, agent_id=agent_id, member_id=member_id)
    if member.role is Role.OWNER:
        raise Conflict(
            "the owner's own membership cannot change; delete the agent instead", code="owner_membership"
        )
    if member.status is to:
        return member, False
    if member.status not in _ALLOWED[to]:
        raise Conflict(
            f"the membership is {member.status} and cannot become {to}; invite the member again if need be",
            code="member_status",
            status_now=member.status,
        )
    return _store_status(tx, member, to), True


def _clear(tx: sa.Connection, member: MemberRecord, *, actor_id: str | None, now: datetime) -> None:
    agent_id = member.agent_id
    revoke_key(tx, agent_id=agent_id, member_id=member.id, actor_id=actor_id, now=now)
    discard_connections(tx, agent_id=agent_id, member_id=member.id, actor_id=actor_id, now=now)
    policies.delete_policies_of_member(tx, agent_id=agent_id, member_id=member.id, actor_id=actor_id, now=now)
    pins.forget_member(tx, agent_id=agent_id, member_id=member.id)


def _insert(
    tx: sa.Connection, *, agent_id: str, account_id: str, role: Role, status: MemberStatus, now: datetime
) -> MemberRecord:
    member_id = str(uuid4())
    tx.execute(
        sa.insert(tables.members).values(
            agent_id=agent_id,
            id=member_id,
            account_id=account_id,
            role=role,
            status=status,
            created_at=to_us(now),
        )
    )
    return get_member(tx, agent_id=agent_id, member_id=member_id)


def _store_status(tx: sa.Connection, member: MemberRecord, status: MemberStatus) -> MemberRecord:
    tx.execute(
        sa.update(tables.members)
        .where(_members.agent_id == member.agent_id, _members.id == member.id)
        .values(status=status)
    )
    return get_member(tx, agent_id=member.agent_id, member_id=member.id)


def _record(
    tx: sa.Connection, kind: str, member: MemberRecord, *, actor_id: str | None, now: datetime
) -> None:
    body: JsonObject = {"memberId": member.id, "userId": member.account_id, "status": member.status}
    record_change(tx, kind=kind, agent_id=member.agent_id, actor_id=actor_id, body=body, now=now)


_members = tables.members.c
_MEMBERS = sa.select(tables.members, tables.accounts.c.email).join(
    tables.accounts, tables.accounts.c.id == _members.account_id
)


def _with_keys(tx: sa.Connection, agent_id: str, rows: Sequence[sa.Row[Any]]) -> tuple[MemberRecord, ...]:
    keys = live_keys(tx, agent_id=agent_id, member_ids=tuple(row.id for row in rows))
    return tuple(
        MemberRecord(
            id=row.id,
            agent_id=row.agent_id,
            account_id=row.account_id,
            email=row.email,
            role=Role(row.role),
            status=MemberStatus(row.status),
            created_at=from_us(row.created_at),
            key=keys.get(row.id),
        )
        for row in rows
    )
