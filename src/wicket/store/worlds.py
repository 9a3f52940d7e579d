"""An agent's world, loaded whole: everything that a decision reads, in one read snapshot with its revision."""

import json
from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa

from wicket.connectors.services import catalog
from wicket.core.errors import Invalid, Unavailable
from wicket.core.model import AgentStatus, Connector, MemberStatus, PolicyRef, Role, Tier, TrustMode
from wicket.core.policy.document import parse_policy
from wicket.core.world import AgentPolicy, ConnectionRef, Member, MemberKey, ToolPin, World
from wicket.store import tables
from wicket.store.agents.settings import parse_settings
from wicket.store.connectors import load_connectors

NO_LOCAL: Final[Mapping[str, Connector]] = MappingProxyType({})


def load(tx: sa.Connection, agent_id: str, *, local: Mapping[str, Connector] = NO_LOCAL) -> World | None:
    """The world of an agent, or None when there is none (any more); run it in one snapshot, or under the lock.

    `local` are the connectors that the host's configuration file names. Raises Unavailable when a row cannot be
    understood: a rule that is skipped might be the one that forbids.
    """
    agent = tx.execute(
        sa.select(tables.agents).where(tables.agents.c.id == agent_id, tables.agents.c.deleted_at.is_(None))
    ).one_or_none()
    if agent is None:
        return None
    try:
        return _build(tx, agent, local)
    except (Invalid, ValueError, TypeError, KeyError) as error:
        raise Unavailable(
            f"the rules of agent `{agent_id}` cannot be read: the database was changed by something else",
            code="rules_unreadable",
        ) from error


def agent_of_digest(tx: sa.Connection, digest: bytes) -> str | None:
    """The agent whose member key has this digest, live or not; None when no key of an agent that is there has."""
    return tx.execute(
        sa.select(tables.member_keys.c.agent_id)
        .join(tables.agents, tables.agents.c.id == tables.member_keys.c.agent_id)
        .where(tables.member_keys.c.digest == digest, tables.agents.c.deleted_at.is_(None))
    ).scalar_one_or_none()


def _build(tx: sa.Connection, agent: sa.Row[Any], local: Mapping[str, Connector]) -> World:
    return World(
        agent_id=agent.id,
        agent_name=agent.name,
        revision=agent.revision,
        status=AgentStatus(agent.status),
        trust_mode=TrustMode(agent.trust_mode),
        settings=parse_settings(json.loads(agent.settings)).of_world,
        members=_members(tx, agent.id),
        keys=_keys(tx, agent.id),
        services=_services(tx, agent.id, local),
        policies=_policies(tx, agent.id),
        pins=_pins(tx, agent.id),
        connections=_connections(tx, agent.id),
    )


def _members(tx: sa.Connection, agent_id: str) -> Mapping[str, Member]:
    members = tables.members.c
    rows = tx.execute(
        sa.select(members.id, members.account_id, members.role, members.status, tables.accounts.c.email)
        .outerjoin(tables.accounts, tables.accounts.c.id == members.account_id)
        .where(members.agent_id == agent_id)
    )
    return {
        row.id: Member(
            id=row.id,
            user_id=row.account_id,
            email=_text(row.email),
            role=Role(row.role),
            status=MemberStatus(row.status),
        )
        for row in rows
    }


def _keys(tx: sa.Connection, agent_id: str) -> Mapping[bytes, MemberKey]:
    """Revoked ones too: their callers get the answer of an unknown key, and an entry."""
    rows = tx.execute(sa.select(tables.member_keys).where(tables.member_keys.c.agent_id == agent_id))
    return {
        bytes(row.digest): MemberKey(
            id=row.id, member_id=row.member_id, digest=bytes(row.digest), live=row.revoked_at is None
        )
        for row in rows
    }


def _services(tx: sa.Connection, agent_id: str, local: Mapping[str, Connector]) -> Mapping[str, Connector]:
    """The enabled services in the owner's order. One that nothing describes any more is as good as not enabled."""
    services = tables.agent_services.c
    enabled = tx.execute(
        sa.select(services.service)
        .where(services.agent_id == agent_id, services.enabled)
        .order_by(services.position, services.service)
    ).scalars()
    keys = list(enabled)
    known = {**load_connectors(tx, keys), **local, **catalog()}
    return {key: known[key] for key in keys if key in known}


def _policies(tx: sa.Connection, agent_id: str) -> tuple[AgentPolicy, ...]:
    """The enabled ones, oldest first."""
    policies, versions = tables.policies.c, tables.policy_versions.c
    rows = tx.execute(
        sa.select(
            policies.id,
            policies.key,
            policies.version,
            policies.member_id,
            versions.document,
            versions.digest,
        )
        .outerjoin(
            tables.policy_versions,
            sa.and_(
                versions.agent_id == policies.agent_id,
                versions.policy_id == policies.id,
                versions.version == policies.version,
            ),
        )
        .where(policies.agent_id == agent_id, policies.enabled, policies.deleted_at.is_(None))
        .order_by(policies.created_at, policies.id)
    )
    return tuple(_policy(row) for row in rows)


def _policy(row: sa.Row[*tuple[Any, ...]]) -> AgentPolicy:
    document = parse_policy(json.loads(_text(row.document)), catalog())
    ref = PolicyRef(
        id=row.id,
        key=row.key,
        name=document.name,
        version=row.version,
        effect=document.effect,
        deny_message=document.deny_message,
        digest=_text(row.digest),
    )
    return AgentPolicy(ref=ref, document=document, member_id=row.member_id)


def _pins(tx: sa.Connection, agent_id: str) -> Mapping[tuple[str, str], ToolPin]:
    changed: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    changes = tables.tool_changes.c
    for row in tx.execute(
        sa.select(changes.service, changes.tool, changes.member_id).where(changes.agent_id == agent_id)
    ):
        changed[row.service, row.tool].add(row.member_id)
    pins = tables.tool_pins.c
    rows = tx.execute(
        sa.select(pins.service, pins.tool, pins.tier, pins.held, pins.accepted).where(
            pins.agent_id == agent_id
        )
    )
    return {
        (row.service, row.tool): ToolPin(
            tier=None if row.tier is None else Tier(row.tier),
            accepted=frozenset(map(_text, json.loads(row.accepted))),
            held=row.held,
            changed_for=frozenset(changed[row.service, row.tool]),
        )
        for row in rows
    }


def _connections(tx: sa.Connection, agent_id: str) -> Mapping[tuple[str, str], ConnectionRef]:
    connections = tables.connections.c
    rows = tx.execute(
        sa.select(connections.member_id, connections.service, connections.id, connections.version).where(
            connections.agent_id == agent_id
        )
    )
    return {(row.member_id, row.service): ConnectionRef(id=row.id, version=row.version) for row in rows}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was expected, not {type(value).__name__}")
    return value
