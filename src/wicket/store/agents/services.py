"""Which services an agent has enabled, and the baseline policy that each brings with it, once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa

from wicket.connectors.services import catalog
from wicket.core.errors import Invalid
from wicket.core.model import Connector, JsonObject, PolicyEffect, Tier, TrustMode
from wicket.core.policy.document import PolicyDocument
from wicket.store import policies, tables
from wicket.store.agents.reads import StoredAgent, get_agent
from wicket.store.changes import record_change
from wicket.store.connectors import list_connectors
from wicket.store.instants import to_us
from wicket.store.pins import SeenTool, observe, seed_connector_tools

SERVICES_MAX: Final = 200
BASELINE_TIERS: Final = (Tier.READ, Tier.WRITE)
"""Destructive tools need a policy that somebody wrote."""

NO_TOOLS: Final[Mapping[str, Sequence[SeenTool]]] = MappingProxyType({})

_S = tables.agent_services.c


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service that is enabled for an agent, or was once."""

    service: str
    enabled: bool
    position: int
    baseline_seeded: bool


def set_services(
    tx: sa.Connection,
    *,
    agent_id: str,
    services: Sequence[str],
    local: Mapping[str, Connector],
    actor_id: str | None,
    now: datetime,
    local_tools: Mapping[str, Sequence[SeenTool]] = NO_TOOLS,
    tiers_from_annotations: Collection[str] = (),
) -> StoredAgent:
    """Replace the agent's enabled services, in this order; raises NotFound, or Invalid naming `services[i]`.

    The owner may enable the catalog's, those of the configuration file (`local`), and custom ones of their own.
    `local_tools` are those that local servers list now, to be pinned; for those in `tiers_from_annotations` with
    the tiers that they propose, when they are enabled for the first time.
    """
    agent = get_agent(tx, agent_id=agent_id)
    names = _known_names(tx, agent, local)
    _check(services, names)
    known = {row.service for row in _rows(tx, agent_id)}
    tx.execute(sa.update(tables.agent_services).where(_S.agent_id == agent_id).values(enabled=False))
    for position, service in enumerate(services):
        if service in known:
            tx.execute(
                sa.update(tables.agent_services)
                .where(_S.agent_id == agent_id, _S.service == service)
                .values(enabled=True, position=position)
            )
        else:
            tx.execute(
                sa.insert(tables.agent_services).values(
                    agent_id=agent_id, service=service, position=position, enabled=True
                )
            )
    body: JsonObject = {"services": [*services], "before": [*agent.services]}
    record_change(tx, kind="agent_services_changed", agent_id=agent_id, actor_id=actor_id, body=body, now=now)
    for service in services:
        if service not in agent.services:
            seed_connector_tools(tx, agent_id=agent_id, service=service, now=now)
            observe(
                tx,
                agent_id=agent_id,
                service=service,
                member_id=None,
                seen=local_tools.get(service, ()) if service in local else (),
                now=now,
                accept_tiers=service in tiers_from_annotations and service not in known,
            )
        seed_baseline(tx, agent=agent, service=service, name=names[service], actor_id=actor_id, now=now)
    return get_agent(tx, agent_id=agent_id)


def list_services(tx: sa.Connection, *, agent_id: str) -> tuple[ServiceState, ...]:
    """The services that are or were enabled, in the owner's order."""
    return tuple(
        ServiceState(row.service, row.enabled, row.position, row.baseline_at is not None)
        for row in _rows(tx, agent_id)
    )


def seed_baseline(
    tx: sa.Connection, *, agent: StoredAgent, service: str, name: str, actor_id: str | None, now: datetime
) -> bool:
    """Give a trusted agent the service's baseline policy, once and never again; whether that happened now.

    It is a policy like any other: people see it, change it, and delete it.
    """
    if agent.trust_mode is TrustMode.UNTRUSTED:
        return False
    claimed = tx.execute(
        sa.update(tables.agent_services)
        .where(_S.agent_id == agent.id, _S.service == service, _S.baseline_at.is_(None))
        .values(baseline_at=to_us(now))
    )
    if claimed.rowcount == 0:
        return False
    document = PolicyDocument(
        name=f"{name} baseline",
        service=service,
        effect=PolicyEffect.PERMIT,
        tools=tuple(f"tier:{tier}" for tier in BASELINE_TIERS),
    )
    policies.create_policy(
        tx,
        agent=agent,
        document=document,
        actor_id=actor_id,
        note="made when the service was first enabled",
        now=now,
        known_tools=policies.load_known_tools(tx, agent_id=agent.id),
    )
    return True


def _known_names(tx: sa.Connection, agent: StoredAgent, local: Mapping[str, Connector]) -> Mapping[str, str]:
    """What each service that the agent may have is called."""
    custom = {connector.key: connector.name for connector in list_connectors(tx, account_id=agent.owner_id)}
    return custom | {key: connector.name for key, connector in (*local.items(), *catalog().items())}


def _check(services: Sequence[str], known: Mapping[str, str]) -> None:
    if len(services) > SERVICES_MAX:
        raise Invalid(f"an agent has at most {SERVICES_MAX} services", field="services")
    for index, service in enumerate(services):
        field = f"services[{index}]"
        if service not in known:
            raise Invalid(
                f"there is no connector `{service}`: name one of the catalog or one of your own",
                field=field,
                code="unknown_service",
            )
        if service in services[:index]:
            raise Invalid(f"`{service}` is named twice: name each service once", field=field)


def _rows(tx: sa.Connection, agent_id: str) -> Sequence[sa.Row[Any]]:
    return tx.execute(
        sa.select(tables.agent_services).where(_S.agent_id == agent_id).order_by(_S.position, _S.service)
    ).all()
