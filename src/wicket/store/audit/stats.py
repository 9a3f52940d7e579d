"""What the dashboard shows of the log: totals, series, the most called tools, the policies that deny most.

All of it is read from the sums that `rollups.py` keeps, in as many hours or days as the range has, however long
the log is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from wicket.store import tables
from wicket.store.audit.rollups import (
    CALL,
    DECISION,
    POLICY,
    RECORD,
    TIME,
    UPSTREAM,
    find_lag_us,
    middle_of,
)
from wicket.store.audit.sums import (
    Range,
    Subjects,
    Tally,
    add_up,
    lanes_of,
    lanes_of_times,
    names_of,
    parse_call,
    read_series,
    subjects_of,
    sums,
    tally_of,
)
from wicket.store.audit.viewer import viewer_of
from wicket.store.instants import to_us

TOP_MAX: Final = 10
TOP_OF_A_SERVICE: Final = 5
SERVICES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class ToolTally:
    service: str
    tool: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class PolicyCount:
    """How many entries a policy denied; `key` and `name` are None when there is no such policy any more."""

    id: str
    service: str
    count: int
    agent_id: str | None = None
    key: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceTally:
    service: str
    tally: Tally
    top_tools: Sequence[ToolTally]
    top_denying_policies: Sequence[PolicyCount]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of a duration in milliseconds, as exact as the buckets are wide; None where nothing was measured or kept."""

    p50: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """What an account may see of a range."""

    range: Range
    totals: Tally
    series: Sequence[tuple[int, Tally]]
    """(start of each hour or day, its calls), without holes."""
    services: Sequence[ServiceTally]
    top_tools: Sequence[ToolTally]
    top_denying_policies: Sequence[PolicyCount]
    reasons: Sequence[tuple[str, int]]
    latency: Mapping[str, Quantiles]
    lag_s: float
    """How old the oldest entry is that the sums do not contain yet; 0 when they contain all."""


def read_stats(
    tx: sa.Connection, *, account_id: str, wanted: Range, agent_id: str | None, now: datetime
) -> Stats:
    """The sums over a range of what the account may see; raises NotFound for a foreign agent."""
    viewer = viewer_of(tx, account_id=account_id)
    subjects = subjects_of(tx, viewer, account_id=account_id, agent_id=agent_id)
    tools, reasons = _tools_and_reasons(tx, wanted, subjects)
    denying = _denying(tx, wanted, subjects)
    series = read_series(tx, wanted, subjects)
    totals = Tally()
    for _, tally in series:
        totals.add(tally)
    return Stats(
        range=wanted,
        totals=totals,
        series=series,
        services=_services(tx, tools, denying),
        top_tools=tools[:TOP_MAX],
        top_denying_policies=_named(tx, denying[:TOP_MAX]),
        reasons=reasons,
        latency=_latency(tx, wanted, subjects),
        lag_s=find_lag_us(tx, now_us=to_us(now)) / 1_000_000,
    )


def _tools_and_reasons(
    tx: sa.Connection, wanted: Range, subjects: Subjects
) -> tuple[list[ToolTally], list[tuple[str, int]]]:
    """Every tool that was called, and every reason of a decision, the most frequent first."""
    lanes = lanes_of(wanted, subjects, by_time=False)
    tools: dict[tuple[int, int], Tally] = {}
    reasons: dict[str, int] = {}
    for key, denied, calls, failed in add_up(tx, lanes, (sums.key, sums.denied), sums.kind == CALL):
        service, tool, reason = parse_call(key)
        tally = tally_of(calls, failed, denied=denied)
        tools.setdefault((service, tool), Tally()).add(tally)
        reasons[reason] = reasons.get(reason, 0) + tally.calls
    names = names_of(tx, {name for ids in tools for name in ids})
    ranked = [ToolTally(names[service], names[tool], tally) for (service, tool), tally in tools.items()]
    ranked.sort(key=lambda one: (-one.tally.calls, one.service, one.tool))
    return ranked, sorted(reasons.items(), key=lambda one: (-one[1], one[0]))


def _denying(tx: sa.Connection, wanted: Range, subjects: Subjects) -> list[PolicyCount]:
    """Every policy that denied something, as far as the account may know of it, the most frequent first."""
    counts: dict[tuple[int, str], int] = {}
    lanes = lanes_of(wanted, subjects.with_policies, by_time=False)
    for key, calls, _ in add_up(tx, lanes, (sums.key,), sums.kind == POLICY, sums.denied):
        service, _, policy_id = key.partition(":")
        counts[int(service), policy_id] = counts.get((int(service), policy_id), 0) + int(calls)
    names = names_of(tx, {service for service, _ in counts})
    ranked = [PolicyCount(policy_id, names[service], count) for (service, policy_id), count in counts.items()]
    return sorted(ranked, key=lambda one: (-one.count, one.id, one.service))


def _latency(tx: sa.Connection, wanted: Range, subjects: Subjects) -> dict[str, Quantiles]:
    histograms: dict[str, dict[int, int]] = {DECISION: {}, RECORD: {}, UPSTREAM: {}}
    for key, calls, _ in add_up(tx, lanes_of_times(wanted, subjects), (sums.key,), sums.kind == TIME):
        stage, _, bucket = key.partition(":")
        histogram = histograms[stage]
        histogram[int(bucket)] = histogram.get(int(bucket), 0) + int(calls)
    return {stage: quantiles(histogram) for stage, histogram in histograms.items()}


def quantiles(histogram: Mapping[int, int]) -> Quantiles:
    """Of the durations that were counted into buckets."""
    return Quantiles(_quantile(histogram, 0.5), _quantile(histogram, 0.99))


def _quantile(histogram: Mapping[int, int], share: float) -> float | None:
    rest = share * sum(histogram.values())
    for bucket in sorted(histogram):
        rest -= histogram[bucket]
        if rest <= 0 and histogram[bucket]:
            return round(middle_of(bucket), 3)
    return None


def _services(
    tx: sa.Connection, tools: Sequence[ToolTally], denying: Sequence[PolicyCount]
) -> list[ServiceTally]:
    """Each service with its most called tools and the policies that deny most there."""
    tallies: dict[str, Tally] = {}
    for one in tools:
        tallies.setdefault(one.service, Tally()).add(one.tally)
    ranked = sorted(tallies.items(), key=lambda one: (-one[1].calls, one[0]))[:SERVICES_MAX]
    top = {
        service: [one for one in denying if one.service == service][:TOP_OF_A_SERVICE]
        for service, _ in ranked
    }
    named = {(one.id, one.service): one for one in _named(tx, [one for some in top.values() for one in some])}
    return [
        ServiceTally(
            service,
            tally,
            [one for one in tools if one.service == service][:TOP_OF_A_SERVICE],
            [named[one.id, one.service] for one in top[service]],
        )
        for service, tally in ranked
    ]


def _named(tx: sa.Connection, counts: Sequence[PolicyCount]) -> list[PolicyCount]:
    """The same with agent, key and name, as they are now."""
    policies, versions = tables.policies.c, tables.policy_versions.c
    current = (
        sa.select(policies.id, policies.agent_id, policies.key, versions.document)
        .join(
            tables.policy_versions,
            sa.and_(
                versions.agent_id == policies.agent_id,
                versions.policy_id == policies.id,
                versions.version == policies.version,
            ),
        )
        .where(policies.id.in_({one.id for one in counts}))
    )
    found = {row.id: row for row in tx.execute(current)} if counts else {}
    return [
        one
        if (row := found.get(one.id)) is None
        else replace(one, agent_id=row.agent_id, key=row.key, name=json.loads(row.document)["name"])
        for one in counts
    ]
