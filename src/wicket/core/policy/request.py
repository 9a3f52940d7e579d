"""The question that is put to Cedar, as plain JSON: what is asked, recorded, and can be asked again.

The context holds what the policies of the slice read and nothing else. What cannot be known is left out: a
caller's address that is no address, a time zone that this machine does not know. A policy that reads it then
fails, and a policy that fails denies the call.
"""

import ipaddress
import zoneinfo
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final, TypeAlias

from wicket.core.model import Call, EntityUid, Json, JsonObject, Resource
from wicket.core.policy.arguments_seen import find_seen
from wicket.core.policy.compile import date_number
from wicket.core.policy.compile_arguments import ARGUMENTS
from wicket.core.policy.compile_resources import UNKNOWN
from wicket.core.session import Facts

Path: TypeAlias = tuple[str, ...]
"""An attribute of the context: `("time", "hour")`."""
Value: TypeAlias = str | int | tuple[str, ...] | tuple[int, ...] | None

ADDRESSES_MAX: Final = 4_096
"""Callers' addresses whose canonical spelling is remembered."""


def read_values(call: Call, reads: Iterable[Path], facts: Facts, now: datetime) -> tuple[Value, ...]:
    """What policies that read `reads` of the context see in a call, in their order; None: it cannot be known."""
    return tuple([_find_value(path, call, facts, now) for path in reads])


def build_request(call: Call, reads: Iterable[Path], values: Iterable[Value]) -> JsonObject:
    """Build the Cedar request of a call, with `values` as its context (see `read_values`).

    `resource` is the first that the call targets; `resources` lists all where there are several.
    """
    request: JsonObject = {
        "principal": _uid(call.principal),
        "action": _uid(call.action),
        "resource": _uid(call.resources[0].uid),
        "context": _context(reads, values),
        "entities": build_entities(call),
    }
    if len(call.resources) > 1:
        request["resources"] = [_uid(resource.uid) for resource in call.resources]
    return request


def build_entities(call: Call) -> list[Json]:
    """Place the action in its tool and tier, and the resources in their containers."""
    parents = [f"tier:{call.tier}"] if call.selector is None else [call.tool, f"tier:{call.tier}"]
    action: JsonObject = {
        "uid": _uid(call.action),
        "attrs": {},
        "parents": [{"type": call.action.type, "id": parent} for parent in parents],
    }
    resources: list[JsonObject] = [
        {
            "uid": _uid(resource.uid),
            "attrs": _attributes(resource),
            "parents": [_uid(parent) for parent in resource.parents],
        }
        for resource in call.resources
        if is_described(resource)
    ]
    return [action, *resources]


def is_described(resource: Resource) -> bool:
    """Whether more is said of a resource than its name."""
    return bool(resource.attributes or resource.parents or resource.unknown)


def _attributes(resource: Resource) -> JsonObject:
    unknown: JsonObject = {UNKNOWN: [*sorted(resource.unknown)]} if resource.unknown else {}
    return {**resource.attributes, **unknown}


def _uid(uid: EntityUid) -> JsonObject:
    return {"type": uid.type, "id": uid.id}


def _context(reads: Iterable[Path], values: Iterable[Value]) -> JsonObject:
    context: JsonObject = {}
    for path, value in zip(reads, values, strict=True):
        *records, attribute = path
        record = context
        for name in records:
            inner = record.setdefault(name, {})
            if isinstance(inner, dict):
                record = inner
        if value is not None:
            record[attribute] = _as_json(path, value)
    return context


def _as_json(path: Path, value: Value) -> Json:
    if path == ("ip",):
        return {"__extn": {"fn": "ip", "arg": str(value)}}
    return [*value] if isinstance(value, tuple) else value


def _find_value(path: Path, call: Call, facts: Facts, now: datetime) -> Value:
    match path:
        case ("time", part):
            return _part_of(now.astimezone(UTC), part)
        case ("time", "in", zone, part):
            clock = _find_zone(zone)
            return None if clock is None else _part_of(now.astimezone(clock), part)
        case ("session", *fact):
            return _find_fact(tuple(fact), facts)
        case ("memberSessions", *fact):
            return None if facts.member is None else _find_sum(tuple(fact), facts.member)
        case (arguments, record, key) if arguments == ARGUMENTS:
            return find_seen(call.arguments, record, key)
        case ("ip",):
            return _address(call.caller_ip)
        case ("userId",):
            return call.user_id
        case _:
            return None


def _part_of(local: datetime, part: str) -> Value:
    match part:
        case "hour":
            return local.hour
        case "dayOfWeek":
            return local.isoweekday() % 7
        case "date":
            return date_number(local)
        case _:
            return None


def _find_zone(name: str) -> tzinfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _find_fact(path: Path, facts: Facts) -> Value:
    match path:
        case ("denyCount",):
            return facts.deny_count
        case ("callCount",):
            return facts.call_count
        case ("toolsUsed", tool):
            return facts.tools_used.get(tool)
        case ("policyDenyCounts", key):
            return facts.policy_denies.get(key)
        case ("policyAllowCounts", key):
            return facts.policy_allows.get(key)
        case ("labels",):
            return tuple(sorted(facts.labels))
        case _:
            return None


def _find_sum(path: Path, facts: Facts) -> Value:
    """A fact of all the member's sessions; what never happened is zero, since nothing there is what is not known."""
    found = _find_fact(path, facts)
    return 0 if found is None else found


@lru_cache(maxsize=ADDRESSES_MAX)
def _address(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        # Cedar knows neither scopes nor IPv4 embedded in IPv6.
        address = address.ipv4_mapped or ipaddress.IPv6Address(int(address))
    return str(address)
