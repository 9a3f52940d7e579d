"""Several changes to an agent's policies as one: all of them bind at once, or none does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias, assert_never

import sqlalchemy as sa

from wicket.core.errors import Conflict
from wicket.core.policy.document import PolicyDocument
from wicket.store.policies.etags import etag_of
from wicket.store.policies.reads import StoredPolicy, get_policy
from wicket.store.policies.rules import AgentRef, KnownTools
from wicket.store.policies.saves import create_policy, delete_policy, toggle_policy, update_policy


@dataclass(frozen=True, slots=True)
class Creation:
    """A new policy, under a key that no policy of the agent has had."""

    key: str
    document: PolicyDocument


@dataclass(frozen=True, slots=True)
class Revision:
    """What a stored policy becomes: another version where it says something else, and enabled or disabled."""

    stored: StoredPolicy
    document: PolicyDocument


@dataclass(frozen=True, slots=True)
class Deletion:
    stored: StoredPolicy


PolicyChange: TypeAlias = Creation | Revision | Deletion


def change_policies(
    tx: sa.Connection,
    *,
    agent: AgentRef,
    changes: Sequence[PolicyChange],
    actor_id: str | None,
    note: str | None,
    now: datetime,
    known_tools: KnownTools,
) -> None:
    """Carry all of them out, in the order given.

    Raises Invalid like a save, and Conflict when a policy is no more what it was read as, or a key is taken.
    """
    by: dict[str, Any] = {"actor_id": actor_id, "now": now}
    save: dict[str, Any] = {"agent": agent, "note": note, "known_tools": known_tools, **by}
    for change in changes:
        match change:
            case Creation(key=key, document=document):
                create_policy(tx, document=document, key=key, **save)
            case Revision(stored=stored, document=document):
                _check_unmoved(tx, stored)
                if replace(stored.document, enabled=document.enabled) != document:
                    update_policy(tx, policy_id=stored.id, document=document, keep_enabled=True, **save)
                enabled = document.enabled
                toggle_policy(tx, agent_id=agent.agent_id, policy_id=stored.id, enabled=enabled, **by)
            case Deletion(stored=stored):
                _check_unmoved(tx, stored)
                delete_policy(tx, agent_id=agent.agent_id, policy_id=stored.id, **by)
            case _:
                assert_never(change)


def _check_unmoved(tx: sa.Connection, stored: StoredPolicy) -> None:
    now = get_policy(tx, agent_id=stored.agent_id, policy_id=stored.id)
    if etag_of(now) != etag_of(stored):
        raise Conflict(f"policy `{stored.key}` has been changed meanwhile: plan again")
