"""Agents as stored, found by id, by name, or by who may see them."""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from wicket.core.errors import Invalid, NotFound
from wicket.core.model import AgentStatus, MemberStatus, Role, TrustMode
from wicket.store import tables
from wicket.store.instants import from_us
from wicket.store.page import PAGE_DEFAULT, Page, check_page

_A = tables.agents.c
_M = tables.members.c
_S = tables.agent_services.c
_LIVE = sa.select(tables.agents).where(_A.deleted_at.is_(None))


@dataclass(frozen=True, slots=True)
class StoredAgent:
    id: str
    owner_id: str
    name: str
    trust_mode: TrustMode
    status: AgentStatus
    status_reason: str | None
    tags: tuple[str, ...]
    services: tuple[str, ...]
    """Keys of the enabled connectors, in the owner's order."""
    revision: int
    created_at: datetime

    @property
    def agent_id(self) -> str:
        """The same as `id`, by the name that whatever belongs to an agent knows it."""
        return self.id


@dataclass(frozen=True, slots=True)
class SeenAgent:
    """An agent with what it is to the account that looks at it."""

    agent: StoredAgent
    role: Role
    member_id: str
    member_status: MemberStatus


SORTS: Final[Mapping[str, Callable[[SeenAgent], tuple[object, ...]]]] = {
    "name": lambda seen: (seen.agent.name.casefold(), seen.agent.id),
    "createdAt": lambda seen: (seen.agent.created_at, seen.agent.id),
    "status": lambda seen: (seen.agent.status, seen.agent.name.casefold(), seen.agent.id),
}
DIRECTIONS: Final = ("asc", "desc")


def get_agent(tx: sa.Connection, *, agent_id: str) -> StoredAgent:
    """An agent by id, whoever asks; raises NotFound."""
    row = tx.execute(_LIVE.where(_A.id == agent_id)).one_or_none()
    if row is None:
        raise not_found(agent_id)
    return _agents_of(tx, [row])[0]


def get_agent_of(tx: sa.Connection, *, agent_id: str, account_id: str) -> SeenAgent:
    """An agent that the account owns or is a member of, pending ones too; raises NotFound for any other."""
    seen = _visible(tx, account_id, _A.id == agent_id)
    if not seen:
        raise not_found(agent_id)
    return seen[0]


def find_agents(tx: sa.Connection, *, name_or_id: str) -> tuple[StoredAgent, ...]:
    """The agents of this id or, whoever owns them, of this name in any letter case: names are unique per owner."""
    folded = unicodedata.normalize("NFC", name_or_id).casefold()
    rows = tx.execute(
        _LIVE.where(sa.or_(_A.id == name_or_id, _A.name_folded == folded)).order_by(_A.created_at, _A.id)
    ).all()
    exact = [row for row in rows if row.id == name_or_id]
    return _agents_of(tx, exact or rows)


def list_all_agents(tx: sa.Connection) -> tuple[StoredAgent, ...]:
    """Every agent of the instance, oldest first: for the host's command line."""
    return _agents_of(tx, tx.execute(_LIVE.order_by(_A.created_at, _A.id)).all())


def list_agents(
    tx: sa.Connection,
    *,
    account_id: str,
    search: str | None = None,
    status: AgentStatus | None = None,
    role: Role | None = None,
    tag: str | None = None,
    sort_by: str = "createdAt",
    sort_dir: str = "desc",
    limit: int = PAGE_DEFAULT,
    offset: int = 0,
) -> Page[SeenAgent]:
    """The agents that an account owns or is a member of; raises Invalid naming the parameter.

    Names are compared and sorted here, not by the database: collations differ, and so would the order.
    """
    check_page(limit=limit, offset=offset)
    if sort_by not in SORTS:
        raise Invalid(f"`sortBy` is one of {', '.join(SORTS)}", field="sortBy")
    if sort_dir not in DIRECTIONS:
        raise Invalid("`sortDir` is `asc` or `desc`", field="sortDir")
    wanted: list[sa.ColumnElement[bool]] = []
    if status is not None:
        wanted.append(_A.status == status.value)
    if role is not None:
        wanted.append(_M.role == role.value)
    found = [
        seen
        for seen in _visible(tx, account_id, *wanted)
        if (search is None or unicodedata.normalize("NFC", search).casefold() in seen.agent.name.casefold())
        and (tag is None or tag in seen.agent.tags)
    ]
    found.sort(key=SORTS[sort_by], reverse=sort_dir == "desc")
    return Page(found[offset : offset + limit], len(found))


def not_found(agent_id: str) -> NotFound:
    """What is said of an agent that is not there, and of one that the asker may not know of."""
    return NotFound(f"there is no agent `{agent_id}`: list the agents to find its id")


def _visible(tx: sa.Connection, account_id: str, *wanted: sa.ColumnElement[bool]) -> list[SeenAgent]:
    rows = tx.execute(
        sa.select(tables.agents, _M.id.label("member_id"), _M.role, _M.status.label("member_status"))
        .join(tables.members, _M.agent_id == _A.id)
        .where(
            _M.account_id == account_id,
            _M.status.in_((MemberStatus.PENDING.value, MemberStatus.APPROVED.value)),
            _A.deleted_at.is_(None),
            *wanted,
        )
    ).all()
    return [
        SeenAgent(agent, Role(row.role), row.member_id, MemberStatus(row.member_status))
        for agent, row in zip(_agents_of(tx, rows), rows, strict=True)
    ]


def _agents_of(tx: sa.Connection, rows: Sequence[sa.Row[Any]]) -> tuple[StoredAgent, ...]:
    services = _enabled_services(tx, [row.id for row in rows])
    return tuple(
        StoredAgent(
            id=row.id,
            owner_id=row.owner_id,
            name=row.name,
            trust_mode=TrustMode(row.trust_mode),
            status=AgentStatus(row.status),
            status_reason=row.status_reason,
            tags=tuple(json.loads(row.tags)),
            services=tuple(services[row.id]),
            revision=row.revision,
            created_at=from_us(row.created_at),
        )
        for row in rows
    )


def _enabled_services(tx: sa.Connection, agent_ids: Collection[str]) -> Mapping[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    query = (
        sa.select(_S.agent_id, _S.service).where(_S.enabled).order_by(_S.agent_id, _S.position, _S.service)
    )
    for row in tx.execute(query.where(_S.agent_id.in_(agent_ids))):
        found[row.agent_id].append(row.service)
    return found
