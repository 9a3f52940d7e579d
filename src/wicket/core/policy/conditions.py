"""Conditions of a policy on time, tool session and network: as values, read and written.

A policy matches where each of its conditions holds. An optional part that is null is like an absent one.
"""

import ipaddress
import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeAlias, assert_never

from wicket.core.errors import Invalid
from wicket.core.model import Json, JsonObject
from wicket.core.policy.fields import (
    check_distinct,
    parse_choice,
    parse_integer,
    parse_list,
    parse_match,
    parse_object,
    parse_required,
    parse_text,
)

LABEL_LENGTH_MAX = 200
SESSION_CONDITIONS_MAX = 20
NETWORKS_MAX = 100
COUNT_MAX = 1_000_000_000

COUNTED_TOOL_GRAMMAR = re.compile(r"[a-z][a-z0-9]{0,30}:[A-Za-z0-9_.-]{1,128}")
POLICY_KEY_GRAMMAR = re.compile(r"[^\W_][\w.-]{0,199}")
DATE_GRAMMAR = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
ZONE_GRAMMAR = re.compile(r"(?=.{1,64}\Z)[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
EMBEDDED_IPV4 = ipaddress.IPv6Network("::ffff:0:0/96")


class CountFact(StrEnum):
    """The numbers of a tool session that a policy may compare."""

    DENY_COUNT = "denyCount"
    CALL_COUNT = "callCount"
    TOOL_COUNT = "toolCount"
    POLICY_DENY_COUNT = "policyDenyCount"
    POLICY_ALLOW_COUNT = "policyAllowCount"


class SessionScope(StrEnum):
    """Over what a session condition looks."""

    SESSION = "session"
    MEMBER = "member"
    """All the live sessions of the member: a client chooses the ids of its own."""


class Operator(StrEnum):
    AT_LEAST = ">="
    MORE_THAN = ">"
    LESS_THAN = "<"
    AT_MOST = "<="


@dataclass(frozen=True, slots=True)
class Time:
    """When a policy matches. Days, hours and dates are those of the call's instant in `zone`, else in UTC."""

    days_of_week: tuple[int, ...] = ()
    """0 = Sunday .. 6; empty: every day."""
    hours: tuple[int, int] | None = None
    """First and last hour, both inclusive; the first beyond the last wraps past midnight."""
    active_from: date | None = None
    active_to: date | None = None
    """Inclusive."""
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """From where a policy matches: the address is in one of `inside`, if any, and in none of `outside`."""

    inside: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CountCondition:
    """A number of the tool session compared with a constant; `subject` is the tool or policy it counts."""

    fact: CountFact
    operator: Operator
    value: int
    subject: str | None = None
    scope: SessionScope = SessionScope.SESSION


@dataclass(frozen=True, slots=True)
class LabelCondition:
    """The tool session has touched what carries this label."""

    label: str
    scope: SessionScope = SessionScope.SESSION


SessionCondition: TypeAlias = CountCondition | LabelCondition

COUNTED = {
    CountFact.TOOL_COUNT: "tool",
    CountFact.POLICY_DENY_COUNT: "policy",
    CountFact.POLICY_ALLOW_COUNT: "policy",
}


def parse_time(raw: Json, known_zones: frozenset[str] | None) -> Time | None:
    """Read `time`; None where it says nothing."""
    if raw is None or raw == {}:
        return None
    names = ("daysOfWeek", "hoursFrom", "hoursTo", "activeFrom", "activeTo", "timeZone")
    raw = parse_object(raw, "time", names)
    active_from = _parse_date(raw.get("activeFrom"), "time.activeFrom")
    active_to = _parse_date(raw.get("activeTo"), "time.activeTo")
    if active_from is not None and active_to is not None and active_from > active_to:
        raise Invalid("`time.activeTo` must not be before `time.activeFrom`", field="time.activeTo")
    time = Time(
        days_of_week=_parse_days(raw.get("daysOfWeek")),
        hours=_parse_hours(raw),
        active_from=active_from,
        active_to=active_to,
        zone=_parse_zone(raw.get("timeZone"), known_zones),
    )
    if time == Time(zone=time.zone):
        raise Invalid("`time` needs days, hours or dates, or leave it out", field="time")
    return time


def _parse_days(raw: Json) -> tuple[int, ...]:
    if raw is None:
        return ()
    field = "time.daysOfWeek"
    items = parse_list(raw, field, count_min=1, count_max=7)
    days = tuple(parse_integer(item, f"{field}[{i}]", least=0, most=6) for i, item in enumerate(items))
    check_distinct(days, field)
    return days


def _parse_hours(raw: JsonObject) -> tuple[int, int] | None:
    for name, other in (("hoursFrom", "hoursTo"), ("hoursTo", "hoursFrom")):
        if raw.get(name) is None and raw.get(other) is not None:
            raise Invalid(f"`time.{name}` is missing, `time.{other}` needs it", field=f"time.{name}")
    if raw.get("hoursFrom") is None:
        return None
    return (
        parse_integer(raw["hoursFrom"], "time.hoursFrom", least=0, most=23),
        parse_integer(raw["hoursTo"], "time.hoursTo", least=0, most=23),
    )


def _parse_date(raw: Json, field: str) -> date | None:
    if raw is None:
        return None
    meaning = "a date like `2026-01-31`"
    text = parse_match(raw, field, DATE_GRAMMAR, meaning)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"`{field}` must be {meaning}", field=field) from error


