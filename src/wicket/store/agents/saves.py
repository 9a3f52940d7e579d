"""Agents made, renamed, switched off and deleted."""

import json
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import exc

from wicket.core.errors import Conflict, Invalid
from wicket.core.model import AgentStatus, JsonObject, TrustMode
from wicket.store import tables
from wicket.store.agents.reads import StoredAgent, get_agent
from wicket.store.changes import record_change
from wicket.store.instants import to_us
from wicket.store.members import add_owner

NAME_CHARS_MAX: Final = 100
TAG_CHARS_MAX: Final = 40
TAGS_MAX: Final = 20
STATUS_REASON_CHARS_MAX: Final = 500
AGENTS_MAX: Final = 1_000
"""Of one owner."""

_A = tables.agents.c


def create_agent(
    tx: sa.Connection,
    *,
    owner_id: str,
    name: str,
    trust_mode: TrustMode,
    tags: Sequence[str] = (),
    now: datetime,
) -> StoredAgent:
    """Make an active agent, whose owner is its first member; raises Invalid, or Conflict `name_taken`."""
    name, tags = parse_name(name), parse_tags(tags)
    owned = (
        sa.select(sa.func.count())
        .select_from(tables.agents)
        .where(_A.owner_id == owner_id, _A.deleted_at.is_(None))
    )
    if tx.execute(owned).scalar_one() >= AGENTS_MAX:
        raise Conflict(
            f"an account owns at most {AGENTS_MAX} agents: delete one first", code="too_many_agents"
        )
    agent_id = str(uuid4())
    try:
        tx.execute(
            sa.insert(tables.agents).values(
                id=agent_id,
                owner_id=owner_id,
                name=name,
                name_folded=name.casefold(),
                trust_mode=trust_mode.value,
                status=AgentStatus.ACTIVE.value,
                tags=json.dumps(tags),
                settings="{}",
                revision=1,
                created_at=to_us(now),
            )
        )
    except exc.IntegrityError as error:
        raise _name_taken(name) from error
    add_owner(tx, agent_id=agent_id, account_id=owner_id, now=now)
    _record(tx, "agent_created", agent_id, owner_id, {"name": name, "trustMode": trust_mode.value}, now)
    return get_agent(tx, agent_id=agent_id)


def update_agent(
    tx: sa.Connection,
    *,
    agent_id: str,
    name: str | None = None,
    tags: Sequence[str] | None = None,
    actor_id: str | None,
    now: datetime,
) -> StoredAgent:
    """Rename or tag an agent; None leaves as it is. Raises NotFound, Invalid, or Conflict `name_taken`."""
    before = get_agent(tx, agent_id=agent_id)
    new_name = before.name if name is None else parse_name(name)
    new_tags = list(before.tags) if tags is None else parse_tags(tags)
    try:
        tx.execute(
            sa.update(tables.agents)
            .where(_A.id == agent_id)
            .values(name=new_name, name_folded=new_name.casefold(), tags=json.dumps(new_tags))
        )
    except exc.IntegrityError as error:
        raise _name_taken(new_name) from error
    body: JsonObject = {"name": new_name, "nameBefore": before.name, "tags": [*new_tags]}
    _record(tx, "agent_updated", agent_id, actor_id, body, now)
    return get_agent(tx, agent_id=agent_id)


def set_status(
    tx: sa.Connection,
    *,
    agent_id: str,
    status: AgentStatus,
    reason: str | None,
    actor_id: str | None,
    now: datetime,
) -> StoredAgent:
    """The kill switch: while `disabled`, every call of the agent is refused; keys stay as they are."""
    before = get_agent(tx, agent_id=agent_id)
    if reason is not None and not (len(reason) <= STATUS_REASON_CHARS_MAX and _is_plain(reason)):
        raise Invalid(
            f"a reason has at most {STATUS_REASON_CHARS_MAX} characters and no control characters",
            field="reason",
        )
    tx.execute(
        sa.update(tables.agents).where(_A.id == agent_id).values(status=status.value, status_reason=reason)
    )
    body: JsonObject = {
        "name": before.name,
        "status": status.value,
        "before": before.status.value,
        "reason": reason,
    }
    _record(tx, "agent_status_changed", agent_id, actor_id, body, now)
    return get_agent(tx, agent_id=agent_id)


def delete_agent(tx: sa.Connection, *, agent_id: str, actor_id: str | None, now: datetime) -> None:
    """Delete an agent: its keys are dead and its members' credentials gone; its audit entries stay."""
    agent = get_agent(tx, agent_id=agent_id)
    tx.execute(
        sa.update(tables.agents)
        .where(_A.id == agent_id)
        .values(
            deleted_at=to_us(now), name_folded=f"{agent.name.casefold()}\n{agent_id}"
        )  # the name is free again
    )
    keys = tables.member_keys.c
    tx.execute(
        sa.update(tables.member_keys)
        .where(keys.agent_id == agent_id, keys.revoked_at.is_(None))
        .values(revoked_at=to_us(now))
    )
    tx.execute(sa.delete(tables.connections).where(tables.connections.c.agent_id == agent_id))
    _record(tx, "agent_deleted", agent_id, actor_id, {"name": agent.name}, now)


def parse_name(text: str) -> str:
    """A name in the form that it is stored in; raises Invalid."""
    name = unicodedata.normalize("NFC", text.strip())
    if 1 <= len(name) <= NAME_CHARS_MAX and _is_plain(name):
        return name
    raise Invalid(
        f"an agent's name has 1 to {NAME_CHARS_MAX} characters and no control characters", field="name"
    )


def parse_tags(texts: Sequence[str]) -> list[str]:
    """Tags in the form that they are stored in, in the order given; raises Invalid naming the one."""
    if len(texts) > TAGS_MAX:
        raise Invalid(f"an agent has at most {TAGS_MAX} tags", field="tags")
    tags = [unicodedata.normalize("NFC", text.strip()) for text in texts]
    for index, tag in enumerate(tags):
        if not (1 <= len(tag) <= TAG_CHARS_MAX and _is_plain(tag)) or tag in tags[:index]:
            raise Invalid(
                f"a tag has 1 to {TAG_CHARS_MAX} characters, no control characters, and is named once",
                field=f"tags[{index}]",
            )
    return tags


def _is_plain(text: str) -> bool:
    """Whether it can stand in a line of a log: nothing invisible but spaces."""
    return not any(
        unicodedata.category(character)[0] == "C" or character in "\u2028\u2029" for character in text
    )


def _name_taken(name: str) -> Conflict:
    return Conflict(f"you have an agent named `{name}` already: choose another name", code="name_taken")


def _record(
    tx: sa.Connection, kind: str, agent_id: str, actor_id: str | None, body: JsonObject, now: datetime
) -> None:
    record_change(tx, kind=kind, agent_id=agent_id, actor_id=actor_id, body=body, now=now)
