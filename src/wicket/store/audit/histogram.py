"""How many calls match a filter, hour by hour: the bars above the list of entries.

The sums answer what they know of: time, agent, member, service, tool, reason, decision, policy. For other filters,
and for the minutes of a short range, entries are looked for as the list does it, so many at most; what is older
than the last one that was looked at is not counted, and the answer says so.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from wicket.core.errors import NotFound
from wicket.core.model import Effect
from wicket.store import tables
from wicket.store.audit.filters import AuditFilter, has_part
from wicket.store.audit.lanes import Place, find_ids
from wicket.store.audit.planning import plan
from wicket.store.audit.rollups import CALL, POLICY
from wicket.store.audit.sums import (
    Range,
    Subjects,
    Tally,
    in_hours_or_days,
    list_keys,
    names_of,
    parse_call,
    parse_range,
    read_series,
    subjects_of,
    widened,
)
from wicket.store.audit.viewer import Viewer, member_ids, policy_ids, viewer_of

LOOKED_AT_MAX: Final = 10_000
IDS_AT_ONCE: Final = 2_000
MINUTE_US: Final = 60_000_000
FINE: Final = ((2 * 60 * MINUTE_US, MINUTE_US), (6 * 60 * MINUTE_US, 5 * MINUTE_US))
"""(up to which range, how wide its bars are)."""


@dataclass(frozen=True, slots=True)
class Histogram:
    range: Range
    bars: Sequence[tuple[int, Tally]]
    """(start, calls) of each part of the range; how many failed is not told."""
    is_partial: bool
    """Whether older entries were not counted."""


def read_histogram(tx: sa.Connection, *, account_id: str, wanted: AuditFilter, now: datetime) -> Histogram:
    """Matching calls over the range of the filter, by default the last 24 hours, as far as the account sees them.

    Raises Invalid naming the parameter.
    """
    begin, until = parse_range(wanted.from_us, wanted.to_us, now=now)
    viewer = viewer_of(tx, account_id=account_id)
    parts = in_hours_or_days(begin, until)
    width = next((width for span, width in FINE if until - begin <= span), None)
    if width is not None:
        found = _look(tx, wanted, viewer, widened(begin, until, width))
        if not found.is_partial:
            return found
    if any(one is not None for one in (wanted.agent, wanted.session, wanted.outcome, wanted.ip, wanted.q)):
        return _look(tx, wanted, viewer, parts)
    if wanted.policy is not None and any(
        one is not None for one in (wanted.tool, wanted.reason, wanted.member)
    ):
        return _look(tx, wanted, viewer, parts)
    return Histogram(parts, _add_up(tx, wanted, viewer, parts, account_id), is_partial=False)


def _add_up(
    tx: sa.Connection, wanted: AuditFilter, viewer: Viewer, parts: Range, account_id: str
) -> list[tuple[int, Tally]]:
    """The bars out of the sums."""
    subjects = _subjects(tx, wanted, viewer, account_id)
    kind = CALL
    keys: Sequence[str] | None = None
    if wanted.policy is not None:
        kind, subjects = POLICY, subjects.with_policies
        ids = set(policy_ids(tx, wanted.policy, viewer))
        keys = [key for key in list_keys(tx, parts, subjects, kind) if key.partition(":")[2] in ids]
        keys = _of_service(tx, keys, wanted.service)
    elif any(one is not None for one in (wanted.service, wanted.tool, wanted.reason)):
        keys = _of_service(tx, list_keys(tx, parts, subjects, kind), wanted.service)
        named = _of_tool(tx, keys, wanted.tool)
        keys = [key for key in named if wanted.reason in {None, parse_call(key)[2]}]
    bars = read_series(tx, parts, subjects, kind, keys)
    return [(at, _of_result(tally, wanted.result)) for at, tally in bars]


def _subjects(tx: sa.Connection, wanted: AuditFilter, viewer: Viewer, account_id: str) -> Subjects:
    """Whose sums the filter means; none for whom the account may not see."""
    nobody = Subjects()
    if wanted.member is None:
        try:
            return subjects_of(tx, viewer, account_id=account_id, agent_id=wanted.agent_id)
        except NotFound:
            return nobody
    members = tables.members.c
    named = sa.select(members.id, members.agent_id).where(
        members.id.in_(member_ids(tx, wanted.member, viewer))
    )
    seen = [
        row.id
        for row in tx.execute(named)
        if viewer.may_see(row.agent_id, row.id) and wanted.agent_id in (None, row.agent_id)
    ]
    return replace(nobody, members=seen, withheld=viewer.withheld_members)


def _of_service(tx: sa.Connection, keys: Sequence[str], service: str | None) -> Sequence[str]:
    if service is None:
        return keys
    names = names_of(tx, {int(key.partition(":")[0]) for key in keys})
    return [key for key in keys if names[int(key.partition(":")[0])] == service]


def _of_tool(tx: sa.Connection, keys: Sequence[str], part: str | None) -> Sequence[str]:
    if part is None:
        return keys
    names = names_of(tx, {parse_call(key)[1] for key in keys})
    return [key for key in keys if has_part(names[parse_call(key)[1]], part)]


def _of_result(tally: Tally, result: Effect | None) -> Tally:
    match result:
        case None:
            return tally
        case Effect.ALLOW:
            return replace(tally, denied=0)
        case Effect.DENY:
            return replace(tally, allowed=0)


def _look(tx: sa.Connection, wanted: AuditFilter, viewer: Viewer, parts: Range) -> Histogram:
    """The bars out of the entries themselves, the newest of them."""
    bars = {at: Tally() for at in parts.starts}
    search = plan(tx, replace(wanted, from_us=parts.from_us, to_us=parts.until_us - 1), viewer)
    if search is None:
        return Histogram(parts, list(bars.items()), is_partial=False)
    found = find_ids(tx, search, Place(), limit=LOOKED_AT_MAX)
    for begin in range(0, len(found.ids), IDS_AT_ONCE):
        ids = found.ids[begin : begin + IDS_AT_ONCE]
        denied = _stand_for(tx, ids)
        for entry_id in ids:
            stands_for = denied.get(entry_id, 0)
            bars[parts.start_of(_instant_of(entry_id))].add(Tally(int(not stands_for), stands_for))
    return Histogram(parts, list(bars.items()), is_partial=found.resume is not None)


def _instant_of(entry_id: str) -> int:
    """When it was decided: ids begin with the milliseconds."""
    return int(entry_id[:8] + entry_id[9:13], 16) * 1_000


def _stand_for(tx: sa.Connection, entry_ids: Sequence[str]) -> Mapping[str, int]:
    """Those of the entries that were denied, and how many refusals each stands for."""
    audit, outcomes = tables.audit.c, tables.outcomes.c
    denied = tx.execute(sa.select(audit.id).where(audit.id.in_(entry_ids), audit.denied)).scalars().all()
    counted = sa.select(outcomes.entry_id, outcomes.body).where(outcomes.entry_id.in_(denied))
    counts = {row.entry_id: json.loads(row.body).get("count", 1) for row in tx.execute(counted)}
    return {entry_id: counts.get(entry_id, 1) for entry_id in denied}
