"""Versions of a policy: every save, what differs between two of them, and going back to one."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from wicket.api import shapes
from wicket.api.etags import IfMatch
from wicket.api.guards import Guard, by
from wicket.api.http import AgentId, Asker, Caller, PageQuery, Parts, PolicyId, guarded_router
from wicket.api.models import In, ListOut, Out
from wicket.api.policies import PolicyOut, tagged
from wicket.connectors.services import namespace_of
from wicket.core.policy.diff import ChangeKind, compare, unified
from wicket.core.policy.document import PolicyDocument, render_policy
from wicket.core.policy.engine import render_cedar
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


class DiffQuery(In):
    from_: int | None = Field(
        None, alias="from", ge=1, le=VERSION_MAX, description="the one before `to` without it"
    )
    to: int | None = Field(None, ge=1, le=VERSION_MAX, description="the current version without it")


class DifferenceOut(Out):
    field: str = Field(description="dotted; `time.hours` stands for both hours")
    kind: ChangeKind
    before: Any = Field(description="null for what was added")
    after: Any = Field(description="null for what was removed")
    text: str = Field(description="for people: `adds tool delete_file`, `hours 9-17 -> 8-18`")


class DiffOut(Out):
    from_: int = Field(alias="from")
    to: int
    changes: Sequence[DifferenceOut]
    cedar: str = Field(
        description="the two Cedar texts as `diff -u` compares them; empty where they are the same"
    )


def routes() -> APIRouter:
    """`/versions`, `/diff` and `/rollback` of a policy."""
    router = guarded_router("policies")
    one = "/api/agents/{agentId}/policies/{policyId}"
    router.get(one + "/versions", **by(Guard.POLICY_READER))(list_versions)
    router.get(one + "/versions/{version}", **by(Guard.POLICY_READER))(read_version)
    router.get(one + "/diff", **by(Guard.POLICY_READER))(diff_versions)
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


async def diff_versions(
    agent_id: AgentId,
    policy_id: PolicyId,
    query: Annotated[DiffQuery, Query()],
    caller: Caller,
    parts: Parts,
) -> DiffOut:
    """What one version of a policy says and another does not; without parameters, what the newest save changed."""
    before, after = await parts.db.read(
        _read_versions, agent_id=agent_id, policy_id=policy_id, caller=caller, query=query
    )
    names = (f"version {before.version}", f"version {after.version}")
    changes = compare(before.document, after.document)
    return DiffOut.model_validate({
        "from": before.version,
        "to": after.version,
        "changes": [asdict(change) for change in changes],
        "cedar": unified(_cedar(before.document), _cedar(after.document), names=names),
    })  # fmt: skip


def _cedar(document: PolicyDocument) -> str:
    return render_cedar(document, namespace_of(document.service))


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


def _read_versions(
    tx: Transaction, *, agent_id: str, policy_id: str, caller: Asker, query: DiffQuery
) -> tuple[PolicyVersion, PolicyVersion]:
    current = rights.require_visible_policy(
        tx, agent_id=agent_id, policy_id=policy_id, account_id=caller.account_id
    )
    return policies.get_versions(tx, policy=current, before=query.from_, after=query.to)
