"""From what a reader asks for to the way it is found: which dimension to walk along, and what to check on the way.

Two rules keep a filter from telling what its asker must not know: names of policies and people stand for those that
the asker may see, and what matches is checked to be visible, wherever the walk leads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from wicket.core.model import Effect, Outcome
from wicket.store import tables
from wicket.store.audit.filters import AuditFilter, fold, has_part
from wicket.store.audit.following import Position
from wicket.store.audit.lanes import Condition, Lane, Search, audit, count_along
from wicket.store.audit.matching import Text, texts_match
from wicket.store.audit.render import agent_names, tool_names
from wicket.store.audit.statements import AGENT, SERVICE, TOOL
from wicket.store.audit.viewer import Viewer, member_ids, policy_ids

LANES_MAX: Final = 32
"""Values of one dimension to walk along; with more, another dimension is taken."""
PROBE: Final = 2_000
"""Up to how many entries the ways to answer a filter are compared: the one with fewer is taken."""
NAMES_MAX: Final = 1_000
"""Names that are fetched to stand for a part of a name; more are left to the database."""
WITH_DENIED_INDEX: Final = frozenset({"agent_id", "service", "tool", "member_id"})

# As text, since SQLite finds the partial indexes only by the words that they were made with.
DENIED: Final = sa.text("audit.denied")
ALLOWED: Final = sa.text("NOT audit.denied")
cites: Final = tables.audit_policies.c
names: Final = tables.names.c


@dataclass(frozen=True, slots=True)
class _Dimension:
    """A filter that says: this column is one of these values."""

    column: sa.ColumnElement[str] | sa.ColumnElement[int]
    values: Sequence[str | int]
    source: sa.Select[int] | None = None
    """What finds the values, where there are too many to name."""

    @property
    def can_be_walked(self) -> bool:
        return self.source is None and len(self.values) <= LANES_MAX

    @property
    def is_empty(self) -> bool:
        return self.source is None and not self.values

    @property
    def condition(self) -> Condition:
        if self.column is cites.policy_id:
            return _has_any(
                sa.select(cites.entry_id).where(cites.policy_id.in_(self.values), cites.entry_id == audit.id)
            )
        return self.column.in_(self.values if self.source is None else self.source)

    def lanes(self) -> list[Lane]:
        id_column = cites.entry_id if self.column is cites.policy_id else audit.id
        return [Lane(id_column, [self.column == value]) for value in self.values]


def plan(
    tx: sa.Connection, wanted: AuditFilter, viewer: Viewer, *, until: Position | None = None
) -> Search | None:
    """The way to answer `wanted`, or None when nothing can match; outcomes count as of `until`."""
    if viewer.sees_nothing:
        return None
    dimensions = _dimensions(tx, wanted, viewer)
    if any(dimension.is_empty for dimension in dimensions):
        return None
    ways = [_along(dimension, dimensions, viewer) for dimension in dimensions if dimension.can_be_walked]
    ways += _along_own(dimensions, viewer, is_needed=not ways)
    searches = [_search(way, wanted) for way in ways]
    search = min(searches, key=lambda one: count_along(tx, one, PROBE)) if len(searches) > 1 else searches[0]
    checks = [*search.checks]
    if wanted.outcome is not None:
        checks.append(_ended_as(wanted.outcome, until))
    if wanted.policy is not None and not viewer.sees_all:
        checks.append(viewer.open)
    if wanted.q is not None:
        checks.append(_told(tx, wanted.q, viewer))
    asked = (wanted.agent, wanted.tool, wanted.q)
    is_plain = all(part is None or part.isascii() for part in asked)
    return replace(
        search,
        checks=checks,
        recheck=None if is_plain else lambda tx, ids: _recheck(tx, ids, wanted, viewer),
    )


def _dimensions(tx: sa.Connection, wanted: AuditFilter, viewer: Viewer) -> list[_Dimension]:
    """Those that the filter asks for, the most telling first."""
    asked: list[_Dimension] = []
    if wanted.session is not None:
        asked.append(_Dimension(audit.session_id, [wanted.session]))
    if wanted.policy is not None:
        asked.append(_Dimension(cites.policy_id, policy_ids(tx, wanted.policy, viewer)))
    if wanted.ip is not None:
        asked.append(_Dimension(audit.caller_ip, [wanted.ip]))
    if wanted.member is not None:
        asked.append(_Dimension(audit.member_id, member_ids(tx, wanted.member, viewer)))
    if wanted.agent_id is not None:
        asked.append(_Dimension(audit.agent_id, [wanted.agent_id]))
    if wanted.reason is not None:
        asked.append(_Dimension(audit.reason_code, [wanted.reason]))
    if wanted.tool is not None:
        asked.append(_named(tx, audit.tool, TOOL, wanted.tool))
    if wanted.agent is not None:
        asked.append(_named(tx, audit.agent_name, AGENT, wanted.agent))
    if wanted.service is not None:
        whole = sa.select(names.id).where(names.kind == SERVICE, names.name == wanted.service)
        asked.append(_Dimension(audit.service, tx.execute(whole).scalars().all()))
    return asked


@dataclass(frozen=True, slots=True)
class _Way:
    """Lanes to walk along, and what of the filter's dimensions is left to check."""

    lanes: Sequence[Lane]
    checks: Sequence[Condition]
    has_denied_index: bool


