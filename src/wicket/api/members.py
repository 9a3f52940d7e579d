"""Members of an agent, their keys and their connections. No key and no credential is ever shown to anybody else."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field, SecretStr

from wicket.api.guards import Guard, by
from wicket.api.http import AgentId, Caller, MemberId, PageQuery, Parts, Service, guarded_router
from wicket.api.models import In, ListOut, Out, whole
from wicket.core.keys import KEY_BYTES, make_key
from wicket.core.model import MemberStatus, Role
from wicket.store import connections, keys, members, rights
from wicket.store.connections import Connection
from wicket.store.keys import KeyRecord
from wicket.store.members import MemberRecord


class KeyOut(Out):
    """A key's record; the key itself is nowhere."""

    id: str
    suffix: str
    created_at: datetime
    last_used_at: datetime | None

    @classmethod
    def of(cls, key: KeyRecord) -> "KeyOut":
        return cls(id=key.id, suffix=key.suffix, created_at=key.created_at, last_used_at=key.last_used_at)


class MemberOut(Out):
    id: str
    user_id: str
    email: str
    role: Role
    status: MemberStatus
    key: KeyOut | None

    @classmethod
    def of(cls, member: MemberRecord) -> "MemberOut":
        return cls(
            id=member.id,
            user_id=member.account_id,
            email=member.email,
            role=member.role,
            status=member.status,
            key=None if member.key is None else KeyOut.of(member.key),
        )


class ConnectionOut(Out):
    id: str
    service: str
    sealed_by_member: bool
    """Whether the member's key is needed to open it."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, connection: Connection) -> "ConnectionOut":
        return cls(
            id=connection.id,
            service=connection.service,
            sealed_by_member=connection.sealed_by_member,
            created_at=connection.created_at,
            updated_at=connection.updated_at,
        )


class MembersQuery(PageQuery):
    status: MemberStatus | None = None


class MemberStatusIn(In):
    status: MemberStatus


class KeyIn(In):
    current_key: SecretStr | None = None


class NewKeyOut(Out):
    key: str = Field(repr=False)
    """Shown this once."""
    key_id: str


class LostOut(Out):
    disconnected: Sequence[str]
    """Services to connect again."""


class ConnectionIn(In):
    token: SecretStr


def routes() -> APIRouter:
    """`/api/agents/{agentId}/members` and what belongs to one member."""
    router = guarded_router("members")
    root = "/api/agents/{agentId}/members"
    one = root + "/{memberId}"
    router.get(root, **by(Guard.MEMBER))(list_members)
    router.put(one + "/status", **by(Guard.OWNER, "member_status", "owner_membership"))(put_member_status)
    router.post(one + "/reject", **by(Guard.OWNER, "member_status", "owner_membership"))(reject_member)
    router.delete(one, status_code=204, **by(Guard.OWNER, "member_status", "owner_membership"))(remove_member)
    router.put(
        one + "/key",
        tags=["keys"],
        **by(Guard.SELF, "member_not_approved", "current_key_required", "connection_broken"),
    )(put_key)
    router.delete(one + "/key", status_code=204, tags=["keys"], **by(Guard.SELF_OR_OWNER))(revoke_key)
    router.post(one + "/key/reset-lost", tags=["keys"], **by(Guard.SELF))(reset_lost_key)
    router.get(one + "/connections", tags=["connections"], **by(Guard.SELF_OR_OWNER))(list_connections)
    router.put(
        one + "/connections/{service}",
        tags=["connections"],
        **by(
            Guard.SELF,
            "service_not_enabled",
            "token_not_accepted",
            "connection_not_needed",
            "member_not_active",
        ),
    )(put_connection)
    router.delete(one + "/connections/{service}", status_code=204, tags=["connections"], **by(Guard.SELF))(
        delete_connection
    )
    return router


async def list_members(
    agent_id: AgentId, query: Annotated[MembersQuery, Query()], caller: Caller, parts: Parts
) -> ListOut[MemberOut]:
    """To the owner every member, to a member only the own membership."""
    page = await parts.db.read(
        rights.list_visible_members,
        agent_id=agent_id,
        account_id=caller.account_id,
        status=query.status,
        limit=query.limit,
        offset=query.start,
    )
    items = [MemberOut.of(member) for member in page.items]
    return ListOut(items=items, total=page.total, next_cursor=query.next_cursor(page.total))


async def put_member_status(
    agent_id: AgentId, member_id: MemberId, body: MemberStatusIn, caller: Caller, parts: Parts
) -> MemberOut:
    """Approve, reject or remove."""
    member = await parts.db.change(
        rights.as_owner_of_member,
        members.set_status,
        agent_id=agent_id,
        member_id=member_id,
        account_id=caller.account_id,
        status=body.status,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )
    return MemberOut.of(member)


async def reject_member(agent_id: AgentId, member_id: MemberId, caller: Caller, parts: Parts) -> MemberOut:
    """Turn down who waits to be let in; connections made meanwhile are discarded."""
    return await put_member_status(
        agent_id, member_id, MemberStatusIn(status=MemberStatus.REJECTED), caller, parts
    )


async def remove_member(agent_id: AgentId, member_id: MemberId, caller: Caller, parts: Parts) -> None:
    """End a membership: the key is dead at once, connections are gone."""
    await put_member_status(agent_id, member_id, MemberStatusIn(status=MemberStatus.REMOVED), caller, parts)


async def put_key(
    agent_id: AgentId, member_id: MemberId, caller: Caller, parts: Parts, body: KeyIn | None = None
) -> NewKeyOut:
    """Generate the caller's own key, or rotate it; the answer shows it, and nothing ever does again."""
    current = None if body is None or body.current_key is None else body.current_key.get_secret_value()
    key = make_key(secrets.token_bytes(KEY_BYTES))
    record = await parts.db.change(
        rights.as_self,
        keys.put_key,
        agent_id=agent_id,
        member_id=member_id,
        account_id=caller.account_id,
        key=key,
        current_key=current,
        server=parts.keys,
        now=parts.now(),
        agents=[agent_id],
    )
    return NewKeyOut(key=key, key_id=record.id)