def _parse_zone(raw: Json, known_zones: frozenset[str] | None) -> str | None:
    if raw is None:
        return None
    field = "time.timeZone"
    zone = parse_match(raw, field, ZONE_GRAMMAR, "an IANA time zone like `Europe/Berlin`")
    if known_zones is not None and zone not in known_zones:
        raise Invalid(f"`{zone}` is not a time zone that is known here, use an IANA name", field=field)
    return zone


def parse_session(raw: Json) -> tuple[SessionCondition, ...]:
    """Read `session`, a list of conditions that must all hold."""
    items = [] if raw is None else parse_list(raw, "session", count_max=SESSION_CONDITIONS_MAX)
    return tuple(_parse_condition(item, f"session[{i}]") for i, item in enumerate(items))


def _parse_condition(raw: Json, field: str) -> SessionCondition:
    raw = parse_object(raw, field, ("type", "operator", "value", "tool", "policy", "scope"))
    scope = SessionScope.SESSION
    if raw.get("scope") is not None:
        scope = parse_choice(raw["scope"], f"{field}.scope", SessionScope)
    if raw.get("type") == "hasLabel":
        _refuse_present(raw, field, "operator", "tool", "policy")
        label = parse_required(raw, "value", f"{field}.value")
        return LabelCondition(parse_text(label, f"{field}.value", length_max=LABEL_LENGTH_MAX), scope)
    fact = parse_choice(parse_required(raw, "type", f"{field}.type"), f"{field}.type", CountFact)
    _refuse_present(raw, field, *({"tool", "policy"} - {COUNTED.get(fact)}))
    return CountCondition(
        fact=fact,
        operator=parse_choice(
            parse_required(raw, "operator", f"{field}.operator"), f"{field}.operator", Operator
        ),
        value=parse_integer(raw.get("value"), f"{field}.value", least=0, most=COUNT_MAX),
        subject=_parse_subject(raw, field, COUNTED.get(fact)),
        scope=scope,
    )


def _refuse_present(raw: JsonObject, field: str, *names: str) -> None:
    for name in sorted(names):
        if raw.get(name) is not None:
            path = f"{field}.{name}"
            raise Invalid(f"`{path}` does not go with this type of condition, leave it out", field=path)


def _parse_subject(raw: JsonObject, field: str, name: str | None) -> str | None:
    if name is None:
        return None
    path = f"{field}.{name}"
    subject = parse_required(raw, name, path)
    if name == "tool":
        return parse_match(subject, path, COUNTED_TOOL_GRAMMAR, "a tool like `github:push_files`")
    return parse_match(subject, path, POLICY_KEY_GRAMMAR, "a policy's key")


def parse_network(raw: Json) -> Network | None:
    """Read `network`; None where it says nothing."""
    if raw is None or raw == {}:
        return None
    raw = parse_object(raw, "network", ("in", "notIn"))
    network = Network(
        inside=_parse_networks(raw.get("in"), "network.in"),
        outside=_parse_networks(raw.get("notIn"), "network.notIn"),
    )
    return None if network == Network() else network


def _parse_networks(raw: Json, field: str) -> tuple[str, ...]:
    if raw is None:
        return ()
    items = parse_list(raw, field, count_min=1, count_max=NETWORKS_MAX)
    networks = tuple(_parse_cidr(item, f"{field}[{i}]") for i, item in enumerate(items))
    check_distinct(networks, field)
    return networks


def _parse_cidr(raw: Json, field: str) -> str:
    problem = Invalid(
        f"`{field}` must be a network like `10.0.0.0/8` or `2001:db8::/32`, without host bits", field=field
    )
    if not isinstance(raw, str) or "%" in raw:
        raise problem
    try:
        network = ipaddress.ip_network(raw, strict=True)
    except ValueError as error:
        raise problem from error
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(EMBEDDED_IPV4):
        # Callers are seen under their IPv4 address, so such a network would never match.
        raise Invalid(f"`{field}` holds IPv4 addresses, write it as an IPv4 network", field=field)
    return str(network)


def render_time(time: Time) -> JsonObject:
    """Write what `parse_time` read."""
    rendered: JsonObject = {}
    if time.days_of_week:
        rendered["daysOfWeek"] = list(time.days_of_week)
    if time.hours is not None:
        rendered["hoursFrom"], rendered["hoursTo"] = time.hours
    if time.active_from is not None:
        rendered["activeFrom"] = time.active_from.isoformat()
    if time.active_to is not None:
        rendered["activeTo"] = time.active_to.isoformat()
    if time.zone is not None:
        rendered["timeZone"] = time.zone
    return rendered


def render_condition(condition: SessionCondition) -> JsonObject:
    """Write one item of what `parse_session` read."""
    scope: JsonObject = {} if condition.scope is SessionScope.SESSION else {"scope": condition.scope.value}
    match condition:
        case LabelCondition(label=label):
            return {"type": "hasLabel", "value": label, **scope}
        case CountCondition(fact=fact, operator=operator, value=value, subject=subject):
            about: JsonObject = {} if subject is None else {COUNTED[fact]: subject}
            return {"type": fact.value, **about, "operator": operator.value, "value": value, **scope}
        case _:
            assert_never(condition)


def render_network(network: Network) -> JsonObject:
    """Write what `parse_network` read."""
    rendered: JsonObject = {}
    if network.inside:
        rendered["in"] = list(network.inside)
    if network.outside:
        rendered["notIn"] = list(network.outside)
    return rendered
