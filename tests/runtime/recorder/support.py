"""An agent in a real database, recorders that write its log, and calls whose judgement a test chooses."""

import json
import os
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from tests.databases import Location
from wicket.core.ids import uuid7
from wicket.core.model import (
    AgentStatus,
    Call,
    Decision,
    Effect,
    EntityUid,
    MemberStatus,
    PolicyEffect,
    PolicyRef,
    Reason,
    Resource,
    Role,
    Tier,
    TrustMode,
)
from wicket.core.policy.document import digest_of, parse_policy, render_policy
from wicket.core.session import FRESH, Facts
from wicket.core.world import AgentSettings, Member, MemberKey, World
from wicket.runtime.recorder import Attempt, Judged, Limits, Recorder, slot_of
from wicket.runtime.recorder.entries import build_entry
from wicket.runtime.recorder.values import Judge
from wicket.store import tables
from wicket.store.audit.ledger import Ledger
from wicket.store.audit.postgres_ledger import PostgresLedger
from wicket.store.audit.sqlite_ledger import SqliteLedger
from wicket.store.db import Database
from wicket.store.instants import to_us
from wicket.store.lookups import looking_up

AGENT = "6f1c2b3a-0000-4000-8000-000000000001"
OWNER = "6f1c2b3a-0000-4000-8000-0000000000aa"
MEMBER = "6f1c2b3a-0000-4000-8000-0000000000bb"
KEY = "6f1c2b3a-0000-4000-8000-0000000000cc"
DIGEST = b"d" * 32
CALL = Call(
    method="tools/call",
    service="github",
    namespace="GitHubMCP",
    tool="delete_file",
    tier=Tier.DESTRUCTIVE,
    arguments={"path": "a"},
    user_id=OWNER,
    member_id=MEMBER,
    caller_ip="192.0.2.7",
    resources=(Resource(EntityUid("GitHubMCP::Service", "github")),),
)
PATIENT = Limits(wait_s=5)
"""For tests that are not about giving up: the machine may be busy."""

ALL_OF_IT = parse_policy(
    {"name": "All of it", "service": "github", "effect": "permit", "tools": ["delete_file"]}
)
NONE_OF_IT = parse_policy(
    {
        "name": "None of it",
        "service": "github",
        "effect": "forbid",
        "tools": ["delete_file"],
        "denyMessage": "not today",
    }
)
PERMIT = PolicyRef("p-1", "all-of-it", "All of it", 1, PolicyEffect.PERMIT, digest=digest_of(ALL_OF_IT, 1))
FORBID = PolicyRef(
    "p-2", "none-of-it", "None of it", 3, PolicyEffect.FORBID, "not today", digest=digest_of(NONE_OF_IT, 3)
)
ALLOWED = Decision(Effect.ALLOW, Reason.PERMITTED, matched=(PERMIT,))
FORBIDDEN = Decision(reason=Reason.FORBIDDEN_BY_POLICY, matched=(FORBID,))


def allow(_world: World, _facts: Facts) -> Judged:
    return Judged(ALLOWED, CALL)


def deny(_world: World, _facts: Facts) -> Judged:
    return Judged(FORBIDDEN, CALL)


def allow_while_active(world: World, _facts: Facts) -> Judged:
    """As the gateway judges: a disabled agent is a refusal that does not count."""
    if world.status is AgentStatus.DISABLED:
        return Judged(Decision(reason=Reason.AGENT_DISABLED), counts=False)
    return Judged(ALLOWED, CALL)


def deny_while_disabled(world: World, _facts: Facts) -> Judged:
    """A rule of the world that is not coalesced."""
    return Judged(FORBIDDEN if world.status is AgentStatus.DISABLED else ALLOWED, CALL)


def allow_first(limit: int) -> Judge:
    """A breaker: so many calls of a session, and no more."""

    def judge(_world: World, facts: Facts) -> Judged:
        return Judged(ALLOWED if facts.call_count < limit else FORBIDDEN, CALL, reads_facts=True)

    return judge


