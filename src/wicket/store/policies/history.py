"""Which policies were in force: of a revision, or at an instant.

Every change of a policy is an event of the log with the policy's version, whether it is enabled, and the agent's
revision that the change made. So what was in force under a revision, which every audit entry names, is exact. An
instant is as exact as the clocks of the machines that the changes were made on; the order of changes does not depend
on them. Events of before revisions were noted in them are placed by their instant.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from wicket.connectors.services import catalog
from wicket.core.model import PolicyRef
from wicket.core.policy.document import parse_policy
from wicket.core.world import AgentPolicy
from wicket.store import tables
from wicket.store.audit.entry import CHANGES_WRITER
from wicket.store.instants import from_us, to_us
from wicket.store.page import PAGE_DEFAULT, Page, check_page
from wicket.store.policies.reads import StoredPolicy

CREATED: Final = "policy_created"
UPDATED: Final = "policy_updated"
TOGGLED: Final = "policy_toggled"
DELETED: Final = "policy_deleted"
KINDS: Final = (CREATED, UPDATED, TOGGLED, DELETED)
REVISION: Final = "revision"
"""Field of an event: the agent's revision from which on the change binds."""

_E = tables.events.c
_V = tables.policy_versions.c


@dataclass(frozen=True, slots=True)
class InForce:
    """The enabled policies of an agent as they once were, those that were made first coming first."""

    policies: tuple[AgentPolicy, ...]
    is_exact: bool
    """Whether their order against what was asked for is that of the log, and not only that of clocks."""


def policies_at(tx: sa.Connection, *, agent_id: str, at: datetime) -> InForce:
    """What bound calls that began at an instant."""
    rows = tx.execute(_events(agent_id).where(_E.at <= to_us(at)))
    states = {body["policyId"]: (row.kind, body) for row in rows for body in [json.loads(row.body)]}
    return InForce(_load(tx, agent_id, states), is_exact=False)


def list_policies_at(
    tx: sa.Connection,
    *,
    agent_id: str,
    at: datetime,
    service: str | None = None,
    member_id: str | None = None,
    limit: int = PAGE_DEFAULT,
    offset: int = 0,
) -> Page[StoredPolicy]:
    """The same as a list; those of `"*"` only where no service is asked for."""
    check_page(limit=limit, offset=offset)
    found = [
        policy
        for policy in policies_at(tx, agent_id=agent_id, at=at).policies
        if service in (None, policy.document.service) and member_id in (None, policy.member_id)
    ]
    page = found[offset : offset + limit]
    saved = {
        (row.policy_id, row.version): from_us(row.saved_at)
        for row in tx.execute(
            sa.select(_V.policy_id, _V.version, _V.saved_at).where(
                _V.agent_id == agent_id, _V.policy_id.in_([policy.ref.id for policy in page])
            )
        )
    }
    items = tuple(
        StoredPolicy(
            policy.ref.id,
            agent_id,
            policy.ref.key,
            policy.ref.version,
            policy.document,
            created_at=saved[policy.ref.id, 1],
            updated_at=saved[policy.ref.id, policy.ref.version],
        )
        for policy in page
    )
    return Page(items, len(found))


def policies_under(tx: sa.Connection, *, agent_id: str, revision: int, at: datetime) -> InForce:
    """What bound a call that was decided under a revision; `at` is when."""
    until, is_exact = to_us(at), True
    states: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for row in tx.execute(_events(agent_id)):
        body = json.loads(row.body)
        made = body.get(REVISION)
        is_exact = is_exact and made is not None
        if (made <= revision) if made is not None else (row.at <= until):
            states[body["policyId"]] = (row.kind, body)
    return InForce(_load(tx, agent_id, states), is_exact)


def _events(agent_id: str) -> sa.Select[Any]:
    return (
        sa.select(_E.kind, _E.at, _E.body)
        .where(_E.writer == CHANGES_WRITER, _E.agent_id == agent_id, _E.kind.in_(KINDS))
        .order_by(_E.seq)
    )


def _load(
    tx: sa.Connection, agent_id: str, states: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> tuple[AgentPolicy, ...]:
    """The policies whose last state is enabled, at the versions of those states."""
    wanted = {
        (policy_id, body["version"]): body["key"]
        for policy_id, (kind, body) in states.items()
        if kind != DELETED and body["enabled"]
    }
    created = tables.policies.c.created_at
    kept = tx.execute(
        sa.select(_V.policy_id, _V.version, _V.document, _V.digest)
        .join(
            tables.policies,
            sa.and_(tables.policies.c.agent_id == _V.agent_id, tables.policies.c.id == _V.policy_id),
        )
        .where(_V.agent_id == agent_id)
        .order_by(created, _V.policy_id)
    )
    found = [(row, wanted.get((row.policy_id, row.version))) for row in kept]
    return tuple(_policy(row, key) for row, key in found if key is not None)


def _policy(row: sa.Row[*tuple[Any, ...]], key: str) -> AgentPolicy:
    document = parse_policy(json.loads(row.document), catalog())
    ref = PolicyRef(
        id=row.policy_id,
        key=key,
        name=document.name,
        version=row.version,
        effect=document.effect,
        deny_message=document.deny_message,
        digest=row.digest,
    )
    return AgentPolicy(ref, document, document.member_id)
