"""Why a call was decided as it was, condition by condition: what each policy wanted to see, and what it saw.

Whether a condition holds is not judged here. A policy is taken apart into policies with one condition each, the engine
puts them to Cedar with the request that was decided, and this file words what came of it.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from wicket.core.model import Json, JsonObject, PolicyEffect, PolicyRef
from wicket.core.policy.compile_arguments import ARGUMENTS, key_of
from wicket.core.policy.conditions import CountCondition, LabelCondition, Network, SessionCondition, Time
from wicket.core.policy.diff import DAYS
from wicket.core.policy.document import PolicyDocument, Principal
from wicket.core.policy.resources import Match, ResourceConditions
from wicket.core.policy.slices import BindingPolicy
from wicket.core.redaction import is_marker

NEAREST_MAX: Final = 3
SEEN_MAX: Final = 5
"""Items of a set that a sentence names."""
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition of a policy, held against a call."""

    field: str
    """Of the policy, as on the wire: `time.hours`, `session[0]`, `network.in`."""
    holds: bool | None
    """None: it could not be evaluated, which denies the call; or cannot be again, because what it saw was redacted."""
    seen: Json
    required: str
    text: str
    """`hour was 3, allowed 9-17`."""


@dataclass(frozen=True, slots=True)
class PolicyFindings:
    """A policy that covers the tool and the member of a call; it matches where all of its conditions hold."""

    ref: PolicyRef
    conditions: tuple[Finding, ...]

    @property
    def matched(self) -> bool:
        return all(finding.holds for finding in self.conditions)

    @property
    def missed(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.conditions if not finding.holds)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What every policy that covers a call found in it."""

    policies: tuple[PolicyFindings, ...] = ()
    nearest: tuple[PolicyFindings, ...] = ()
    """Of a denial that no forbid made: the permits that missed by the fewest conditions."""

    @property
    def text(self) -> str:
        """The nearest permit in a sentence, for whoever was denied; empty when there is none."""
        if not self.nearest:
            return ""
        first = self.nearest[0]
        return f"nearest: `{first.ref.name}`: {'; '.join(finding.text for finding in first.missed)}"


def parts_of(document: PolicyDocument) -> Mapping[str, PolicyDocument]:
    """The policy with one of its conditions each, by the field that has the condition."""
    bare = replace(
        document,
        principal=Principal(),
        time=None,
        session=(),
        network=None,
        restrictions=None,
        resource_scope=None,
        conditions=None,
        arguments=(),
    )
    parts = {field: replace(bare, time=time) for field, time in _times(document.time)}
    parts |= {
        f"session[{place}]": replace(bare, session=(one,)) for place, one in enumerate(document.session)
    }
    if document.network is not None and document.network.inside:
        parts["network.in"] = replace(bare, network=Network(inside=document.network.inside))
    if document.network is not None and document.network.outside:
        parts["network.notIn"] = replace(bare, network=Network(outside=document.network.outside))
    parts |= {field: replace(bare, **limit) for field, limit in _limits(document)}
    return parts


def _limits(document: PolicyDocument) -> Iterator[tuple[str, dict[str, Any]]]:
    """What limits a policy to resources and arguments; conditions of which any suffices are one."""
    if document.restrictions is not None:
        yield "restrictions", {"restrictions": document.restrictions}
    if document.resource_scope is not None:
        yield "resourceScope", {"resource_scope": document.resource_scope}
    if document.conditions is not None and document.conditions.match is Match.ANY:
        yield "conditions", {"conditions": document.conditions}
    elif document.conditions is not None:
        for place, one in enumerate(document.conditions.merged()):
            yield f"conditions.items[{place}]", {"conditions": ResourceConditions(Match.ALL, (one,))}
    for place, condition in enumerate(document.arguments):
        yield f"arguments[{place}]", {"arguments": (condition,)}


def _times(time: Time | None) -> Iterator[tuple[str, Time]]:
    if time is None:
        return
    alone = Time(zone=time.zone)
    if time.days_of_week:
        yield "time.daysOfWeek", replace(alone, days_of_week=time.days_of_week)
    if time.hours is not None:
        yield "time.hours", replace(alone, hours=time.hours)
    if time.active_from is not None:
        yield "time.activeFrom", replace(alone, active_from=time.active_from)
    if time.active_to is not None:
        yield "time.activeTo", replace(alone, active_to=time.active_to)


def explain(
    policies: Sequence[BindingPolicy],
    request: JsonObject,
    *,
    holding: Collection[tuple[str, str]],
    failing: Collection[tuple[str, str]],
) -> Explanation:
    """Word what the parts of `policies` found; `holding` and `failing` name them by policy id and field."""
    found = tuple(
        PolicyFindings(
            policy.ref,
            tuple(
                _find(
                    field,
                    part,
                    request,
                    None if (key := (policy.ref.id, field)) in failing else key in holding,
                )
                for field, part in parts_of(policy.document).items()
            ),
        )
        for policy in policies
    )
    return Explanation(found, _nearest(found))


def _nearest(found: Sequence[PolicyFindings]) -> tuple[PolicyFindings, ...]:
    if any(one.matched for one in found):
        return ()
    permits = [one for one in found if one.ref.effect is PolicyEffect.PERMIT]
    return tuple(sorted(permits, key=lambda one: len(one.missed))[:NEAREST_MAX])


def _find(field: str, part: PolicyDocument, request: JsonObject, holds: bool | None) -> Finding:  # noqa: FBT001
    what, seen, required = _limit_facts(part, request) or _facts(part, request["context"])
    if is_marker(seen) or (isinstance(seen, list) and any(map(is_marker, seen))):
        holds = None
    allowed = "allowed" if part.effect is PolicyEffect.PERMIT else "forbidden"
    shown = UNKNOWN if seen is None else _shown(seen)
    return Finding(field, holds, seen, required, f"{what} was {shown}, {allowed} {required}")


def _limit_facts(part: PolicyDocument, request: JsonObject) -> tuple[str, Json, str] | None:
    resource = request["resource"]
    if part.arguments:
        condition = part.arguments[0]
        seen = [
            values[key_of(condition.path)]
            for values in _records(_at(request["context"], ARGUMENTS))
            if key_of(condition.path) in values
        ]
        required = ", ".join(json.dumps(value, ensure_ascii=False) for value in condition.values)
        return f"argument {condition.path}", seen[0] if seen else None, f"{condition.operator} {required}"
    if part.restrictions is not None:
        names = [f"{kind} {name}" for kind, ids in part.restrictions.containers().items() for name in ids]
        return "resource", _at(resource, "id"), f"in {', '.join(names)}"
    if part.resource_scope is not None:
        kind = str(_at(resource, "type")).rpartition("::")[2]
        return "type of the resource", kind, part.resource_scope.label
    if part.conditions is None:
        return None
    required = " or ".join(
        f"{one.type.name} {', '.join(map(str, one.values))}" for one in part.conditions.merged()
    )
    only = part.conditions.items[0].type
    if len(part.conditions.items) > 1 or not only.attribute:
        return "resource", _at(resource, "id"), required
    entities = request["entities"] if isinstance(request["entities"], list) else []
    told = [entity for entity in entities if _at(entity, "uid") == resource]
    return only.name, _at(told[0], "attrs", only.attribute) if told else None, required.partition(" ")[2]


def _records(node: Json) -> list[JsonObject]:
    return [record for record in node.values() if isinstance(record, dict)] if isinstance(node, dict) else []


def _facts(part: PolicyDocument, context: Json) -> tuple[str, Json, str]:
    """What is looked at, its value, and the values that it may have."""
    if part.time is not None:
        return _time_facts(part.time, context)
    if part.session:
        return _session_facts(part.session[0], context)
    network = part.network or Network()
    address = _at(context, "ip", "__extn", "arg")
    if network.inside:
        return "address", address, f"in {', '.join(network.inside)}"
    return "address", address, f"outside {', '.join(network.outside)}"


def _time_facts(time: Time, context: Json) -> tuple[str, Json, str]:
    at = ("time",) if time.zone in (None, "UTC") else ("time", "in", str(time.zone))
    zone = time.zone or "UTC"
    if time.hours is not None:
        return "hour", _at(context, *at, "hour"), f"{time.hours[0]}-{time.hours[1]} {zone}"
    if time.days_of_week:
        day = _at(context, *at, "dayOfWeek")
        allowed = ", ".join(DAYS[one] for one in time.days_of_week)
        return "day", DAYS[day] if isinstance(day, int) else None, f"{allowed} {zone}"
    date = _at(context, *at, "date")
    seen = f"{date // 10_000}-{date // 100 % 100:02}-{date % 100:02}" if isinstance(date, int) else None
    bound = f"from {time.active_from}" if time.active_from is not None else f"to {time.active_to}"
    return "date", seen, f"{bound} {zone}"


def _session_facts(condition: SessionCondition, context: Json) -> tuple[str, Json, str]:
    match condition:
        case LabelCondition(label=label):
            return "labels of the session", _at(context, "session", "labels"), f"with {label}"
        case CountCondition(fact=fact, operator=operator, value=value, subject=subject):
            count = _count(context, fact, subject)
            what = fact.value if subject is None else f"{fact.value} of {subject}"
            return what, count, f"{operator.value} {value}"


def _count(context: Json, fact: str, subject: str | None) -> Json:
    if subject is None:
        return _at(context, "session", fact)
    record = {"toolCount": "toolsUsed", "policyDenyCount": "policyDenyCounts"}.get(fact, "policyAllowCounts")
    # What never happened is absent from the record.
    return 0 if (count := _at(context, "session", record, subject)) is None else count


def _at(node: Json, *path: str) -> Json:
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _shown(seen: Json) -> str:
    if not isinstance(seen, list):
        return str(seen)
    more = f" and {len(seen) - SEEN_MAX} more" if len(seen) > SEEN_MAX else ""
    return ", ".join(map(str, seen[:SEEN_MAX])) + more if seen else "none"


def render_explanation(explanation: Explanation) -> JsonObject:
    """An explanation as it stands on the wire."""
    return {
        "policies": [_render(one) for one in explanation.policies],
        "nearest": [one.ref.key for one in explanation.nearest],
        "text": explanation.text,
    }


def _render(found: PolicyFindings) -> JsonObject:
    ref = found.ref
    return {
        "id": ref.id,
        "key": ref.key,
        "name": ref.name,
        "version": ref.version,
        "effect": ref.effect.value,
        "matched": found.matched,
        "conditions": [
            {
                "field": one.field,
                "holds": one.holds,
                "seen": one.seen,
                "required": one.required,
                "text": one.text,
            }
            for one in found.conditions
        ],
    }
