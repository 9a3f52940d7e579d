"""Saves, toggles and deletions of policies."""

import json
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import sqlalchemy as sa

from wicket.core.model import JsonObject, PolicyRef
from wicket.core.policy.document import PolicyDocument, digest_of, render_policy
from wicket.core.world import AgentPolicy
from wicket.store import tables
from wicket.store.changes import record_change
from wicket.store.instants import to_us
from wicket.store.policies import history
from wicket.store.policies.reads import StoredPolicy, get_policy, get_version
from wicket.store.policies.rules import AgentRef, KnownTools, check, free_key


def create_policy(
    tx: sa.Connection,
    *,
    agent: AgentRef,
    document: PolicyDocument,
    actor_id: str | None,
    note: str | None,
    now: datetime,
    known_tools: KnownTools,
    key: str | None = None,
) -> StoredPolicy:
    """Save a new policy as version 1; raises Invalid naming the field (`tools[2]`, `memberId`).

    Without `key` it gets a slug of its name; raises Conflict when a policy has that key, or a deleted one had it.
    """
    check(tx, agent=agent, document=document, note=note, known_tools=known_tools)
    policy = StoredPolicy(
        id=str(uuid4()),
        agent_id=agent.agent_id,
        key=free_key(tx, agent_id=agent.agent_id, name=document.name, wanted=key),
        version=1,
        document=document,
        created_at=now,
        updated_at=now,
    )
    tx.execute(
        sa.insert(tables.policies).values(
            agent_id=policy.agent_id,
            id=policy.id,
            key=policy.key,
            version=policy.version,
            enabled=document.enabled,
            member_id=document.member_id,
            created_at=to_us(now),
            updated_at=to_us(now),
        )
    )
    _add_version(tx, policy=policy, actor_id=actor_id, note=note, now=now)
    _record(tx, history.CREATED, policy, actor_id=actor_id, now=now)
    return policy


def draft_policy(
    tx: sa.Connection,
    *,
    agent: AgentRef,
    document: PolicyDocument,
    policy_id: str | None,
    known_tools: KnownTools,
) -> AgentPolicy:
    """What a save would bring into force, as a new policy or in the place of one; nothing is saved. Raises Invalid."""
    check(tx, agent=agent, document=document, note=None, known_tools=known_tools)
    if policy_id is None:
        policy_id, key, version = str(uuid4()), free_key(tx, agent_id=agent.agent_id, name=document.name), 1
    else:
        before = get_policy(tx, agent_id=agent.agent_id, policy_id=policy_id)
        key, version = before.key, before.version + 1
    ref = PolicyRef(
        id=policy_id,
        key=key,
        name=document.name,
        version=version,
        effect=document.effect,
        deny_message=document.deny_message,
        digest=digest_of(document, version),
    )
    return AgentPolicy(ref, document, document.member_id)


def update_policy(
    tx: sa.Connection,
    *,
    agent: AgentRef,
    policy_id: str,
    document: PolicyDocument,
    actor_id: str | None,
    note: str | None,
    now: datetime,
    known_tools: KnownTools,
    keep_enabled: bool = False,
) -> StoredPolicy:
    """Save a policy's next version; raises NotFound or Invalid.

    `keep_enabled`: the document does not say whether the policy is enabled, so that stays as it is.
    """
    before = get_policy(tx, agent_id=agent.agent_id, policy_id=policy_id)
    check(tx, agent=agent, document=document, note=note, known_tools=known_tools)
    if keep_enabled:
        document = replace(document, enabled=before.document.enabled)
    after = replace(before, version=before.version + 1, document=document, updated_at=now)
    tx.execute(
        sa.update(tables.policies)
        .where(tables.policies.c.agent_id == after.agent_id, tables.policies.c.id == after.id)
        .values(
            version=after.version,
            enabled=document.enabled,
            member_id=document.member_id,
            updated_at=to_us(now),
        )
    )
    _add_version(tx, policy=after, actor_id=actor_id, note=note, now=now)
    _record(tx, history.UPDATED, after, actor_id=actor_id, now=now)
    return after


