"""How the newest matching entries are found without reading the log: along indexes, a window at a time.

Each index of `audit` ends in the entry's id, whose order is the order of time. A filter picks one of its
dimensions to walk along, newest first: a *lane* for each of the dimension's values. What else it asks for is
checked on what the lanes bring, in windows that grow; a filter that never meets anything stops after so many
entries and can be continued from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import sqlalchemy as sa

from wicket.core.ids import uuid7
from wicket.core.model import Effect, Outcome
from wicket.store import tables
from wicket.store.audit.filters import AuditFilter
from wicket.store.audit.statements import AGENT, SERVICE, TOOL
from wicket.store.audit.viewer import Viewer

LANES_MAX: Final = 32
"""Values of one dimension to walk along; with more, another dimension is taken."""
SCAN_MAX: Final = 20_000
"""Entries looked at for one page."""
WINDOW_MAX: Final = 5_000
NAMES_MAX: Final = 1_000
"""Names that a part of a name may stand for."""

COUNT_MAX: Final = 10_000
"""Up to which a total is told."""

Condition: TypeAlias = "sa.ColumnElement[bool] | sa.TextClause"

audit: Final = tables.audit.c
cites: Final = tables.audit_policies.c
# As text, since SQLite finds the partial indexes only by the words that they were made with.
DENIED: Final = sa.text("audit.denied")
ALLOWED: Final = sa.text("NOT audit.denied")
WITH_DENIED_INDEX: Final = frozenset({"agent_id", "service", "tool", "member_id"})


@dataclass(frozen=True, slots=True)
class Lane:
    """Entries along one index, newest first: the column of their ids, and what they have in common."""

    id: sa.ColumnElement[str]
    conditions: Sequence[Condition]


@dataclass(frozen=True, slots=True)
class Search:
    """How a filter is answered: lanes to walk along, and what is to be checked on the way."""

    lanes: Sequence[Lane]
    checks: Sequence[Condition]
    from_id: str | None
    to_id: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """Ids, newest first, and where to go on when the search ended early."""

    ids: Sequence[str]
    resume: str | None


@dataclass(frozen=True, slots=True)
class _Dimension:
    """A filter that says: this column is one of these values."""

    column: sa.ColumnElement[str] | sa.ColumnElement[int]
    values: Sequence[str | int]

    @property
    def condition(self) -> Condition:
        if self.column is cites.policy_id:
            return sa.exists().where(cites.policy_id.in_(self.values), cites.entry_id == audit.id)
        return self.column.in_(self.values)

    def lanes(self) -> list[Lane]:
        id_column = cites.entry_id if self.column is cites.policy_id else audit.id
        return [Lane(id_column, [self.column == value]) for value in self.values]


def plan(tx: sa.Connection, wanted: AuditFilter, viewer: Viewer) -> Search | None:
    """The way to answer `wanted`, or None when nothing can match."""
    dimensions = _dimensions(tx, wanted)
    if not all(dimension.values for dimension in dimensions) or not (
        viewer.sees_all or viewer.owned or viewer.open_members or viewer.withheld_members
    ):
        return None
    walked = next((one for one in dimensions if len(one.values) <= LANES_MAX), None)
    lanes, checks = _lanes(walked, viewer)
    checks += [one.condition for one in dimensions if one is not walked]
    if wanted.result is Effect.DENY and _has_denied_index(walked):
        lanes = [Lane(lane.id, [*lane.conditions, DENIED]) for lane in lanes]
    elif wanted.result is not None:
        checks.append(DENIED if wanted.result is Effect.DENY else ALLOWED)
    checks += _other_checks(tx, wanted, viewer)
    return Search(
        lanes,
        checks,
        from_id=None if wanted.from_us is None else uuid7(wanted.from_us, bytes(8)),
        to_id=None if wanted.to_us is None else uuid7(wanted.to_us, b"\xff" * 8),
    )


def _dimensions(tx: sa.Connection, wanted: AuditFilter) -> list[_Dimension]:
    """Those that the filter asks for, the most telling first."""
    asked: list[_Dimension] = []
    if wanted.session is not None:
        asked.append(_Dimension(audit.session_id, [wanted.session]))
    if wanted.policy is not None:
        asked.append(_Dimension(cites.policy_id, _policy_ids(tx, wanted.policy)))
    if wanted.ip is not None:
        asked.append(_Dimension(audit.caller_ip, [wanted.ip]))
    if wanted.member is not None:
        asked.append(_Dimension(audit.member_id, _member_ids(tx, wanted.member)))
    if wanted.agent_id is not None:
        asked.append(_Dimension(audit.agent_id, [wanted.agent_id]))
    if wanted.reason is not None:
        asked.append(_Dimension(audit.reason_code, [wanted.reason]))
    if wanted.tool is not None:
        asked.append(_Dimension(audit.tool, _name_ids(tx, TOOL, part=wanted.tool)))
    if wanted.agent is not None:
        asked.append(_Dimension(audit.agent_name, _name_ids(tx, AGENT, part=wanted.agent)))
    if wanted.service is not None:
        asked.append(_Dimension(audit.service, _name_ids(tx, SERVICE, whole=wanted.service)))
    return asked


def _lanes(walked: _Dimension | None, viewer: Viewer) -> tuple[list[Lane], list[Condition]]:
    """Lanes, and the check that what they bring may be seen, where that is not said already."""
    if walked is not None:
        is_own = walked.column is audit.agent_id and viewer.owned.issuperset(map(str, walked.values))
        return walked.lanes(), [] if is_own or viewer.sees_all else [viewer.visible]
    own = [Lane(audit.id, [audit.agent_id == agent_id]) for agent_id in sorted(viewer.owned)]
    members = sorted(viewer.open_members | viewer.withheld_members)
    own += [Lane(audit.id, [audit.member_id == member_id]) for member_id in members]
    if viewer.sees_all:
        return [Lane(audit.id, [])], []
    return (own, []) if len(own) <= LANES_MAX else ([Lane(audit.id, [])], [viewer.visible])


def _has_denied_index(walked: _Dimension | None) -> bool:
    return walked is None or getattr(walked.column, "name", "") in WITH_DENIED_INDEX


def _other_checks(tx: sa.Connection, wanted: AuditFilter, viewer: Viewer) -> list[Condition]:
    checks: list[Condition] = []
    if wanted.outcome is not None:
        checks.append(_ended_as(wanted.outcome))
    if wanted.policy is not None and not viewer.sees_all:
        checks.append(viewer.open)
    if wanted.q is not None:
        told = sa.or_(
            audit.reason.icontains(wanted.q, autoescape=True),
            audit.deny_message.icontains(wanted.q, autoescape=True),
        )
        checks.append(
            sa.or_(
                audit.tool.in_(_name_ids(tx, TOOL, part=wanted.q)),
                audit.resource.icontains(wanted.q, autoescape=True),
                told if viewer.sees_all else sa.and_(viewer.open, told),
            )
        )
    return checks


def _ended_as(outcome: Outcome) -> Condition:
    """An entry's outcome is the one that is not `interrupted`, if there is one."""
    outcomes = tables.outcomes.c
    ended = sa.exists().where(outcomes.entry_id == audit.id)
    match outcome:
        case Outcome.PENDING:
            return sa.and_(ALLOWED, ~ended)
        case Outcome.REFUSED:
            return sa.or_(DENIED, ended.where(outcomes.outcome == Outcome.REFUSED))
        case Outcome.INTERRUPTED:
            return sa.and_(
                ended.where(outcomes.outcome == outcome), ~ended.where(outcomes.outcome != outcome)
            )
        case _:
            return ended.where(outcomes.outcome == outcome)


