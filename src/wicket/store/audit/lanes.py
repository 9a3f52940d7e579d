"""How the newest matching entries are found without reading the log: along indexes, a window at a time.

Each index of `audit` ends in the entry's id, whose order is the order of time. A filter picks one of its
dimensions to walk along, newest first: a *lane* for each of the dimension's values. What else it asks for is
checked on what the lanes bring, in windows that grow; a filter that never meets anything stops after so many
entries and can be continued from there. Which lanes and which checks: planning.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import sqlalchemy as sa

from wicket.core.ids import behind_instant
from wicket.store import tables

SCAN_MAX: Final = 2_500
"""Entries looked at for one page: up to 15 us each, so that a page that finds nothing comes within 50 ms."""
SKIP_SCAN_MAX: Final = 100_000
"""Entries looked at beside them for what an offset leaves out."""
WINDOW_MIN: Final = 500
WINDOW_MAX: Final = 2_000
COUNT_MAX: Final = 10_000
"""Up to which a total is told."""

Condition: TypeAlias = "sa.ColumnElement[bool] | sa.TextClause"
audit: Final = tables.audit.c


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
    recheck: Callable[[sa.Connection, Sequence[str]], Sequence[str]] | None = None
    """Which of these ids really match, in their order, where the checks let too many pass."""

    @property
    def is_checked(self) -> bool:
        return bool(self.checks) or self.recheck is not None

    @property
    def only_lane(self) -> Lane | None:
        """The lane that brings nothing but what matches, if it is the only one."""
        return self.lanes[0] if len(self.lanes) == 1 and not self.is_checked else None

    def conditions(self, lane: Lane, before: str | None) -> list[Condition]:
        """What holds for the entries along a lane that are older than `before`."""
        wanted = [*lane.conditions]
        if before is not None:
            wanted.append(lane.id < before)
        if self.from_id is not None:
            wanted.append(lane.id >= self.from_id)
        if self.to_id is not None:
            wanted.append(lane.id <= self.to_id)
        return wanted


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: with entries older than `before`, the first `skip` of which are left out."""

    before: str | None = None
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """Ids, newest first, and where to go on when that is not all: perhaps before anything was found."""

    ids: Sequence[str]
    resume: Place | None
    count: int | None = None
    """All that match behind the place, those that were left out included; None where that is not known."""


def find_ids(tx: sa.Connection, search: Search, place: Place, *, limit: int) -> Found:
    """The newest matching ids behind a place, `limit` at most."""
    lane = search.only_lane
    if lane is not None:
        walk = _walk(search, lane, place.before, limit + 1).offset(place.skip)
        ids = tx.execute(walk).scalars().all()
        return Found(ids[:limit], Place(ids[limit - 1]) if len(ids) > limit else None)
    found: list[str] = []
    before, enough = place.before, place.skip + limit + 1
    window, looked_at = min(max(enough, WINDOW_MIN), WINDOW_MAX), 0
    while True:
        candidates, is_over = _merge(tx, search, before, window)
        found += _checked(tx, search, candidates)
        looked_at += len(candidates)
        if len(found) >= enough:
            return Found(found[place.skip : enough - 1], Place(found[enough - 2]))
        if is_over:
            return Found(found[place.skip :], None, len(found))
        before, room = candidates[-1], SCAN_MAX + min(place.skip, SKIP_SCAN_MAX) - looked_at
        if room <= 0:
            return _interrupted(found, place, before)
        window = min(2 * window, WINDOW_MAX, room)


def _interrupted(found: list[str], place: Place, last: str) -> Found:
    """What was found as far as the search went.

    It goes on at the edge of an instant: the last entry that was looked at may be one that its asker must not know.
    """
    edge = behind_instant(last)
    if place.before is None or edge < place.before:  # unless a single instant has so many
        last, found = edge, [entry_id for entry_id in found if entry_id >= edge]
    return Found(found[place.skip :], Place(last, max(place.skip - len(found), 0)))


def count_along(tx: sa.Connection, search: Search, most: int = COUNT_MAX) -> int:
    """How many entries the lanes bring, whatever is to be checked of them; `most` at most."""
    count = 0
    for lane in search.lanes:
        some = _walk(search, lane, None, most - count).subquery()
        count += tx.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
        if count >= most:
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
    return sa.select(lane.id).where(*search.conditions(lane, before)).order_by(lane.id.desc()).limit(limit)


def _checked(tx: sa.Connection, search: Search, candidates: Sequence[str]) -> Sequence[str]:
    if search.checks:
        passing = (
            sa.select(audit.id).where(audit.id.in_(candidates), *search.checks).order_by(audit.id.desc())
        )
        candidates = tx.execute(passing).scalars().all()
    return candidates if search.recheck is None else search.recheck(tx, candidates)