def rollback_policy(
    tx: sa.Connection,
    *,
    agent: AgentRef,
    policy_id: str,
    version: int,
    actor_id: str | None,
    note: str | None,
    now: datetime,
    known_tools: KnownTools,
) -> StoredPolicy:
    """Save an older version's document as the next version; whether the policy is enabled stays as it is."""
    before = get_policy(tx, agent_id=agent.agent_id, policy_id=policy_id)
    older = get_version(tx, agent_id=agent.agent_id, policy_id=policy_id, version=version)
    return update_policy(
        tx,
        agent=agent,
        policy_id=policy_id,
        document=replace(older.document, enabled=before.document.enabled),
        actor_id=actor_id,
        note=note,
        now=now,
        known_tools=known_tools,
    )


def toggle_policy(
    tx: sa.Connection,
    *,
    agent_id: str,
    policy_id: str,
    enabled: bool | None,
    actor_id: str | None,
    now: datetime,
) -> StoredPolicy:
    """Enable or disable a policy (None: the other way round); already so is fine and changes nothing."""
    before = get_policy(tx, agent_id=agent_id, policy_id=policy_id)
    wanted = not before.document.enabled if enabled is None else enabled
    if wanted is before.document.enabled:
        return before
    after = replace(before, document=replace(before.document, enabled=wanted), updated_at=now)
    tx.execute(
        sa.update(tables.policies)
        .where(tables.policies.c.agent_id == agent_id, tables.policies.c.id == policy_id)
        .values(enabled=wanted, updated_at=to_us(now))
    )
    _record(tx, history.TOGGLED, after, actor_id=actor_id, now=now)
    return after


def delete_policy(
    tx: sa.Connection, *, agent_id: str, policy_id: str, actor_id: str | None, now: datetime
) -> None:
    """Delete a policy; its versions stay readable for the audit entries that cite them."""
    policy = get_policy(tx, agent_id=agent_id, policy_id=policy_id)
    tx.execute(
        sa.update(tables.policies)
        .where(tables.policies.c.agent_id == agent_id, tables.policies.c.id == policy_id)
        .values(enabled=False, deleted_at=to_us(now))
    )
    _record(tx, history.DELETED, policy, actor_id=actor_id, now=now)


def delete_policies_of_member(
    tx: sa.Connection, *, agent_id: str, member_id: str, actor_id: str | None, now: datetime
) -> None:
    """Delete a leaving member's own policies (untrusted agents), so that a return starts with nothing."""
    ids = tx.execute(
        sa.select(tables.policies.c.id).where(
            tables.policies.c.agent_id == agent_id,
            tables.policies.c.member_id == member_id,
            tables.policies.c.deleted_at.is_(None),
        )
    ).scalars()
    for policy_id in ids.all():
        delete_policy(tx, agent_id=agent_id, policy_id=policy_id, actor_id=actor_id, now=now)


def _add_version(
    tx: sa.Connection, *, policy: StoredPolicy, actor_id: str | None, note: str | None, now: datetime
) -> None:
    # Whether it was on or off when it was saved is no part of a version, nor of its digest.
    document = render_policy(policy.document)
    del document["enabled"]
    tx.execute(
        sa.insert(tables.policy_versions).values(
            agent_id=policy.agent_id,
            policy_id=policy.id,
            version=policy.version,
            document=json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
            digest=digest_of(policy.document, policy.version),
            saved_at=to_us(now),
            saved_by=actor_id,
            note=note,
        )
    )


def _record(
    tx: sa.Connection, kind: str, policy: StoredPolicy, *, actor_id: str | None, now: datetime
) -> None:
    agents = tables.agents.c
    before = tx.execute(sa.select(agents.revision).where(agents.id == policy.agent_id)).scalar_one()
    body: JsonObject = {
        "policyId": policy.id,
        "key": policy.key,
        "name": policy.document.name,
        "version": policy.version,
        "enabled": policy.document.enabled,
        # The change moves the agent's revision when it is done, and binds from then on.
        history.REVISION: before + 1,
    }
    record_change(tx, kind=kind, agent_id=policy.agent_id, actor_id=actor_id, body=body, now=now)
