"""Structured policy -> Cedar, in Cedar's JSON form and as the text that people see.

Only `permit` and `forbid` with `when`, never `unless`; actions always by `action in [...]`, because a selector
lies in its tool and both lie in their tiers. What the conditions read, and the request therefore must hold:

    context.time.hour, .dayOfWeek (0 = Sunday), .date (yyyymmdd)      the call's instant in UTC
    context.time["in"]["Europe/Berlin"].hour ...                      the same in another zone
    context.session.denyCount, .callCount                             facts of the tool session before the call
    context.session.toolsUsed["github:push_files"]                    absent when never used
    context.session.policyDenyCounts["<key>"], .policyAllowCounts     absent when zero
    context.session.labels                                            a set
    context.memberSessions.denyCount ..                               the same of all the member's live sessions
    context.arguments.texts["branch"] ..                              see `compile_arguments`
    context.ip                                                        the caller's address
    context.userId                                                    read by policies of every service only

A policy of one service names members as `<Namespace>::User::"<user id>"`. A policy of every service has no
namespace to name them in, so it compares `context.userId`.
"""

from collections.abc import Sequence
from datetime import date
from typing import TypeAlias, assert_never

from wicket.core.model import Json, JsonObject
from wicket.core.policy.compile_arguments import compile_argument
from wicket.core.policy.compile_resources import compile_condition, compile_restrictions, compile_scope
from wicket.core.policy.conditions import (
    CountCondition,
    CountFact,
    LabelCondition,
    Network,
    SessionCondition,
    SessionScope,
    Time,
)
from wicket.core.policy.document import EVERY, PolicyDocument
from wicket.core.policy.expressions import (
    CONTEXT,
    Expression,
    binary,
    choose,
    context,
    has,
    joined,
    literal,
    literals,
)
from wicket.core.policy.resources import Match

ConditionName: TypeAlias = str
"""Which part of a document an expression comes from: `time.hours`, `session[0]`, `conditions.items[1]`."""
RECORDS = {
    CountFact.TOOL_COUNT: "toolsUsed",
    CountFact.POLICY_DENY_COUNT: "policyDenyCounts",
    CountFact.POLICY_ALLOW_COUNT: "policyAllowCounts",
}


def compile_policy(document: PolicyDocument, namespace: str, policy_id: str = "") -> JsonObject:
    """Compile to one policy of Cedar's JSON form; `policy_id`, when given, becomes its `@id` annotation."""
    parts = [
        *(part for _, part in _before_resources(document, namespace)),
        *_resource_conditions(document, namespace),
        *(part for _, part in _arguments(document)),
    ]
    listed = _principal_condition(document, namespace)
    conditions = parts if listed is None else [listed, *parts]
    compiled: JsonObject = {
        "effect": document.effect.value,
        "principal": _principal(document, namespace),
        "action": _actions(document, namespace),
        "resource": {"op": "All"},
        "conditions": [{"kind": "when", "body": joined("&&", conditions)}] if conditions else [],
    }
    return compiled if not policy_id else {**compiled, "annotations": {"id": policy_id}}


def conditions_of(document: PolicyDocument, namespace: str) -> list[tuple[ConditionName, Expression]]:
    """List the conditions that `compile_policy` joins, beyond principal and tools, each under its field's name.

    Resource conditions are listed one by one, though a policy may ask for any of them alone (`conditions.match`).
    """
    items = () if document.conditions is None else document.conditions.merged()
    return [
        *_before_resources(document, namespace),
        *(
            (f"conditions.items[{number}]", compile_condition(item, document.effect, namespace))
            for number, item in enumerate(items)
        ),
        *_arguments(document),
    ]


def _before_resources(document: PolicyDocument, namespace: str) -> list[tuple[ConditionName, Expression]]:
    parts = [] if document.time is None else _time(document.time)
    parts += [(f"session[{i}]", _session(condition)) for i, condition in enumerate(document.session)]
    if document.network is not None:
        parts += _network(document.network)
    if document.restrictions is not None:
        restricted = compile_restrictions(document.restrictions, document.effect, namespace)
        parts.append(("restrictions", restricted))
    if document.resource_scope is not None:
        scoped = compile_scope(document.resource_scope, document.effect, namespace)
        parts.append(("resourceScope", scoped))
    return parts


def _resource_conditions(document: PolicyDocument, namespace: str) -> list[Expression]:
    if document.conditions is None:
        return []
    items = [compile_condition(item, document.effect, namespace) for item in document.conditions.merged()]
    return [joined("||", items)] if document.conditions.match is Match.ANY else items