def attempt(
    judge: Judge = allow, *, agent_id: str = AGENT, session: str = "s", at: datetime | None = None
) -> Attempt:
    decided_at = at or datetime.now(UTC)
    return Attempt(
        entry_id=uuid7(int(decided_at.timestamp() * 1_000_000), os.urandom(10)),
        agent_id=agent_id,
        member_id=MEMBER,
        key_id=KEY,
        slot=slot_of(KEY, session),
        external_session_id=session,
        service="github",
        tool="delete_file",
        caller_ip="192.0.2.7",
        client_name="test",
        client_version="1",
        protocol_version="2025-11-25",
        request_bytes=321,
        decided_us=to_us(decided_at),
        redacted_args={"path": "a"},
        judge=judge,
    )


def create_agent(tx: sa.Connection, *, agent_id: str = AGENT) -> None:
    tx.execute(
        sa.insert(tables.agents).values(
            id=agent_id,
            owner_id=OWNER,
            name=f"agent {agent_id[-4:]}",
            name_folded=agent_id,
            trust_mode="trusted",
            status="active",
            tags="[]",
            settings="{}",
            revision=1,
            created_at=1,
        )
    )

    for document, ref in ((ALL_OF_IT, PERMIT), (NONE_OF_IT, FORBID)):
        tx.execute(
            sa.insert(tables.policy_versions).values(
                agent_id=agent_id,
                policy_id=ref.id,
                version=ref.version,
                document=json.dumps(render_policy(document)),
                digest=ref.digest,
                saved_at=1,
            )
        )


def set_status(tx: sa.Connection, status: AgentStatus, *, agent_id: str = AGENT) -> None:
    tx.execute(sa.update(tables.agents).where(tables.agents.c.id == agent_id).values(status=status))


def delete_agent(tx: sa.Connection) -> None:
    tx.execute(sa.update(tables.agents).values(deleted_at=1))


def load_world(tx: sa.Connection, agent_id: str) -> World | None:
    row = tx.execute(
        sa.select(tables.agents).where(tables.agents.c.id == agent_id, tables.agents.c.deleted_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    return World(
        agent_id=agent_id,
        agent_name=row.name,
        revision=row.revision,
        status=AgentStatus(row.status),
        trust_mode=TrustMode.TRUSTED,
        settings=AgentSettings(),
        members={MEMBER: Member(MEMBER, OWNER, "ann@example.com", Role.OWNER, MemberStatus.APPROVED)},
        keys={DIGEST: MemberKey(KEY, MEMBER, DIGEST, live=True)},
        services={},
        policies=(),
        pins={},
        connections={},
    )


def ledger_at(location: Location, *, session_idle_s: int = 1_800) -> Ledger:
    if location.url is None:
        return SqliteLedger(
            location.sqlite_path, load_world=load_world, host="here", session_idle_s=session_idle_s
        )
    return PostgresLedger(location.url, load_world=load_world, host="here", session_idle_s=session_idle_s)


def recorder_at(
    location: Location,
    database: Database,
    *,
    limits: Limits | None = None,
    open_ledger: Callable[[], Ledger] | None = None,
) -> Recorder:
    return Recorder(
        open_ledger=open_ledger or partial(ledger_at, location),
        reload_world=reader(database),
        read_revision=database.revision,
        look_up=looking_up(database),
        limits=limits or PATIENT,
    )


def reader(database: Database) -> Callable[[str], Awaitable[World | None]]:
    """Loads worlds as the snapshot does."""

    async def read(agent_id: str) -> World | None:
        return await database.read(load_world, agent_id)

    return read


async def append_calls(ledger: Ledger, world: World, judges: Iterable[Judge]) -> list[str]:
    """Entries without a recorder, in one transaction; tells their ids."""
    entries = [
        build_entry(attempt(judge), world, judge(world, FRESH), session_id=None, decision_ms=0.1)
        for judge in judges
    ]
    async with ledger.turn({world.agent_id}, []) as turn:
        await turn.commit(entries, [])
    return [entry.id for entry in entries]


async def rows(database: Database, statement: sa.TextClause) -> list[dict[str, Any]]:
    def read(tx: sa.Connection) -> list[dict[str, Any]]:
        return [dict(row) for row in tx.execute(statement).mappings()]

    return await database.read(read)
