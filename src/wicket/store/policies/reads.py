"""Stored policies and their versions, as values."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from wicket.connectors.services import catalog
from wicket.core.errors import NotFound
from wicket.core.policy.document import PolicyDocument, parse_policy
from wicket.store import tables
from wicket.store.instants import from_us
from wicket.store.page import PAGE_DEFAULT, Page, check_page

_policies = tables.policies.c
_versions = tables.policy_versions.c
_CURRENT = (
    sa.select(tables.policies, _versions.document)
    .join(
        tables.policy_versions,
        sa.and_(
            _versions.agent_id == _policies.agent_id,
            _versions.policy_id == _policies.id,
            _versions.version == _policies.version,
        ),
    )
    .where(_policies.deleted_at.is_(None))
)


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy at its current version; `document.enabled` is whether it is enabled now."""

    id: str
    agent_id: str
    key: str
    version: int
    document: PolicyDocument
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One save; a version knows nothing of toggles, so its document always reads as enabled."""

    version: int
    document: PolicyDocument
    digest: str
    saved_at: datetime
    saved_by: str | None
    note: str | None


def get_policy(tx: sa.Connection, *, agent_id: str, policy_id: str) -> StoredPolicy:
    """A policy at its current version; raises NotFound for a deleted one, too."""
    row = tx.execute(_CURRENT.where(_policies.agent_id == agent_id, _policies.id == policy_id)).one_or_none()
    if row is None:
        raise NotFound(f"no policy `{policy_id}` on this agent; list its policies to find the id")
    return _policy_of(row)


def list_policies(
    tx: sa.Connection,
    *,
    agent_id: str,
    service: str | None = None,
    member_id: str | None = None,
    limit: int = PAGE_DEFAULT,
    offset: int = 0,
) -> Page[StoredPolicy]:
    """The policies of an agent, oldest first, enabled or not; those of `"*"` only where no service is asked for."""
    check_page(limit=limit, offset=offset)
    query = _CURRENT.where(_policies.agent_id == agent_id)
    if member_id is not None:
        query = query.where(_policies.member_id == member_id)
    rows = tx.execute(query.order_by(_policies.created_at, _policies.id)).all()
    found = [row for row in rows if service is None or json.loads(row.document)["service"] == service]
    return Page(tuple(map(_policy_of, found[offset : offset + limit])), len(found))


def list_all_policies(tx: sa.Connection, *, agent_id: str) -> tuple[StoredPolicy, ...]:
    """Every policy of an agent, oldest first, enabled or not."""
    rows = tx.execute(
        _CURRENT.where(_policies.agent_id == agent_id).order_by(_policies.created_at, _policies.id)
    )
    return tuple(map(_policy_of, rows))


def list_versions(
    tx: sa.Connection, *, agent_id: str, policy_id: str, limit: int = PAGE_DEFAULT, offset: int = 0
) -> Page[PolicyVersion]:
    """The versions of a policy, newest first."""
    check_page(limit=limit, offset=offset)
    newest = get_policy(tx, agent_id=agent_id, policy_id=policy_id)
    query = (
        sa.select(tables.policy_versions)
        .where(_versions.agent_id == agent_id, _versions.policy_id == policy_id)
        .order_by(_versions.version.desc())
        .limit(limit)
        .offset(offset)
    )
    return Page(tuple(map(_version_of, tx.execute(query))), newest.version)


def get_version(tx: sa.Connection, *, agent_id: str, policy_id: str, version: int) -> PolicyVersion:
    """One save of a policy; raises NotFound."""
    get_policy(tx, agent_id=agent_id, policy_id=policy_id)
    row = tx.execute(
        sa.select(tables.policy_versions).where(
            _versions.agent_id == agent_id, _versions.policy_id == policy_id, _versions.version == version
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"the policy has no version {version}; list its versions")
    return _version_of(row)


def get_versions(
    tx: sa.Connection, *, policy: StoredPolicy, before: int | None, after: int | None
) -> tuple[PolicyVersion, PolicyVersion]:
    """Two saves to compare: without `after` the current one, without `before` the one before that; raises NotFound."""
    to = policy.version if after is None else after
    start = max(to - 1, 1) if before is None else before
    older, newer = (
        get_version(tx, agent_id=policy.agent_id, policy_id=policy.id, version=number)
        for number in (start, to)
    )
    return older, newer


def find_agent_of(tx: sa.Connection, *, policy_id: str) -> str | None:
    """The agent that a live policy belongs to."""
    return tx.execute(
        sa.select(_policies.agent_id).where(_policies.id == policy_id, _policies.deleted_at.is_(None))
    ).scalar_one_or_none()


def _policy_of(row: sa.Row[Any]) -> StoredPolicy:
    return StoredPolicy(
        id=row.id,
        agent_id=row.agent_id,
        key=row.key,
        version=row.version,
        document=replace(parse_policy(json.loads(row.document), catalog()), enabled=row.enabled),
        created_at=from_us(row.created_at),
        updated_at=from_us(row.updated_at),
    )


def _version_of(row: sa.Row[Any]) -> PolicyVersion:
    return PolicyVersion(
        version=row.version,
        document=parse_policy(json.loads(row.document), catalog()),
        digest=row.digest,
        saved_at=from_us(row.saved_at),
        saved_by=row.saved_by,
        note=row.note,
    )
