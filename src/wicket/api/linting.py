"""A policy looked at before it is saved: the Cedar that it becomes, and what is probably not meant in it."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from wicket.api.guards import Guard, by
from wicket.api.http import AgentId, Asker, Caller, Parts, Text, guarded_router
from wicket.api.models import In, Out
from wicket.api.policies import PolicyBody, parse_save
from wicket.connectors.services import catalog, namespace_of
from wicket.core.model import Connector
from wicket.core.policy.document import PolicyDocument
from wicket.core.policy.engine import render_cedar
from wicket.core.policy.lint import Lint, LintCode, lint
from wicket.store import policies, rights, worlds
from wicket.store.db import Transaction


class LintQuery(In):
    policy_id: Text | None = Field(None, description="the policy that this is to be the next version of")


class LintOut(Out):
    """What is probably not meant; it forbids nothing."""

    code: LintCode
    field: str = Field(description="dotted: `tools[1]`")
    message: str


class LintsOut(Out):
    lints: Sequence[LintOut]


class PreviewOut(LintsOut):
    cedar: str


def routes() -> APIRouter:
    """`/preview` and `/lint` of an agent's policies."""
    router = guarded_router("policies")
    root, names = "/api/agents/{agentId}/policies", ("unknown_service", "unknown_tool")
    router.post(root + "/preview", **by(Guard.OWNER, *names))(preview_policy)
    router.post(root + "/lint", **by(Guard.OWNER, *names))(lint_policy)
    return router


async def preview_policy(
    agent_id: AgentId, body: PolicyBody, query: Annotated[LintQuery, Query()], caller: Caller, parts: Parts
) -> PreviewOut:
    """What a policy compiles to, and what to say of it, without saving it."""
    document, lints = await _lint(agent_id, body, query, caller, parts)
    return PreviewOut(cedar=render_cedar(document, namespace_of(document.service)), lints=lints)


async def lint_policy(
    agent_id: AgentId, body: PolicyBody, query: Annotated[LintQuery, Query()], caller: Caller, parts: Parts
) -> LintsOut:
    """What is probably not meant in a policy that may be saved; it would be saved all the same."""
    _, lints = await _lint(agent_id, body, query, caller, parts)
    return LintsOut(lints=lints)


async def _lint(
    agent_id: str, body: PolicyBody, query: LintQuery, caller: Asker, parts: Parts
) -> tuple[PolicyDocument, list[LintOut]]:
    document, _ = parse_save(body, parts.known_zones)
    found = await parts.db.read(
        _find,
        agent_id=agent_id,
        caller=caller,
        document=document,
        policy_id=query.policy_id,
        today=parts.now().date(),
        local=parts.stdio,
    )
    return document, [LintOut(code=one.code, field=one.field, message=one.message) for one in found]


def _find(
    tx: Transaction,
    *,
    agent_id: str,
    caller: Asker,
    document: PolicyDocument,
    policy_id: str | None,
    today: date,
    local: Mapping[str, Connector],
) -> Sequence[Lint]:
    seen = rights.require_owner(tx, agent_id=agent_id, account_id=caller.account_id)
    if policy_id is not None:
        policies.get_policy(tx, agent_id=agent_id, policy_id=policy_id)
    known = policies.load_known_tools(tx, agent_id=agent_id)
    policies.check(tx, agent=seen.agent, document=document, note=None, known_tools=known)
    world = worlds.load(tx, agent_id, local=local)
    listed = catalog().get(document.service)
    return lint(
        document,
        tools=known.get(document.service, {}),
        catalog=None if listed is None else listed.tools,
        others=[policy for policy in (world.policies if world else ()) if policy.ref.id != policy_id],
        today=today,
    )