def _arguments(document: PolicyDocument) -> list[tuple[ConditionName, Expression]]:
    return [
        (f"arguments[{number}]", compile_argument(condition, document.effect))
        for number, condition in enumerate(document.arguments)
    ]


def paths_read(compiled: JsonObject) -> frozenset[tuple[str, ...]]:
    """List the attributes of the context that a compiled policy reads: `("time", "hour")`."""
    found: set[tuple[str, ...]] = set()
    pending: list[Json] = [compiled["conditions"]]
    while pending:
        node = pending.pop()
        path = _path(node)
        if path:
            found.add(path)
        elif isinstance(node, dict):
            pending += node.values()
        elif isinstance(node, list):
            pending += node
    return frozenset(found)


def _path(node: Json) -> tuple[str, ...]:
    match node:
        case {".": {"left": left, "attr": str(attribute)}} | {"has": {"left": left, "attr": str(attribute)}}:
            above = _path(left)
            return (*above, attribute) if above or left == CONTEXT else ()
        case _:
            return ()


def _principal(document: PolicyDocument, namespace: str) -> JsonObject:
    users = document.principal.user_ids
    if users is None or document.service == EVERY or len(users) > 1:
        return {"op": "All"}
    return {"op": "==", "entity": {"type": f"{namespace}::User", "id": users[0]}}


def _principal_condition(document: PolicyDocument, namespace: str) -> Expression | None:
    """What the head of a policy cannot say: one of several members, or a member in no namespace."""
    users = document.principal.user_ids
    if users is None:
        return None
    if document.service == EVERY:
        return binary("contains", literals(users), context("userId"))
    if len(users) == 1:
        return None
    listed = literals({"__entity": {"type": f"{namespace}::User", "id": user}} for user in users)
    return binary("contains", listed, {"Var": "principal"})


def _actions(document: PolicyDocument, namespace: str) -> JsonObject:
    if document.service == EVERY:
        return {"op": "All"}
    actions: list[Json] = [{"type": f"{namespace}::Action", "id": tool} for tool in document.tools]
    return {"op": "in", "entities": actions}


def _time(time: Time) -> list[tuple[ConditionName, Expression]]:
    at = ("time",) if time.zone in (None, "UTC") else ("time", "in", str(time.zone))
    parts: list[tuple[ConditionName, Expression]] = []
    if time.active_from is not None:
        begun = binary(">=", context(*at, "date"), literal(date_number(time.active_from)))
        parts.append(("time.activeFrom", begun))
    if time.active_to is not None:
        lasting = binary("<=", context(*at, "date"), literal(date_number(time.active_to)))
        parts.append(("time.activeTo", lasting))
    if time.days_of_week:
        day = binary("contains", literals(time.days_of_week), context(*at, "dayOfWeek"))
        parts.append(("time.daysOfWeek", day))
    if time.hours is not None:
        first, last = time.hours
        bounds = [
            binary(">=", context(*at, "hour"), literal(first)),
            binary("<=", context(*at, "hour"), literal(last)),
        ]
        parts.append(("time.hours", joined("&&" if first <= last else "||", bounds)))
    return parts


def date_number(day: date) -> int:
    """Write a date as Cedar compares it: 2026-01-31 is 20260131."""
    return day.year * 10_000 + day.month * 100 + day.day


def _session(condition: SessionCondition) -> Expression:
    record = "session" if condition.scope is SessionScope.SESSION else "memberSessions"
    match condition:
        case LabelCondition(label=label):
            return binary("contains", context(record, "labels"), literal(label))
        case CountCondition(fact=fact, operator=operator, value=value, subject=subject):
            count = context(record, fact) if subject is None else _count_of(record, RECORDS[fact], subject)
            return binary(operator, count, literal(value))
        case _:
            assert_never(condition)


def _count_of(record: str, counts: str, subject: str) -> Expression:
    if record != "session":
        # Zero is written out there: sums that are not known must not count as zero.
        return context(record, counts, subject)
    # What never happened is absent from the record, and counts as zero.
    return choose(has(context(record, counts), subject), context(record, counts, subject), literal(0))


def _network(network: Network) -> list[tuple[ConditionName, Expression]]:
    parts: list[tuple[ConditionName, Expression]] = []
    if network.inside:
        parts.append(("network.in", _in_any(network.inside)))
    if network.outside:
        parts.append(("network.notIn", {"!": {"arg": _in_any(network.outside)}}))
    return parts


def _in_any(networks: Sequence[str]) -> Expression:
    return joined("||", [{"isInRange": [context("ip"), {"ip": [literal(network)]}]} for network in networks])
