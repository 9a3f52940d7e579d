"""Facts of a tool session: what policies may know of the calls before this one.

Pure: `before -> after`. The recorder reads facts under its lock, decides, and stores what `after_call` returns.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from wicket.core.model import Call, Decision, JsonObject

LABELS_MAX = 64
TOOLS_MAX = 1_000


_NONE: Final[Mapping[str, int]] = MappingProxyType({})


class Facts(NamedTuple):
    """What happened in a tool session so far; immutable."""

    call_count: int = 0
    deny_count: int = 0
    tools_used: Mapping[str, int] = _NONE
    """`github:get_file_contents` -> calls, allowed or denied."""
    policy_allows: Mapping[str, int] = _NONE
    """policy key -> calls that it permitted."""
    policy_denies: Mapping[str, int] = _NONE
    labels: frozenset[str] = frozenset()
    member: "Facts | None" = None
    """The sum over the member's live sessions, where it was asked for; not stored with a session."""


FRESH = Facts()


def after_call(before: Facts, call: Call, decision: Decision, labels: frozenset[str] = frozenset()) -> Facts:
    """The facts once `call` was decided. `labels` are what the connector says an allowed call touches."""
    used = _counted(before.tools_used, f"{call.service}:{call.tool}")
    policies = [policy.key for policy in decision.matched]
    calls = before.call_count + 1
    if not decision.allowed:
        denies = _counted(before.policy_denies, *policies)
        return Facts(calls, before.deny_count + 1, used, before.policy_allows, denies, before.labels)
    touched = (
        before.labels if labels <= before.labels else frozenset(sorted(before.labels | labels)[:LABELS_MAX])
    )
    allows = _counted(before.policy_allows, *policies)
    return Facts(calls, before.deny_count, used, allows, before.policy_denies, touched)


def _counted(counts: Mapping[str, int], *names: str) -> Mapping[str, int]:
    if not names:
        return counts
    counted = dict(counts)
    for name in names:
        if name in counted or len(counted) < TOOLS_MAX:
            counted[name] = counted.get(name, 0) + 1
    return counted


def facts_to_json(facts: Facts) -> JsonObject:
    """The stored form."""
    return {
        "callCount": facts.call_count,
        "denyCount": facts.deny_count,
        "toolsUsed": dict(facts.tools_used),
        "policiesAllowCounts": dict(facts.policy_allows),
        "policiesDenyCounts": dict(facts.policy_denies),
        "labels": [*sorted(facts.labels)],
    }


def facts_from_json(stored: Mapping[str, object]) -> Facts:
    """Read what `facts_to_json` wrote; raises KeyError or TypeError when it is something else."""
    return Facts(
        call_count=_integer(stored["callCount"]),
        deny_count=_integer(stored["denyCount"]),
        tools_used=_counts(stored["toolsUsed"]),
        policy_allows=_counts(stored["policiesAllowCounts"]),
        policy_denies=_counts(stored["policiesDenyCounts"]),
        labels=_labels(stored["labels"]),
    )


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"a count is not a number: {value!r}")
    return value


def _counts(value: object) -> Mapping[str, int]:
    if not isinstance(value, dict):
        raise TypeError("counts are not an object")
    return {str(name): _integer(count) for name, count in value.items()}


def _labels(value: object) -> frozenset[str]:
    if not isinstance(value, list):
        raise TypeError("labels are not a list")
    return frozenset(str(label) for label in value)
