"""Versions of a policy: every save, and going back to one."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from wicket.api import shapes
from wicket.api.etags import IfMatch
from wicket.api.guards import Guard, by
from wicket.api.http import AgentId, Asker, Caller, PageQuery, Parts, PolicyId, guarded_router
from wicket.api.models import In, ListOut, Out
from wicket.api.policies import PolicyOut, tagged
from wicket.core.policy.document import render_policy
from wicket.store import policies, rights
from wicket.store.db import Transaction
from wicket.store.page import Page
from wicket.store.policies import PolicyVersion, StoredPolicy

VERSION_MAX: Final = 999_999_999
Version = Annotated[int, Path(ge=1, le=VERSION_MAX)]


class VersionOut(Out):
    version: int
    saved_at: datetime
    saved_by: str | None
    """The account's id; null for what the host did."""
    note: str | None
    policy: shapes.VersionBody
    """The document as saved; whether the policy is enabled is no part of a version."""

    @classmethod
    def of(cls, version: PolicyVersion) -> "VersionOut":
        document = render_policy(version.document)
        del document["enabled"]
        return cls(
            version=version.version,
            saved_at=version.saved_at,
            saved_by=version.saved_by,
            note=version.note,
            policy=document,
        )


class RollbackIn(In):
    version: int = Field(ge=1, le=VERSION_MAX, strict=True)
    note: str | None = None


def routes() -> APIRouter:
    """`/versions` and `/rollback` of a policy."""
    router = guarded_router("policies")
    one = "/api/agents/{agentId}/policies/{policyId}"
    router.get(one + "/versions", **by(Guard.POLICY_READER))(list_versions)
    router.get(one + "/versions/{version}", **by(Guard.POLICY_READER))(read_version)
    codes = ("unknown_service", "unknown_tool", "version_conflict")
    router.post(one + "/rollback", **by(Guard.OWNER, *codes))(rollback_policy)
    return router


async def list_versions(
    agent_id: AgentId,
    policy_id: PolicyId,
    query: Annotated[PageQuery, Query()],
    caller: Caller,
    parts: Parts,
) -> ListOut[VersionOut]:
    """Every save of a policy, newest first."""
    page = await parts.db.read(
        _list_versions, agent_id=agent_id, policy_id=policy_id, caller=caller, query=query
    )
    items = [VersionOut.of(version) for version in page.items]
    return ListOut(items=items, total=page.total, next_cursor=query.next_cursor(page.total))


async def read_version(
    agent_id: AgentId, policy_id: PolicyId, version: Version, caller: Caller, parts: Parts
) -> VersionOut:
    """One save of a policy."""
    found = await parts.db.read(
        _read_version, agent_id=agent_id, policy_id=policy_id, version=version, caller=caller
    )
    return VersionOut.of(found)


async def rollback_policy(
    agent_id: AgentId,
    policy_id: PolicyId,
    body: RollbackIn,
    response: Response,
    caller: Caller,
    parts: Parts,
    if_match: IfMatch,
) -> PolicyOut:
    """Save an older version again, as the next one."""
    policy = await parts.db.change(
        _rollback,
        agent_id=agent_id,
        policy_id=policy_id,
        body=body,
        caller=caller,
        if_match=if_match,
        now=parts.now(),
        agents=[agent_id],
    )
    return tagged(policy, response)


def _rollback(
    tx: Transaction,
    *,
    agent_id: str,
    policy_id: str,
    body: RollbackIn,
    caller: Asker,
    now: datetime,
    if_match: Collection[str] | None,
) -> StoredPolicy:
    seen = rights.require_owner(tx, agent_id=agent_id, account_id=caller.account_id)
    policies.check_policy(tx, agent_id=agent_id, policy_id=policy_id, etags=if_match)
    return policies.rollback_policy(
        tx,
        agent=seen.agent,
        policy_id=policy_id,
        version=body.version,
        actor_id=caller.account_id,
        note=body.note,
        now=now,
        known_tools=policies.load_known_tools(tx, agent_id=agent_id),
    )


def _list_versions(
    tx: Transaction, *, agent_id: str, policy_id: str, caller: Asker, query: PageQuery
) -> Page[PolicyVersion]:
    rights.require_visible_policy(tx, agent_id=agent_id, policy_id=policy_id, account_id=caller.account_id)
    return policies.list_versions(
        tx, agent_id=agent_id, policy_id=policy_id, limit=query.limit, offset=query.start
    )


def _read_version(
    tx: Transaction, *, agent_id: str, policy_id: str, version: int, caller: Asker
) -> PolicyVersion:
    rights.require_visible_policy(tx, agent_id=agent_id, policy_id=policy_id, account_id=caller.account_id)
    return policies.get_version(tx, agent_id=agent_id, policy_id=policy_id, version=version)
