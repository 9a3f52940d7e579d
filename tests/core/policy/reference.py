"""A tiny second opinion: the meaning of structured policies, written without Cedar."""

import ipaddress
import operator
import zoneinfo
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.core.policy.reference_limits import is_matched, is_scoped
from wicket.core.model import Call, Effect, PolicyEffect, Reason
from wicket.core.policy.conditions import (
    CountCondition,
    CountFact,
    LabelCondition,
    Network,
    Operator,
    SessionCondition,
    Time,
)
from wicket.core.policy.document import PolicyDocument, render_policy
from wicket.core.session import Facts
from wicket.core.world import AgentPolicy

COMPARE = {
    Operator.AT_LEAST: operator.ge,
    Operator.MORE_THAN: operator.gt,
    Operator.LESS_THAN: operator.lt,
    Operator.AT_MOST: operator.le,
}


def judge(
    policies: Sequence[AgentPolicy], call: Call, facts: Facts, now: datetime
) -> tuple[Effect, Reason, list[str]]:
    """Decide a call: effect, reason and the keys of the policies that determined it."""
    covering = [p for p in policies if is_covered(p.document, call)]
    holding = [p for p in covering if holds(p.document, call, facts, now)]
    matching = [
        [p for p in holding if is_matched(render_policy(p.document), call, resource)]
        for resource in call.resources
    ]
    matched = [p for p in covering if any(p in found for found in matching)]
    forbids = [p.ref.key for p in matched if p.document.effect is PolicyEffect.FORBID]
    if forbids:
        return Effect.DENY, Reason.FORBIDDEN_BY_POLICY, forbids
    scoped = [p.ref.key for p in covering if is_scoped(render_policy(p.document))]
    if scoped and any(resource.uid.type.endswith("::Service") for resource in call.resources):
        return Effect.DENY, Reason.RESOURCE_NOT_RECOGNISED, scoped
    if all(matching):
        return Effect.ALLOW, Reason.PERMITTED, [p.ref.key for p in matched]
    return Effect.DENY, Reason.NO_PERMIT_MATCHED, []


def is_covered(document: PolicyDocument, call: Call) -> bool:
    users = document.principal.user_ids
    if not document.enabled or (users is not None and call.user_id not in users):
        return False
    if document.service == "*":
        return True
    return document.service == call.service and any(names(tool, call) for tool in document.tools)


def names(tool: str, call: Call) -> bool:
    if tool.startswith("tier:"):
        return tool == f"tier:{call.tier.value}"
    name, _, selector = tool.partition("::")
    return name == call.tool and selector in {"", call.selector}


def holds(document: PolicyDocument, call: Call, facts: Facts, now: datetime) -> bool:
    return (
        (document.time is None or is_within(document.time, now))
        and all(is_met(condition, facts) for condition in document.session)
        and (document.network is None or is_from(document.network, call.caller_ip))
    )


def is_within(time: Time, now: datetime) -> bool:
    local = now.astimezone(zoneinfo.ZoneInfo(time.zone) if time.zone else UTC)
    day = (local.weekday() + 1) % 7
    if time.days_of_week and day not in time.days_of_week:
        return False
    if time.active_from and local.date() < time.active_from:
        return False
    if time.active_to and local.date() > time.active_to:
        return False
    if time.hours is None:
        return True
    hour, covered = time.hours[0], {time.hours[0]}
    while hour != time.hours[1]:
        hour = (hour + 1) % 24
        covered.add(hour)
    return local.hour in covered


def is_met(condition: SessionCondition, facts: Facts) -> bool:
    if isinstance(condition, LabelCondition):
        return condition.label in facts.labels
    return bool(COMPARE[condition.operator](count_of(condition, facts), condition.value))


def count_of(condition: CountCondition, facts: Facts) -> int:
    subject = condition.subject or ""
    match condition.fact:
        case CountFact.DENY_COUNT:
            return facts.deny_count
        case CountFact.CALL_COUNT:
            return facts.call_count
        case CountFact.TOOL_COUNT:
            return facts.tools_used.get(subject, 0)
        case CountFact.POLICY_DENY_COUNT:
            return facts.policy_denies.get(subject, 0)
        case CountFact.POLICY_ALLOW_COUNT:
            return facts.policy_allows.get(subject, 0)


def is_from(network: Network, text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    inside = not network.inside or any(address in ipaddress.ip_network(n) for n in network.inside)
    return inside and not any(address in ipaddress.ip_network(n) for n in network.outside)
