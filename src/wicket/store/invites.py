"""Invitations: a signed link with which one address may ask for membership of one agent, once, within a week.

    live -> used | revoked | expired

The link's token names agent and invitation and signs them together with address and expiry; it is stored nowhere.
An address has one live invitation to an agent: a newer one voids the older.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa

from wicket.core.errors import Conflict, Forbidden, Limited, NotFound
from wicket.core.keys import ServerKeys
from wicket.core.model import JsonObject, MemberStatus
from wicket.store import members, tables
from wicket.store.accounts import find_account, get_account, parse_email
from wicket.store.agents import get_agent
from wicket.store.changes import record_change
from wicket.store.instants import from_us, to_us
from wicket.store.members import MemberRecord
from wicket.store.page import PAGE_DEFAULT, Page, check_page

INVITE_LIFE: Final = timedelta(days=7)
LIVE_MAX: Final = 500
"""Of one agent."""
REPEATS_MAX: Final = 15
"""Invitations of one address by one account within `REPEATS_WITHIN`: each of them is a mail to somebody."""
REPEATS_WITHIN: Final = timedelta(hours=1)
KEPT_FOR: Final = timedelta(days=90)
"""How long an invitation is listed after its end."""
PRUNED_MAX: Final = 500

_LABEL: Final = b"wicket/invite/1"
_UUID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TOKEN: Final = re.compile(rf"({_UUID})\.({_UUID})\.[A-Za-z0-9_-]{{43}}", re.ASCII)
_HERE: Final = (MemberStatus.PENDING, MemberStatus.APPROVED)

_I = tables.invites.c
_UNENDED: Final = sa.and_(_I.used_at.is_(None), _I.revoked_at.is_(None))


class InviteStatus(StrEnum):
    LIVE = "live"
    USED = "used"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Invite:
    """What is known of an invitation; its link is nowhere."""

    id: str
    agent_id: str
    email: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None

    def status(self, now: datetime) -> InviteStatus:
        if self.used_at is not None:
            return InviteStatus.USED
        if self.revoked_at is not None:
            return InviteStatus.REVOKED
        return InviteStatus.LIVE if now < self.expires_at else InviteStatus.EXPIRED


@dataclass(frozen=True, slots=True)
class NewInvite:
    """An invitation on the one occasion when its token is known."""

    invite: Invite
    token: str = field(repr=False)

    def link(self, public_url: str) -> str:
        """Where the invited person goes; in the fragment, so that no server and no log sees the token."""
        return f"{public_url}/join#token={self.token}"


def create_invite(
    tx: sa.Connection,
    *,
    agent_id: str,
    email: str,
    created_by: str,
    actor_id: str | None,
    server: ServerKeys,
    now: datetime,
) -> NewInvite:
    """Invite an address, in place of an earlier invitation that is still live.

    Raises Invalid (`email`), Conflict `already_member` or `too_many_invites`, or Limited `invited_too_often`.
    """
    address = parse_email(email)
    _check_not_here(tx, agent_id=agent_id, email=address)
    _check_pace(tx, email=address, created_by=created_by, now=now)
    live = sa.and_(_I.agent_id == agent_id, _UNENDED, _I.expires_at > to_us(now))
    replaced = tx.execute(
        sa.update(tables.invites).where(live, _I.email == address).values(revoked_at=to_us(now))
    )
    count = tx.execute(sa.select(sa.func.count()).select_from(tables.invites).where(live)).scalar_one()
    if count >= LIVE_MAX:
        raise Conflict(
            f"an agent has at most {LIVE_MAX} open invitations: revoke one first", code="too_many_invites"
        )
    _prune(tx, agent_id=agent_id, before=now - KEPT_FOR)
    invite = Invite(str(uuid4()), agent_id, address, created_by, now, now + INVITE_LIFE, None, None)
    tx.execute(
        sa.insert(tables.invites).values(
            agent_id=agent_id,
            id=invite.id,
            email=address,
            created_by=created_by,
            created_at=to_us(now),
            expires_at=to_us(invite.expires_at),
        )
    )
    body: JsonObject = {"inviteId": invite.id, "email": address, "replaced": replaced.rowcount > 0}
    record_change(tx, kind="member_invited", agent_id=agent_id, actor_id=actor_id, body=body, now=now)
    return NewInvite(invite, _token(invite, server.invite_keys[0]))


def list_invites(
    tx: sa.Connection, *, agent_id: str, limit: int = PAGE_DEFAULT, offset: int = 0
) -> Page[Invite]:
    """The invitations to an agent, newest first, those that have ended too."""
    check_page(limit=limit, offset=offset)
    of_agent = _I.agent_id == agent_id
    total = tx.execute(sa.select(sa.func.count()).select_from(tables.invites).where(of_agent)).scalar_one()
    query = sa.select(tables.invites).where(of_agent).order_by(_I.created_at.desc(), _I.id)
    rows = tx.execute(query.limit(limit).offset(offset))
    return Page(tuple(map(_invite_of, rows)), total)


def revoke_invite(
    tx: sa.Connection, *, agent_id: str, invite_id: str, actor_id: str | None, now: datetime
) -> None:
    """Void an invitation before it is used; raises NotFound, or Conflict `invite_used`."""
    invite = _find(tx, agent_id=agent_id, invite_id=invite_id)
    if invite is None:
        raise NotFound(f"there is no invitation `{invite_id}`: list the agent's invitations to find its id")
    if invite.status(now) in (InviteStatus.REVOKED, InviteStatus.EXPIRED):
        return
    if not _end(tx, invite, revoked_at=to_us(now)):
        raise Conflict(
            "the invitation was used: reject or remove the member instead", code="invite_used", status=410
        )
    body: JsonObject = {"inviteId": invite_id, "email": invite.email}
    record_change(tx, kind="invite_revoked", agent_id=agent_id, actor_id=actor_id, body=body, now=now)


def accept_invite(
    tx: sa.Connection, *, agent_id: str, account_id: str, token: str, server: ServerKeys, now: datetime
) -> MemberRecord:
    """Ask for membership with the token of a link; who is pending or approved already stays so.

    Raises NotFound for what is no token of ours, Forbidden `invite_for_another_address`, or 410 `invite_used`,
    `invite_revoked` or `invite_expired`.
    """
    invite = _find_signed(tx, agent_id=agent_id, token=token, server=server)
    if get_account(tx, account_id=account_id).email != invite.email:
        raise Forbidden(
            "this invitation is for another address: sign in with the address that it was sent to",
            code="invite_for_another_address",
        )
    before = members.find_membership(tx, agent_id=agent_id, account_id=account_id)
    status = invite.status(now)
    if status is InviteStatus.LIVE and not _end(tx, invite, used_at=to_us(now)):
        status = InviteStatus.REVOKED  # since we read it
    if before is not None and before.status in _HERE:
        return before
    if status is not InviteStatus.LIVE:
        raise _ended(status)
    return members.join(tx, agent_id=agent_id, account_id=account_id, now=now)


def is_invited(tx: sa.Connection, *, email: str, now: datetime) -> bool:
    """Whether an address, in the form that accounts have, holds a live invitation to any agent that is there."""
    live = (
        sa.select(_I.id)
        .join(tables.agents, tables.agents.c.id == _I.agent_id)
        .where(_I.email == email, _UNENDED, _I.expires_at > to_us(now), tables.agents.c.deleted_at.is_(None))
    )
    return tx.execute(live.limit(1)).first() is not None


def _check_not_here(tx: sa.Connection, *, agent_id: str, email: str) -> None:
    account = find_account(tx, email=email)
    if account is None:
        return
    member = members.find_membership(tx, agent_id=agent_id, account_id=account.id)
    if member is not None and member.status in _HERE:
        raise Conflict(
            f"`{email}` is a member already, {member.status}: look at the agent's members",
            code="already_member",
            status_now=member.status,
        )


def _check_pace(tx: sa.Connection, *, email: str, created_by: str, now: datetime) -> None:
    since = to_us(now - REPEATS_WITHIN)
    recent = sa.select(_I.created_at).where(
        _I.email == email, _I.created_by == created_by, _I.created_at > since
    )
    made = sorted(tx.execute(recent).scalars())
    if len(made) >= REPEATS_MAX:
        wait = from_us(made[-REPEATS_MAX]) + REPEATS_WITHIN - now
        raise Limited(
            f"`{email}` was invited {len(made)} times within the hour: send one of the links that you have",
            code="invited_too_often",
            retry_after_s=max(1, int(wait.total_seconds())),
        )


def _prune(tx: sa.Connection, *, agent_id: str, before: datetime) -> None:
    old = sa.select(_I.id).where(_I.agent_id == agent_id, _I.expires_at < to_us(before)).limit(PRUNED_MAX)
    tx.execute(sa.delete(tables.invites).where(_I.agent_id == agent_id, _I.id.in_(old)))


def _find_signed(tx: sa.Connection, *, agent_id: str, token: str, server: ServerKeys) -> Invite:
    """The invitation that a token was made for; a wrong signature is told like no invitation at all."""
    named = _TOKEN.fullmatch(token)
    invite = None
    if named is not None and named[1] == agent_id:
        invite = _find(tx, agent_id=agent_id, invite_id=named[2])
    if invite is None or not any(
        hmac.compare_digest(token, _token(invite, key)) for key in server.invite_keys
    ):
        raise NotFound("there is no such invitation: open the whole link, or ask the agent's owner for one")
    get_agent(tx, agent_id=agent_id)  # only now: nobody else is told whether it is there
    return invite


def _token(invite: Invite, key: bytes) -> str:
    signed = b"\0".join(
        [
            _LABEL,
            invite.agent_id.encode(),
            invite.id.encode(),
            invite.email.encode(),
            str(to_us(invite.expires_at)).encode(),
        ]
    )
    signature = urlsafe_b64encode(hmac.digest(key, signed, "sha256")).rstrip(b"=").decode()
    return f"{invite.agent_id}.{invite.id}.{signature}"


def _ended(status: InviteStatus) -> Conflict:
    match status:
        case InviteStatus.REVOKED:
            return Conflict(
                "this invitation was revoked, or a newer one took its place: use the newest, or ask for one",
                code="invite_revoked",
                status=410,
            )
        case InviteStatus.EXPIRED:
            return Conflict(
                "this invitation has expired: ask the agent's owner for another",
                code="invite_expired",
                status=410,
            )
        case _:
            return Conflict(
                "this invitation was used: ask the agent's owner for another", code="invite_used", status=410
            )


def _find(tx: sa.Connection, *, agent_id: str, invite_id: str) -> Invite | None:
    row = tx.execute(
        sa.select(tables.invites).where(_I.agent_id == agent_id, _I.id == invite_id)
    ).one_or_none()
    return None if row is None else _invite_of(row)


def _end(tx: sa.Connection, invite: Invite, **ended: int) -> bool:
    """Note its end; False when it had ended already."""
    this = sa.and_(_I.agent_id == invite.agent_id, _I.id == invite.id, _UNENDED)
    return tx.execute(sa.update(tables.invites).where(this).values(**ended)).rowcount > 0


def _invite_of(row: sa.Row[Any]) -> Invite:
    return Invite(
        id=row.id,
        agent_id=row.agent_id,
        email=row.email,
        created_by=row.created_by,
        created_at=from_us(row.created_at),
        expires_at=from_us(row.expires_at),
        used_at=None if row.used_at is None else from_us(row.used_at),
        revoked_at=None if row.revoked_at is None else from_us(row.revoked_at),
    )
