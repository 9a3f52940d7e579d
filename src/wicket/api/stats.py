"""The log in numbers, for the dashboard: owners see the agents that they own, members their own calls."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from wicket.api.audit import FilterQuery
from wicket.api.guards import Guard, by
from wicket.api.http import Caller, Parts, guarded_router
from wicket.api.models import In, Out
from wicket.store.audit import histogram, stats, sums
from wicket.store.audit.filters import parse_filter
from wicket.store.instants import from_us


class StatsQuery(In):
    from_: str | None = Field(
        None, alias="from", description="ISO date or date-time; default: 24 hours before `to`"
    )
    to: str | None = Field(
        None, description="the same, inclusive; a date is that whole day, UTC; default: now"
    )
    agent_id: str | None = Field(None, description="of this agent alone")


class TallyOut(Out):
    allowed: int
    denied: int
    failed: int
    """Of the allowed: upstream errors, timeouts, calls that were cancelled, interrupted or never sent."""


class TotalsOut(TallyOut):
    calls: int
    allow_ratio: float | None
    """None when there were no calls."""


class MomentOut(TallyOut):
    at: datetime
    """Where the hour or day begins."""


class ToolOut(TallyOut):
    service: str
    tool: str


class DenyingPolicyOut(Out):
    id: str
    key: str | None
    """As it is now; None when there is no such policy any more, as with `name`."""
    name: str | None
    agent_id: str | None
    count: int
    """Of entries."""


class ServiceOut(TallyOut):
    service: str
    top_tools: Sequence[ToolOut]
    top_denying_policies: Sequence[DenyingPolicyOut]


class ReasonOut(Out):
    reason: str
    count: int


class QuantilesOut(Out):
    """Milliseconds, within five per cent; None when nothing was measured, and for members, whose times are not kept."""

    p50: float | None
    p99: float | None


class RangeOut(Out):
    """What was added up: the range that was asked for, in whole hours or days."""

    from_: datetime = Field(alias="from")
    to: datetime
    """Not within it."""
    grain: str
    """`hour` up to a range of seven days, `day` beyond."""


class StatsOut(Out):
    range: RangeOut
    totals: TotalsOut
    series: Sequence[MomentOut]
    services: Sequence[ServiceOut]
    top_tools: Sequence[ToolOut]
    top_denying_policies: Sequence[DenyingPolicyOut]
    reasons: Sequence[ReasonOut]
    latency: Mapping[str, QuantilesOut]
    """`decision`, `record`, `upstream`; of one agent over whole days, UTC."""
    lag_s: float
    """How old the oldest call is that is not in these numbers yet; 0 when all are."""


class BarOut(Out):
    at: datetime
    allowed: int
    denied: int


class HistogramOut(Out):
    items: Sequence[BarOut]
    bucket_s: int
    is_partial: bool
    """Whether older calls were not counted: the filter had to be looked for entry by entry, and that has a bound."""


def routes() -> APIRouter:
    """`/api/dashboard/stats`, `/api/audit/histogram`."""
    router = guarded_router("stats")
    router.get("/api/dashboard/stats", **by(Guard.ACCOUNT, "not_found"))(read_stats)
    router.get("/api/audit/histogram", **by(Guard.ACCOUNT))(read_histogram)
    return router


async def read_stats(query: Annotated[StatsQuery, Query()], caller: Caller, parts: Parts) -> StatsOut:
    """Totals, series, services, most called tools, policies that deny most, times; at most 400 days."""
    filters = parse_filter(query.model_dump(by_alias=True, exclude_none=True))
    now = parts.now()
    begin, until = sums.parse_range(filters.from_us, filters.to_us, now=now)
    found = await parts.db.read(
        stats.read_stats,
        account_id=caller.account_id,
        wanted=sums.in_hours_or_days(begin, until),
        agent_id=filters.agent_id,
        now=now,
    )
    return _render(found)


async def read_histogram(
    query: Annotated[FilterQuery, Query()], caller: Caller, parts: Parts
) -> HistogramOut:
    """How many calls match, over time: the last 24 hours unless the filter says otherwise, at most 400 days."""
    found = await parts.db.read(
        histogram.read_histogram,
        account_id=caller.account_id,
        wanted=parse_filter(query.model_dump(by_alias=True, exclude_none=True)),
        now=parts.now(),
    )
    return HistogramOut(
        items=[
            BarOut(at=from_us(at), allowed=tally.allowed, denied=tally.denied) for at, tally in found.bars
        ],
        bucket_s=found.range.width_us // 1_000_000,
        is_partial=found.is_partial,
    )


def _render(found: stats.Stats) -> StatsOut:
    totals = found.totals
    return StatsOut(
        range=RangeOut.model_validate(
            {
                "from": from_us(found.range.from_us),
                "to": from_us(found.range.until_us),
                "grain": found.range.grain,
            }
        ),
        totals=TotalsOut(
            **_tally(totals),
            calls=totals.calls,
            allow_ratio=totals.allowed / totals.calls if totals.calls else None,
        ),
        series=[MomentOut(at=from_us(at), **_tally(tally)) for at, tally in found.series],
        services=[
            ServiceOut(
                service=one.service,
                **_tally(one.tally),
                top_tools=_tools(one.top_tools),
                top_denying_policies=_policies(one.top_denying_policies),
            )
            for one in found.services
        ],
        top_tools=_tools(found.top_tools),
        top_denying_policies=_policies(found.top_denying_policies),
        reasons=[ReasonOut(reason=reason, count=count) for reason, count in found.reasons],
        latency={stage: QuantilesOut(p50=one.p50, p99=one.p99) for stage, one in found.latency.items()},
        lag_s=found.lag_s,
    )


def _tally(tally: sums.Tally) -> dict[str, int]:
    return {"allowed": tally.allowed, "denied": tally.denied, "failed": tally.failed}


def _tools(tools: Sequence[stats.ToolTally]) -> list[ToolOut]:
    return [ToolOut(service=one.service, tool=one.tool, **_tally(one.tally)) for one in tools]


def _policies(counts: Sequence[stats.PolicyCount]) -> list[DenyingPolicyOut]:
    return [
        DenyingPolicyOut(id=one.id, key=one.key, name=one.name, agent_id=one.agent_id, count=one.count)
        for one in counts
    ]
