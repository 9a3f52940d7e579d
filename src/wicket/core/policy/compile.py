"""Structured policy -> Cedar, in Cedar's JSON form and as the text that people see.

Only `permit` and `forbid` with `when`, never `unless`; actions always by `action in [...]`, because a selector
lies in its tool and both lie in their tiers. What the conditions read, and the request therefore must hold:

    context.time.hour, .dayOfWeek (0 = Sunday), .date (yyyymmdd)      the call's instant in UTC
    context.time["in"]["Europe/Berlin"].hour ...                      the same in another zone
    context.session.denyCount, .callCount                             facts of the tool session before the call
    context.session.toolsUsed["github:push_files"]                    absent when never used
    context.session.policyDenyCounts["<key>"], .policyAllowCounts     absent when zero
    context.session.labels                                            a set
    context.ip                                                        the caller's address
    context.userId                                                    read by policies of every service only

A policy of one service names members as `<Namespace>::User::"<user id>"`. A policy of every service has no
namespace to name them in, so it compares `context.userId`.
"""

from collections.abc import Sequence
from datetime import date
from typing import TypeAlias, assert_never

from wicket.core.model import Json, JsonObject
from wicket.core.policy.conditions import (
    CountCondition,
    CountFact,
    LabelCondition,
    Network,
    SessionCondition,
    Time,
)
from wicket.core.policy.document import EVERY, PolicyDocument

Expression: TypeAlias = JsonObject
"""A node of Cedar's JSON expressions (Cedar documentation, "JSON policy format")."""

CONTEXT: Expression = {"Var": "context"}
RECORDS = {
    CountFact.TOOL_COUNT: "toolsUsed",
    CountFact.POLICY_DENY_COUNT: "policyDenyCounts",
    CountFact.POLICY_ALLOW_COUNT: "policyAllowCounts",
}


def compile_policy(document: PolicyDocument, namespace: str, policy_id: str = "") -> JsonObject:
    """Compile to one policy of Cedar's JSON form; `policy_id`, when given, becomes its `@id` annotation."""
    users, conditions = _principal(document, namespace)
    if document.time is not None:
        conditions += _time(document.time)
    conditions += [_session(condition) for condition in document.session]
    if document.network is not None:
        conditions += _network(document.network)
    compiled: JsonObject = {
        "effect": document.effect.value,
        "principal": users,
        "action": _actions(document, namespace),
        "resource": {"op": "All"},
        "conditions": [{"kind": "when", "body": _joined("&&", conditions)}] if conditions else [],
    }
    return compiled if not policy_id else {**compiled, "annotations": {"id": policy_id}}


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


def _principal(document: PolicyDocument, namespace: str) -> tuple[JsonObject, list[Expression]]:
    users = document.principal.user_ids
    if users is None:
        return {"op": "All"}, []
    if document.service == EVERY:
        ids: Expression = {"Set": [_value(user) for user in users]}
        return {"op": "All"}, [_binary("contains", ids, _context("userId"))]
    entities: list[JsonObject] = [{"type": f"{namespace}::User", "id": user} for user in users]
    if len(entities) == 1:
        return {"op": "==", "entity": entities[0]}, []
    listed: Expression = {"Set": [_value({"__entity": entity}) for entity in entities]}
    return {"op": "All"}, [_binary("contains", listed, {"Var": "principal"})]


def _actions(document: PolicyDocument, namespace: str) -> JsonObject:
    if document.service == EVERY:
        return {"op": "All"}
    actions: list[Json] = [{"type": f"{namespace}::Action", "id": tool} for tool in document.tools]
    return {"op": "in", "entities": actions}


def _time(time: Time) -> list[Expression]:
    at = ("time",) if time.zone in (None, "UTC") else ("time", "in", str(time.zone))
    conditions: list[Expression] = []
    if time.active_from is not None:
        conditions.append(_binary(">=", _context(*at, "date"), _value(date_number(time.active_from))))
    if time.active_to is not None:
        conditions.append(_binary("<=", _context(*at, "date"), _value(date_number(time.active_to))))
    if time.days_of_week:
        days: Expression = {"Set": [_value(day) for day in time.days_of_week]}
        conditions.append(_binary("contains", days, _context(*at, "dayOfWeek")))
    if time.hours is not None:
        first, last = time.hours
        bounds = [
            _binary(">=", _context(*at, "hour"), _value(first)),
            _binary("<=", _context(*at, "hour"), _value(last)),
        ]
        conditions.append(_joined("&&" if first <= last else "||", bounds))
    return conditions


def date_number(day: date) -> int:
    """Write a date as Cedar compares it: 2026-01-31 is 20260131."""
    return day.year * 10_000 + day.month * 100 + day.day


def _session(condition: SessionCondition) -> Expression:
    match condition:
        case LabelCondition(label=label):
            return _binary("contains", _context("session", "labels"), _value(label))
        case CountCondition(fact=fact, operator=operator, value=value, subject=subject):
            count = _context("session", fact) if subject is None else _count_of(RECORDS[fact], subject)
            return _binary(operator, count, _value(value))
        case _:
            assert_never(condition)


def _count_of(record: str, subject: str) -> Expression:
    # What never happened is absent from the record, and counts as zero.
    return {
        "if-then-else": {
            "if": {"has": {"left": _context("session", record), "attr": subject}},
            "then": _context("session", record, subject),
            "else": _value(0),
        }
    }


def _network(network: Network) -> list[Expression]:
    conditions: list[Expression] = []
    if network.inside:
        conditions.append(_in_any(network.inside))
    if network.outside:
        conditions.append({"!": {"arg": _in_any(network.outside)}})
    return conditions


def _in_any(networks: Sequence[str]) -> Expression:
    return _joined("||", [{"isInRange": [_context("ip"), {"ip": [_value(network)]}]} for network in networks])


def _joined(operator: str, parts: Sequence[Expression]) -> Expression:
    # A balanced tree: Cedar reads its JSON form to a depth of 128, which a chain of many parts exceeds.
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return _binary(operator, _joined(operator, parts[:middle]), _joined(operator, parts[middle:]))


def _binary(operator: str, left: Expression, right: Expression) -> Expression:
    return {str(operator): {"left": left, "right": right}}


def _value(value: Json) -> Expression:
    return {"Value": value}


def _context(*path: str) -> Expression:
    node = CONTEXT
    for name in path:
        node = {".": {"left": node, "attr": str(name)}}
    return node