def _name_ids(
    tx: sa.Connection, kind: str, *, part: str | None = None, whole: str | None = None
) -> list[int]:
    names = tables.names.c
    matches = names.name == whole if part is None else names.name.icontains(part, autoescape=True)
    return list(tx.execute(sa.select(names.id).where(names.kind == kind, matches).limit(NAMES_MAX)).scalars())


def _policy_ids(tx: sa.Connection, policy: str) -> list[str]:
    policies = tables.policies.c
    matches = sa.or_(policies.id == policy, policies.key == policy)
    return list(tx.execute(sa.select(policies.id).where(matches).limit(NAMES_MAX)).scalars())


def _member_ids(tx: sa.Connection, member: str) -> list[str]:
    if "@" not in member:
        return [member]
    members = tables.members.c
    of_account = sa.select(members.id).join(tables.accounts, tables.accounts.c.id == members.account_id)
    return list(
        tx.execute(of_account.where(tables.accounts.c.email == member.lower()).limit(NAMES_MAX)).scalars()
    )


def find_ids(tx: sa.Connection, search: Search, *, before: str | None, limit: int, offset: int = 0) -> Found:
    """The newest matching ids older than `before`, `limit` at most after the first `offset`."""
    if not search.checks and len(search.lanes) == 1:
        walk = _walk(search, search.lanes[0], before, limit + offset).offset(offset).limit(limit)
        return Found(tx.execute(walk).scalars().all(), resume=None)
    found: list[str] = []
    window, looked_at = min(limit + offset, WINDOW_MAX), 0
    while True:
        candidates, is_over = _merge(tx, search, before, window)
        found += tx.execute(_checked(search, candidates)).scalars() if search.checks else candidates
        looked_at += len(candidates)
        if is_over or len(found) >= limit + offset or looked_at >= SCAN_MAX + offset:
            return Found(found[offset : offset + limit], resume=None if is_over else candidates[-1])
        before, window = candidates[-1], min(2 * window, WINDOW_MAX)


def count_up_to(tx: sa.Connection, search: Search) -> int | None:
    """How many entries match, COUNT_MAX at most; None where that would mean to look at each."""
    if search.checks:
        return None
    count = 0
    for lane in search.lanes:
        some = _walk(search, lane, None, COUNT_MAX - count).subquery()
        count += tx.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
        if count >= COUNT_MAX:
            break
    return count


def _merge(tx: sa.Connection, search: Search, before: str | None, window: int) -> tuple[Sequence[str], bool]:
    """About `window` of the newest ids of all lanes together, and whether there are no more."""
    each = window // len(search.lanes) + 1
    ids: set[str] = set()
    known_to = ""
    for lane in search.lanes:
        some = tx.execute(_walk(search, lane, before, each)).scalars().all()
        ids.update(some)
        if len(some) == each:
            known_to = max(known_to, some[-1])  # behind it, this lane may hold ids newer than those of others
    return sorted((one for one in ids if one >= known_to), reverse=True), not known_to


def _walk(search: Search, lane: Lane, before: str | None, limit: int) -> sa.Select[str]:
    """The newest ids along a lane."""
    walk = sa.select(lane.id).where(*lane.conditions)
    if before is not None:
        walk = walk.where(lane.id < before)
    if search.from_id is not None:
        walk = walk.where(lane.id >= search.from_id)
    if search.to_id is not None:
        walk = walk.where(lane.id <= search.to_id)
    return walk.order_by(lane.id.desc()).limit(limit)


def _checked(search: Search, candidates: Sequence[str]) -> sa.Select[str]:
    return sa.select(audit.id).where(audit.id.in_(candidates), *search.checks).order_by(audit.id.desc())
