"""Invitations to an agent, and joining by one."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field, SecretStr

from wicket.api.guards import Guard, by
from wicket.api.http import AgentId, Caller, InviteId, PageQuery, Parts, guarded_router
from wicket.api.members import MemberOut
from wicket.api.models import In, ListOut, Out
from wicket.runtime.mail import invite_letter
from wicket.store import invites, rights
from wicket.store.invites import INVITE_LIFE, Invite, InviteStatus


class InviteIn(In):
    email: str


class NewInviteOut(Out):
    id: str
    email: str
    url: str = Field(repr=False)
    """Shown this once; whoever signs in with the address may join by it."""
    expires_at: datetime
    created_at: datetime


class InviteOut(Out):
    id: str
    email: str
    status: InviteStatus
    created_by: str
    """The account's id."""
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, invite: Invite, now: datetime) -> "InviteOut":
        return cls(
            id=invite.id,
            email=invite.email,
            status=invite.status(now),
            created_by=invite.created_by,
            created_at=invite.created_at,
            expires_at=invite.expires_at,
            used_at=invite.used_at,
            revoked_at=invite.revoked_at,
        )


class JoinIn(In):
    token: SecretStr


def routes() -> APIRouter:
    """`/api/agents/{agentId}/invite`, `/invites` and `/join`."""
    router = guarded_router("members")
    agent = "/api/agents/{agentId}"
    router.post(
        agent + "/invite",
        status_code=201,
        **by(Guard.OWNER, "already_member", "too_many_invites", "invited_too_often"),
    )(create_invite)
    router.get(agent + "/invites", **by(Guard.OWNER))(list_invites)
    router.delete(agent + "/invites/{inviteId}", status_code=204, **by(Guard.OWNER, "invite_used"))(
        revoke_invite
    )
    ended = ("invite_used", "invite_revoked", "invite_expired")
    router.post(agent + "/join", **by(Guard.ACCOUNT, "invite_for_another_address", "limit_reached", *ended))(
        join_agent
    )
    return router


async def create_invite(agent_id: AgentId, body: InviteIn, caller: Caller, parts: Parts) -> NewInviteOut:
    """Invite one address for seven days, by mail and by the link in the answer; an earlier link for it is void."""
    made = await parts.db.change(
        rights.as_owner,
        invites.create_invite,
        agent_id=agent_id,
        account_id=caller.account_id,
        email=body.email,
        created_by=caller.account_id,
        actor_id=caller.account_id,
        server=parts.keys,
        now=parts.now(),
        agents=(),
    )
    link = made.link(parts.public_url)
    parts.sign_in.mailer.send(
        invite_letter(
            to=made.invite.email,
            inviter=caller.email,
            link=link,
            base_url=parts.public_url,
            days=INVITE_LIFE.days,
        )
    )
    return NewInviteOut(
        id=made.invite.id,
        email=made.invite.email,
        url=link,
        expires_at=made.invite.expires_at,
        created_at=made.invite.created_at,
    )


async def list_invites(
    agent_id: AgentId, query: Annotated[PageQuery, Query()], caller: Caller, parts: Parts
) -> ListOut[InviteOut]:
    """Invitations, newest first: live, used, revoked and expired."""
    page = await parts.db.read(
        rights.as_owner,
        invites.list_invites,
        agent_id=agent_id,
        account_id=caller.account_id,
        limit=query.limit,
        offset=query.start,
    )
    now = parts.now()
    items = [InviteOut.of(invite, now) for invite in page.items]
    return ListOut(items=items, total=page.total, next_cursor=query.next_cursor(page.total))


async def revoke_invite(agent_id: AgentId, invite_id: InviteId, caller: Caller, parts: Parts) -> None:
    """Void an invitation before it is used."""
    await parts.db.change(
        rights.as_owner,
        invites.revoke_invite,
        agent_id=agent_id,
        account_id=caller.account_id,
        invite_id=invite_id,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=(),
    )


async def join_agent(agent_id: AgentId, body: JoinIn, caller: Caller, parts: Parts) -> MemberOut:
    """Ask for membership with the token of an invitation for the caller's own address."""
    member = await parts.db.change(
        invites.accept_invite,
        agent_id=agent_id,
        account_id=caller.account_id,
        token=body.token.get_secret_value(),
        server=parts.keys,
        now=parts.now(),
        agents=[agent_id],
    )
    return MemberOut.of(member)
