"""Entities: what is known of the resources behind an agent's connectors, for pickers and for decisions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field, StrictBool, StrictInt, StrictStr

from wicket.api.guards import Guard, by
from wicket.api.http import AgentId, Caller, PageQuery, Parts, Text, guarded_router
from wicket.api.models import In, ListOut, Out
from wicket.core.entities import Entity, EntityRef
from wicket.core.model import Json
from wicket.store import entities, rights
from wicket.store.db import Transaction
from wicket.store.entities import StoredEntity
from wicket.store.page import Page


class EntitiesQuery(PageQuery):
    service: Text | None = None
    type: Text | None = Field(None, description="name of a resource type: `Repository`")
    search: Text | None = Field(None, description="a part of the name or the id, whatever its case")


class EntityRefOut(Out):
    type: str
    id: str


class EntityOut(Out):
    service: str
    type: str
    """Name of its resource type: `Repository`."""
    id: str
    """As policies name it: `my-org/site`."""
    name: str
    attributes: Mapping[str, bool | int | str | Sequence[str]]
    """Those that somebody has told; a policy takes the others for unknown."""
    parents: Sequence[EntityRefOut]
    updated_at: datetime

    @classmethod
    def of(cls, stored: StoredEntity) -> "EntityOut":
        entity = stored.entity
        return cls.model_validate(
            {
                "service": stored.service,
                "type": entity.type,
                "id": entity.id,
                "name": entity.name,
                "attributes": entity.attributes,
                "parents": [{"type": parent.type, "id": parent.id} for parent in entity.parents],
                "updated_at": stored.updated_at,
            }
        )


class EntityRefIn(In):
    type: StrictStr
    id: StrictStr


class EntityIn(In):
    type: StrictStr
    id: StrictStr
    name: StrictStr = ""
    attributes: Mapping[str, StrictBool | StrictInt | StrictStr | list[StrictStr]] = {}
    parents: Sequence[EntityRefIn] = Field([], max_length=entities.PARENTS_MAX)

    def entity(self) -> Entity:
        """The same as the store takes it."""
        told: dict[str, Json] = {
            name: [*value] if isinstance(value, list) else value for name, value in self.attributes.items()
        }
        return Entity(
            self.type, self.id, self.name, told, tuple(EntityRef(one.type, one.id) for one in self.parents)
        )


class ImportIn(In):
    service: StrictStr
    entities: Sequence[EntityIn] = Field(max_length=entities.IMPORT_MAX)
    replace: StrictBool = False
    """Forget the entities of the service that are not among these."""


class ImportedOut(Out):
    service: str
    imported: int
    total: int
    """Entities of the service now."""


def routes() -> APIRouter:
    """`/api/agents/{agentId}/entities`."""
    router = guarded_router("entities")
    root = "/api/agents/{agentId}/entities"
    router.get(root, **by(Guard.OWNER))(list_entities)
    router.put(root, **by(Guard.OWNER))(import_entities)
    return router


async def list_entities(
    agent_id: AgentId, query: Annotated[EntitiesQuery, Query()], caller: Caller, parts: Parts
) -> ListOut[EntityOut]:
    """What is known of the resources behind the agent's connectors."""
    page = await parts.db.read(_list, agent_id=agent_id, account_id=caller.account_id, query=query)
    items = [EntityOut.of(stored) for stored in page.items]
    return ListOut(items=items, total=page.total, next_cursor=query.next_cursor(page.total))


async def import_entities(agent_id: AgentId, body: ImportIn, caller: Caller, parts: Parts) -> ImportedOut:
    """Tell what resources are: each entity replaces what was known of it, in force for every call from now on."""
    await parts.db.read(rights.require_owner, agent_id=agent_id, account_id=caller.account_id)
    checked = entities.check_import(body.service, [one.entity() for one in body.entities])
    total = await parts.db.change(
        _put,
        agent_id=agent_id,
        account_id=caller.account_id,
        service=body.service,
        told=checked,
        replace=body.replace,
        now=parts.now(),
        agents=[agent_id],
    )
    return ImportedOut(service=body.service, imported=len(checked), total=total)


def _list(tx: Transaction, *, agent_id: str, account_id: str, query: EntitiesQuery) -> Page[StoredEntity]:
    rights.require_owner(tx, agent_id=agent_id, account_id=account_id)
    return entities.list_entities(
        tx,
        agent_id=agent_id,
        service=query.service,
        kind=query.type,
        search=query.search,
        limit=query.limit,
        offset=query.start,
    )


def _put(
    tx: Transaction,
    *,
    agent_id: str,
    account_id: str,
    service: str,
    told: Sequence[Entity],
    replace: bool,
    now: datetime,
) -> int:
    rights.require_owner(tx, agent_id=agent_id, account_id=account_id)
    return entities.put_entities(
        tx, agent_id=agent_id, service=service, entities=told, replace=replace, actor_id=account_id, now=now
    )
