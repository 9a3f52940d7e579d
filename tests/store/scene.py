"""An agent with people around it, for tests of the store: rows as the nouns themselves would make them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa

from wicket.core.keys import ServerKeys, make_key
from wicket.core.model import TrustMode
from wicket.store import accounts, members, tables
from wicket.store.db import Database
from wicket.store.instants import to_us

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
SERVER = ServerKeys([b"a server secret of thirty-two bytes or more"])
KEY, OTHER_KEY = make_key(bytes(range(24))), make_key(bytes(range(24, 48)))


@dataclass(frozen=True)
class Scene:
    """One agent, its owner, and one approved member."""

    database: Database
    agent_id: str
    trust_mode: TrustMode
    owner: members.MemberRecord
    member: members.MemberRecord
    services: Sequence[str] = field(default=("github",))

    async def kinds(self) -> list[str]:
        """The kinds of the events that this agent's people see, oldest first."""
        return await self.database.read(_kinds, agent_id=self.agent_id)


def _kinds(tx: sa.Connection, *, agent_id: str | None) -> list[str]:
    events = tables.events.c
    return list(
        tx.execute(sa.select(events.kind).where(events.agent_id == agent_id).order_by(events.seq)).scalars()
    )


def add_agent(
    tx: sa.Connection,
    *,
    owner_id: str,
    trust_mode: TrustMode = TrustMode.TRUSTED,
    services: Sequence[str] = ("github",),
) -> str:
    agent_id = str(uuid4())
    tx.execute(
        sa.insert(tables.agents).values(
            id=agent_id,
            owner_id=owner_id,
            name=f"agent {agent_id}",
            name_folded=f"agent {agent_id}",
            trust_mode=trust_mode,
            status="active",
            tags="[]",
            settings="{}",
            revision=1,
            created_at=to_us(NOW),
        )
    )
    for position, service in enumerate(services):
        tx.execute(
            sa.insert(tables.agent_services).values(
                agent_id=agent_id, service=service, position=position, enabled=True
            )
        )
    return agent_id


def add_account(tx: sa.Connection, *, email: str) -> str:
    return accounts.get_or_create_account(tx, email=email, now=NOW).id


def add_member(
    tx: sa.Connection, *, agent_id: str, email: str, approved: bool = True
) -> members.MemberRecord:
    member = members.join(tx, agent_id=agent_id, account_id=add_account(tx, email=email), now=NOW)
    if not approved:
        return member
    return members.approve(tx, agent_id=agent_id, member_id=member.id, actor_id=None, now=NOW)


async def set_scene(
    database: Database, *, trust_mode: TrustMode = TrustMode.TRUSTED, services: Sequence[str] = ("github",)
) -> Scene:
    def build(tx: sa.Connection) -> Scene:
        owner_id = add_account(tx, email="owner@example.com")
        agent_id = add_agent(tx, owner_id=owner_id, trust_mode=trust_mode, services=services)
        return Scene(
            database,
            agent_id,
            trust_mode,
            owner=members.add_owner(tx, agent_id=agent_id, account_id=owner_id, now=NOW),
            member=add_member(tx, agent_id=agent_id, email="member@example.com"),
            services=services,
        )

    return await database.change(build, agents=())
