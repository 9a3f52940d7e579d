"""Policies of an agent: written as structured documents, kept in numbered versions, shown as Cedar before a save.

What a policy may say is `parse_policy`'s to judge; these bodies are read as plain JSON.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Query, Response
from pydantic import AwareDatetime, Field, StrictBool

from wicket.api import shapes
from wicket.api.etags import IfMatch, put_etag
from wicket.api.guards import Guard, by
from wicket.api.http import AgentId, Asker, Caller, PageQuery, Parts, PolicyId, Text, guarded_router
from wicket.api.models import In, ListOut
from wicket.connectors.services import catalog
from wicket.core.errors import Invalid
from wicket.core.policy.document import PolicyDocument, parse_policy, render_policy
from wicket.store import policies, rights
from wicket.store.db import Transaction
from wicket.store.page import Page
from wicket.store.policies import StoredPolicy

PolicyBody = Annotated[shapes.PolicyBody, Body(description="A structured policy; a save may carry a `note`")]
PolicyOut = shapes.PolicyOut

R = TypeVar("R")


class PoliciesQuery(PageQuery):
    service: Text | None = None
    at: AwareDatetime | None = Field(
        None,
        description="those that were enabled at this instant, in the versions of then, as clocks tell",
    )


class ToggleIn(In):
    enabled: StrictBool | None = None


def routes() -> APIRouter:
    """`/api/agents/{agentId}/policies`, and the flat toggle."""
    router = guarded_router("policies")
    root = "/api/agents/{agentId}/policies"
    one = root + "/{policyId}"
    router.get(root, **by(Guard.POLICY_READER))(list_policies)
    names, stale = ("unknown_service", "unknown_tool"), "version_conflict"
    router.post(root, status_code=201, **by(Guard.OWNER, *names, "limit_reached"))(create_policy)
    router.get(one, **by(Guard.POLICY_READER))(read_policy)
    router.put(one, **by(Guard.OWNER, *names, stale))(update_policy)
    router.delete(one, status_code=204, **by(Guard.OWNER, stale))(delete_policy)
    router.post(one + "/toggle", **by(Guard.OWNER, stale))(toggle_policy)
    router.post("/api/policies/{policyId}/toggle", **by(Guard.OWNER, stale))(toggle_by_id)
    return router


async def list_policies(
    agent_id: AgentId, query: Annotated[PoliciesQuery, Query()], caller: Caller, parts: Parts
) -> ListOut[PolicyOut]:
    """To the owner every policy, oldest first; to a member of an untrusted agent the own ones.

    With `at`, what was in force then. What an audit entry was decided under is exact: `GET /api/audit/{id}/explain`.
    """
    page = await parts.db.read(_list, agent_id=agent_id, caller=caller, query=query)
    items = [render_stored(policy) for policy in page.items]
    return ListOut(items=items, total=page.total, next_cursor=query.next_cursor(page.total))


async def create_policy(
    agent_id: AgentId, body: PolicyBody, response: Response, caller: Caller, parts: Parts
) -> PolicyOut:
    """Save a new policy; it binds every call that starts after the answer."""
    document, note = parse_save(body, parts.known_zones)
    await asyncio.to_thread(policies.check_evaluable, document)
    policy = await parts.db.change(
        _create,
        agent_id=agent_id,
        caller=caller,
        document=document,
        note=note,
        now=parts.now(),
        agents=[agent_id],
    )
    response.headers["Location"] = f"/api/agents/{agent_id}/policies/{policy.id}"
    return tagged(policy, response)


async def read_policy(
    agent_id: AgentId, policy_id: PolicyId, response: Response, caller: Caller, parts: Parts
) -> PolicyOut:
    """One policy at its current version."""
    policy = await parts.db.read(
        rights.require_visible_policy, agent_id=agent_id, policy_id=policy_id, account_id=caller.account_id
    )
    return tagged(policy, response)


async def update_policy(
    agent_id: AgentId,
    policy_id: PolicyId,
    body: PolicyBody,
    response: Response,
    caller: Caller,
    parts: Parts,
    if_match: IfMatch,
) -> PolicyOut:
    """Save the next version. Without `enabled` the policy stays as enabled as it is."""
    document, note = parse_save(body, parts.known_zones)
    await asyncio.to_thread(policies.check_evaluable, document)
    policy = await parts.db.change(
        _update,
        agent_id=agent_id,
        policy_id=policy_id,
        caller=caller,
        document=document,
        note=note,
        now=parts.now(),
        if_match=if_match,
        keep_enabled=body.get("enabled") is None,
        agents=[agent_id],
    )
    return tagged(policy, response)


async def delete_policy(
    agent_id: AgentId, policy_id: PolicyId, if_match: IfMatch, caller: Caller, parts: Parts
) -> None:
    """Delete a policy; audit entries that cite it keep doing so."""
    await parts.db.change(
        _as_owner,
        policies.delete_policy,
        agent_id=agent_id,
        policy_id=policy_id,
        caller=caller,
        if_match=if_match,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )


async def toggle_policy(
    agent_id: AgentId,
    policy_id: PolicyId,
    response: Response,
    caller: Caller,
    parts: Parts,
    if_match: IfMatch,
    body: ToggleIn | None = None,
) -> PolicyOut:
    """Enable or disable a policy, or without a body turn it round; an event, not a version."""
    policy = await parts.db.change(
        _as_owner,
        policies.toggle_policy,
        agent_id=agent_id,
        policy_id=policy_id,
        caller=caller,
        if_match=if_match,
        enabled=None if body is None else body.enabled,
        actor_id=caller.account_id,
        now=parts.now(),
        agents=[agent_id],
    )
    return tagged(policy, response)


async def toggle_by_id(
    policy_id: PolicyId,
    response: Response,
    caller: Caller,
    parts: Parts,
    if_match: IfMatch,
    body: ToggleIn | None = None,
) -> PolicyOut:
    """Enable or disable a policy by its id alone."""
    agent_id = await parts.db.read(
        rights.find_policy_agent, policy_id=policy_id, account_id=caller.account_id
    )
    return await toggle_policy(agent_id, policy_id, response, caller, parts, if_match, body)


def render_stored(policy: StoredPolicy) -> PolicyOut:
    """A policy as it stands on the wire."""
    return {
        "id": policy.id,
        "key": policy.key,
        "version": policy.version,
        **render_policy(policy.document),
    }


def parse_save(body: Mapping[str, Any], known_zones: frozenset[str]) -> tuple[PolicyDocument, str | None]:
    """The document and the note of a save."""
    raw = dict(body)
    note = raw.pop("note", None)
    if note is not None and not isinstance(note, str):
        raise Invalid("`note` is a text", field="note")
    return parse_policy(raw, catalog(), known_zones=known_zones), note


def tagged(policy: StoredPolicy, response: Response) -> PolicyOut:
    """A policy as it is answered, with its entity tag."""
    put_etag(response, policies.etag_of(policy))
    return render_stored(policy)


def _list(tx: Transaction, *, agent_id: str, caller: Asker, query: PoliciesQuery) -> Page[StoredPolicy]:
    member_id = rights.policies_seen_by(tx, agent_id=agent_id, account_id=caller.account_id)
    if query.at is not None:
        return policies.list_policies_at(
            tx,
            agent_id=agent_id,
            at=query.at,
            service=query.service,
            member_id=member_id,
            limit=query.limit,
            offset=query.start,
        )
    return policies.list_policies(
        tx,
        agent_id=agent_id,
        service=query.service,
        member_id=member_id,
        limit=query.limit,
        offset=query.start,
    )


def _create(
    tx: Transaction,
    *,
    agent_id: str,
    caller: Asker,
    document: PolicyDocument,
    note: str | None,
    now: datetime,
) -> StoredPolicy:
    seen = rights.require_owner(tx, agent_id=agent_id, account_id=caller.account_id)
    return policies.create_policy(
        tx,
        agent=seen.agent,
        document=document,
        actor_id=caller.account_id,
        note=note,
        now=now,
        known_tools=policies.load_known_tools(tx, agent_id=agent_id),
    )


def _update(
    tx: Transaction,
    *,
    agent_id: str,
    policy_id: str,
    caller: Asker,
    document: PolicyDocument,
    note: str | None,
    now: datetime,
    if_match: Collection[str] | None,
    keep_enabled: bool,
) -> StoredPolicy:
    seen = rights.require_owner(tx, agent_id=agent_id, account_id=caller.account_id)
    policies.check_policy(tx, agent_id=agent_id, policy_id=policy_id, etags=if_match)
    return policies.update_policy(
        tx,
        agent=seen.agent,
        policy_id=policy_id,
        document=document,
        actor_id=caller.account_id,
        note=note,
        now=now,
        known_tools=policies.load_known_tools(tx, agent_id=agent_id),
        keep_enabled=keep_enabled,
    )


def _as_owner(
    tx: Transaction,
    fn: Callable[..., R],
    /,
    *,
    agent_id: str,
    policy_id: str,
    caller: Asker,
    if_match: Collection[str] | None,
    **kwargs: object,
) -> R:
    """Run a store function on a policy of an own agent, if it is still what the caller has read."""
    rights.require_owner(tx, agent_id=agent_id, account_id=caller.account_id)
    policies.check_policy(tx, agent_id=agent_id, policy_id=policy_id, etags=if_match)
    return fn(tx, agent_id=agent_id, policy_id=policy_id, **kwargs)