async def revoke_key(agent_id: AgentId, member_id: MemberId, caller: Caller, parts: Parts) -> None:
    """Revoke a key: the own one, or as the owner a member's. What it seals stays sealed under it."""
    await parts.db.change(
        rights.as_self_or_owner,
        keys.revoke_key,
        agent_id=agent_id,
        member_id=member_id,
        account_id=caller.account_id,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )


async def reset_lost_key(agent_id: AgentId, member_id: MemberId, caller: Caller, parts: Parts) -> LostOut:
    """For who has lost the own key: revoke it, and forget the credentials that cannot be opened without it."""
    services = await parts.db.change(
        rights.as_self,
        keys.reset_lost,
        agent_id=agent_id,
        member_id=member_id,
        account_id=caller.account_id,
        server=parts.keys,
        now=parts.now(),
        agents=[agent_id],
    )
    return LostOut(disconnected=services)


async def list_connections(
    agent_id: AgentId, member_id: MemberId, caller: Caller, parts: Parts
) -> ListOut[ConnectionOut]:
    """Which services a member has connected; metadata only."""
    found = await parts.db.read(
        rights.as_self_or_owner,
        connections.list_connections,
        agent_id=agent_id,
        member_id=member_id,
        account_id=caller.account_id,
    )
    return whole([ConnectionOut.of(connection) for connection in found])


async def put_connection(
    agent_id: AgentId, member_id: MemberId, service: Service, body: ConnectionIn, caller: Caller, parts: Parts
) -> ConnectionOut:
    """Connect an own account by pasting a token, which is sealed at once and never shown."""
    connection = await parts.db.change(
        rights.as_self,
        connections.put_connection,
        agent_id=agent_id,
        member_id=member_id,
        account_id=caller.account_id,
        service=service,
        token=body.token.get_secret_value(),
        server=parts.keys,
        now=parts.now(),
        agents=[agent_id],
    )
    return ConnectionOut.of(connection)


async def delete_connection(
    agent_id: AgentId, member_id: MemberId, service: Service, caller: Caller, parts: Parts
) -> None:
    """Disconnect an own account."""
    await parts.db.change(
        rights.as_self,
        connections.delete_connection,
        agent_id=agent_id,
        member_id=member_id,
        account_id=caller.account_id,
        service=service,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )
