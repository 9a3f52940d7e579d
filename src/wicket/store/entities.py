"""Entities of an agent: metadata of the resources behind its connectors, imported or harvested, never contents.

Policies are decided by them, so an import is a change of the agent like any other: it is in force for every call
that starts after it. Each import is bounded, because it holds everybody's turn to write.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from wicket.connectors.knowledge import as_value
from wicket.connectors.services import catalog
from wicket.core.entities import ALL, Entity, EntityRef
from wicket.core.errors import Invalid
from wicket.core.model import UNKNOWN_ID, Connector, Json, ResourceType
from wicket.store import tables
from wicket.store.changes import record_change
from wicket.store.instants import from_us, to_us
from wicket.store.lookups import COLUMNS, parse_entity
from wicket.store.page import Page, check_page

IMPORT_MAX: Final = 500
"""Entities in one import; more come in several."""
ENTITIES_MAX: Final = 20_000
"""Entities of one service of an agent."""
ID_CHARS_MAX: Final = 600
NAME_CHARS_MAX: Final = 512
TEXT_CHARS_MAX: Final = 512
TEXTS_MAX: Final = 100
PARENTS_MAX: Final = 10
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

_E = tables.entities.c


@dataclass(frozen=True, slots=True)
class StoredEntity:
    """An entity as it is kept."""

    service: str
    entity: Entity
    updated_at: datetime


def check_import(service: str, entities: Sequence[Entity]) -> Sequence[Entity]:
    """The entities as they will be kept; raises Invalid naming the field. Ask before it is our turn to write."""
    connector = catalog().get(service)
    if connector is None or not connector.resource_types:
        raise Invalid(f"`{service}` has no resources that entities could describe", field="service")
    if len(entities) > IMPORT_MAX:
        raise Invalid(f"at most {IMPORT_MAX} entities at a time: send them in several", field="entities")
    checked = [_checked(connector, one, f"entities[{index}]") for index, one in enumerate(entities)]
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(checked):
        if (one.type, one.id) in seen:
            raise Invalid(f"`{one.id}` is there twice", field=f"entities[{index}].id")
        seen.add((one.type, one.id))
    return checked


def put_entities(
    tx: sa.Connection,
    *,
    agent_id: str,
    service: str,
    entities: Sequence[Entity],
    replace: bool,
    actor_id: str | None,
    now: datetime,
) -> int:
    """Keep `entities`, which are checked (see `check_import`), and answer how many the service has now.

    An entity that is there already is replaced whole; with `replace`, those of the service that are not among
    them are forgotten. Raises Invalid where there would be too many.
    """
    ours = (_E.agent_id == agent_id, _E.service == service)
    if replace:
        tx.execute(sa.delete(tables.entities).where(*ours))
    else:
        for kind in sorted({one.type for one in entities}):
            ids = [one.id for one in entities if one.type == kind]
            tx.execute(sa.delete(tables.entities).where(*ours, _E.type == kind, _E.id.in_(ids)))
    if entities:
        tx.execute(sa.insert(tables.entities), [_row(agent_id, service, one, to_us(now)) for one in entities])
    count = tx.execute(sa.select(sa.func.count()).select_from(tables.entities).where(*ours)).scalar_one()
    if count > ENTITIES_MAX:
        raise Invalid(f"a service has at most {ENTITIES_MAX} entities", field="entities")
    record_change(
        tx,
        kind="entities_imported",
        agent_id=agent_id,
        actor_id=actor_id,
        body={"service": service, "count": len(entities), "replace": replace},
        now=now,
    )
    return count


def _folded(tx: sa.Connection, column: sa.Column[str]) -> sa.Function[str]:
    """With the letters of ASCII in lower case, and no others: SQLite knows no more."""
    return sa.func.lower(sa.collate(column, "C") if tx.dialect.name == "postgresql" else column)


def list_entities(
    tx: sa.Connection,
    *,
    agent_id: str,
    service: str | None = None,
    kind: str | None = None,
    search: str | None = None,
    limit: int,
    offset: int,
) -> Page[StoredEntity]:
    """By service, type and id; `search` is a part of a name or id, whatever its case in ASCII."""
    check_page(limit=limit, offset=offset)
    wanted = [_E.agent_id == agent_id]
    if service is not None:
        wanted.append(_E.service == service)
    if kind is not None:
        wanted.append(_E.type == kind)
    if search:
        part = search.encode().lower().decode()
        wanted.append(
            sa.or_(*(_folded(tx, column).contains(part, autoescape=True) for column in (_E.name, _E.id)))
        )
    total = tx.execute(sa.select(sa.func.count()).select_from(tables.entities).where(*wanted)).scalar_one()
    rows = tx.execute(
        sa.select(*COLUMNS, _E.updated_at)
        .where(*wanted)
        .order_by(_E.service, _E.type, _E.id)
        .limit(limit)
        .offset(offset)
    )
    return Page(
        [StoredEntity(row.service, parse_entity(row), from_us(row.updated_at)) for row in rows], total
    )


def _row(agent_id: str, service: str, entity: Entity, now_us: int) -> dict[str, Any]:
    return {
        "agent_id": agent_id,
        "service": service,
        "type": entity.type,
        "id": entity.id,
        "name": entity.name,
        "attributes": json.dumps(dict(entity.attributes), sort_keys=True, separators=(",", ":")),
        "parents": json.dumps([list(ref) for ref in entity.parents], separators=(",", ":")),
        "version": 1,
        "updated_at": now_us,
    }


def _checked(connector: Connector, entity: Entity, path: str) -> Entity:
    described = _type_of(connector, entity.type, f"{path}.type")
    _check_id(described, entity.id, f"{path}.id")
    if len(entity.name) > NAME_CHARS_MAX or CONTROL.search(entity.name):
        raise Invalid(f"a name is a text of at most {NAME_CHARS_MAX} characters", field=f"{path}.name")
    attributes = {
        name: _attribute(described, name, value, f"{path}.attributes.{name}")
        for name, value in entity.attributes.items()
    }
    if len(entity.parents) > PARENTS_MAX:
        raise Invalid(f"at most {PARENTS_MAX} parents", field=f"{path}.parents")
    for index, parent in enumerate(entity.parents):
        _check_parent(connector, described, parent, f"{path}.parents[{index}]")
    return Entity(entity.type, entity.id, entity.name, attributes, entity.parents)


def _type_of(connector: Connector, name: str, path: str) -> ResourceType:
    described = connector.resource_types.get(name)
    if described is None:
        known = ", ".join(connector.resource_types)
        raise Invalid(f"`{name}` is no type of `{connector.key}`: {known}", field=path)
    return described


def _check_id(described: ResourceType, entity_id: str, path: str) -> None:
    """Ids are kept as decisions look for them: one that is spelled in another way would never be found."""
    fits = re.fullmatch(described.grammar, entity_id, re.ASCII) if described.grammar else entity_id
    if (
        not fits
        or len(entity_id) > ID_CHARS_MAX
        or CONTROL.search(entity_id)
        or entity_id in (ALL, UNKNOWN_ID)
    ):
        raise Invalid(
            f"the id of a {described.label} must match `{described.grammar or 'any text'}`", field=path
        )


def _check_parent(connector: Connector, described: ResourceType, parent: EntityRef, path: str) -> None:
    if parent.type not in described.within:
        raise Invalid(
            f"a {described.label} lies in {' or '.join(described.within) or 'nothing'}", field=f"{path}.type"
        )
    _check_id(connector.resource_types[parent.type], parent.id, f"{path}.id")


def _attribute(described: ResourceType, name: str, said: Json, path: str) -> Json:
    if name not in described.own:
        where = "is its container's" if name in described.attributes else "is no attribute of it"
        known: Mapping[str, object] = {one: described.attributes[one] for one in described.own}
        raise Invalid(f"`{name}` {where}: {', '.join(known) or 'it has none'}", field=path)
    value = as_value(said, described.attributes[name])
    texts = value if isinstance(value, list) else [value]
    if value is None or len(texts) > TEXTS_MAX or any(isinstance(t, str) and not _is_plain(t) for t in texts):
        raise Invalid(f"`{name}` must be {described.attributes[name]}, within bounds", field=path)
    return value


def _is_plain(text: str) -> bool:
    return len(text) <= TEXT_CHARS_MAX and CONTROL.search(text) is None