def _along(walked: _Dimension, dimensions: Sequence[_Dimension], viewer: Viewer) -> _Way:
    """Along what a filter asks for; what is found there may be anybody's."""
    checks = [one.condition for one in dimensions if one is not walked]
    is_own = walked.column is audit.agent_id and viewer.owned.issuperset(map(str, walked.values))
    if not (is_own or viewer.sees_all):
        checks.append(viewer.visible)
    return _Way(walked.lanes(), checks, getattr(walked.column, "name", "") in WITH_DENIED_INDEX)


def _along_own(dimensions: Sequence[_Dimension], viewer: Viewer, *, is_needed: bool) -> list[_Way]:
    """Along what the viewer may see: agent by agent and membership by membership, or all where they are many."""
    checks = [one.condition for one in dimensions]
    if not viewer.sees_all:
        own = [Lane(audit.id, [audit.agent_id == agent_id]) for agent_id in sorted(viewer.owned)]
        members = sorted(viewer.open_members | viewer.withheld_members)
        own += [Lane(audit.id, [audit.member_id == member_id]) for member_id in members]
        if len(own) <= LANES_MAX:
            return [_Way(own, checks, has_denied_index=True)]
        checks.append(viewer.visible)
    return [_Way([Lane(audit.id, [])], checks, has_denied_index=True)] if is_needed else []


def _search(way: _Way, wanted: AuditFilter) -> Search:
    lanes, checks = way.lanes, [*way.checks]
    if wanted.result is Effect.DENY and way.has_denied_index:
        lanes = [Lane(lane.id, [*lane.conditions, DENIED]) for lane in lanes]
    elif wanted.result is not None:
        checks.append(DENIED if wanted.result is Effect.DENY else ALLOWED)
    return Search(lanes, checks, from_id=wanted.from_id, to_id=wanted.to_id)


def _ended_as(outcome: Outcome, until: Position | None) -> Condition:
    """An entry's outcome is the one that is not `interrupted`, if there is one."""
    outcomes = tables.outcomes.c
    ended = sa.select(outcomes.seq).where(outcomes.entry_id == audit.id)
    if until is not None:
        ended = ended.where(until.covers(outcomes.writer, outcomes.seq))
    match outcome:
        case Outcome.PENDING:
            return sa.and_(ALLOWED, ~_has_any(ended))
        case Outcome.REFUSED:
            return sa.or_(DENIED, _has_any(ended.where(outcomes.outcome == Outcome.REFUSED)))
        case Outcome.INTERRUPTED:
            was_interrupted = _has_any(ended.where(outcomes.outcome == outcome))
            return sa.and_(was_interrupted, ~_has_any(ended.where(outcomes.outcome != outcome)))
        case _:
            return _has_any(ended.where(outcomes.outcome == outcome))


def _has_any(rows: sa.Select[Any]) -> sa.ColumnElement[bool]:
    """Whether there is such a row for an entry: asked entry by entry, where `EXISTS` may read a whole table instead."""
    return rows.correlate(tables.audit).limit(1).scalar_subquery().is_not(None)


def _told(tx: sa.Connection, q: str, viewer: Viewer) -> Condition:
    """Free text; what may tell of policies is searched only where they may be seen."""
    told = sa.or_(_holds(tx, audit.reason, q), _holds(tx, audit.deny_message, q))
    return sa.or_(
        _named(tx, audit.tool, TOOL, q).condition,
        _holds(tx, audit.resource, q),
        told if viewer.sees_all else sa.and_(viewer.open, told),
    )


def _named(tx: sa.Connection, column: sa.ColumnElement[int], kind: str, part: str) -> _Dimension:
    """The names that hold a part, in any case."""
    matching = sa.select(names.id).where(names.kind == kind, _holds(tx, names.name, part))
    found = tx.execute(matching.add_columns(names.name).limit(NAMES_MAX + 1)).all()
    if len(found) > NAMES_MAX:
        return _Dimension(column, (), matching)
    return _Dimension(column, [row.id for row in found if has_part(row.name, part)])


def _holds(tx: sa.Connection, column: sa.ColumnElement[str], part: str) -> sa.ColumnElement[bool]:
    """Text that holds a part, in any case; in place of what is not ASCII may stand any character.

    Of other letters no two databases know the same cases: who asks for them checks again what this lets pass.
    """
    if tx.dialect.name == "postgresql":
        column = sa.collate(column, "C")  # whose only letters are those of ASCII, as SQLite's
    text = "".join(_pattern_of(character) for character in fold(part))
    return column.ilike(f"%{text}%", escape="\\")


def _pattern_of(character: str) -> str:
    if not character.isascii():
        return "_"
    return f"\\{character}" if character in "%_\\" else character


def _recheck(tx: sa.Connection, ids: Sequence[str], wanted: AuditFilter, viewer: Viewer) -> Sequence[str]:
    """Which of the ids match in all that they say."""
    rows = tx.execute(
        sa.select(
            *(audit.id, audit.agent_id, audit.member_id, audit.resource, audit.reason, audit.deny_message),
            agent_names.c.name.label("agent"),
            tool_names.c.name.label("tool"),
        )
        .join(agent_names, agent_names.c.id == audit.agent_name)
        .join(tool_names, tool_names.c.id == audit.tool)
        .where(audit.id.in_(ids))
    )
    matching = {
        row.id
        for row in rows
        if texts_match(
            wanted,
            Text(row.agent, row.tool, row.resource, row.reason, row.deny_message),
            is_withheld=viewer.is_withheld(row.agent_id, row.member_id),
        )
    }
    return [entry_id for entry_id in ids if entry_id in matching]
