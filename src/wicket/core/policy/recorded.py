"""A recorded call read again: what was asked then, in the terms that policies speak.

An entry keeps the Cedar request as it was evaluated. It names tool, tier, member and resources, so the call can be put
to other policies, which may read more of the context than those did then.
"""

from typing import Final

from wicket.core.model import Call, EntityUid, Json, JsonObject, Resource, Tier
from wicket.core.policy.slices import Subject

TIER: Final = "tier:"


def call_of(
    request: JsonObject, *, method: str, service: str, member_id: str, caller_ip: str, arguments: JsonObject
) -> Call:
    """The call that was decided on `request`; `arguments` are redacted. Raises ValueError for what is none of ours."""
    try:
        return _read(
            request,
            method=method,
            service=service,
            member_id=member_id,
            caller_ip=caller_ip,
            arguments=arguments,
        )
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError("the recorded request cannot be read") from error


def _read(
    request: JsonObject, *, method: str, service: str, member_id: str, caller_ip: str, arguments: JsonObject
) -> Call:
    action = _uid(request["action"])
    entities = {_uid(entity["uid"]): entity for entity in _objects(request["entities"])}
    parents = [_uid(parent).id for parent in _objects(entities[action]["parents"])]
    (tier,) = (parent.removeprefix(TIER) for parent in parents if parent.startswith(TIER))
    tools = [parent for parent in parents if not parent.startswith(TIER)]
    # A selector lies in its tool: `label_write::delete` in `label_write`.
    tool = tools[0] if tools else action.id
    selector = action.id.removeprefix(f"{tool}::") if tools else None
    targets = _objects(request.get("resources") or [request["resource"]])
    return Call(
        method=method,
        service=service,
        namespace=action.type.removesuffix("::Action"),
        tool=tool,
        tier=Tier(tier),
        arguments=arguments,
        user_id=_uid(request["principal"]).id,
        member_id=member_id,
        caller_ip=caller_ip,
        selector=selector,
        resources=tuple(_resource(_uid(target), entities) for target in targets),
    )


def subject_of(call: Call) -> Subject:
    """What decides which policies cover a call."""
    return Subject(call.service, call.tool, call.selector, call.tier, call.user_id, call.member_id)


def _resource(uid: EntityUid, entities: dict[EntityUid, JsonObject]) -> Resource:
    entity = entities.get(uid)
    if entity is None:
        return Resource(uid)
    attributes = entity["attrs"]
    known = dict(attributes) if isinstance(attributes, dict) else {}
    unknown = known.pop("unknown", [])
    names = frozenset(map(str, unknown)) if isinstance(unknown, list) else frozenset[str]()
    return Resource(uid, tuple(map(_uid, _objects(entity["parents"]))), known, names)


def _uid(raw: Json) -> EntityUid:
    if not isinstance(raw, dict):
        raise TypeError("an entity is named by its type and id")
    return EntityUid(str(raw["type"]), str(raw["id"]))


def _objects(raw: Json) -> list[JsonObject]:
    if not isinstance(raw, list):
        raise TypeError("a list of objects was expected")
    return [item for item in raw if isinstance(item, dict)]
