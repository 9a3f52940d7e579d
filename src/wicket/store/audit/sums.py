"""The sums over the log, read: which of them make up a range of time, and whose an account may see.

Sums have whole hours and days, so a range is widened to them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from wicket.core.errors import Invalid, NotFound
from wicket.store import tables
from wicket.store.audit.rollups import CALL, DAY, DAY_US, HOUR, HOUR_US
from wicket.store.audit.viewer import Viewer
from wicket.store.instants import to_us

RANGE_DAYS_MAX: Final = 400
HOURS_DAYS_MAX: Final = 7
"""Up to which range a series goes by the hour."""
DEFAULT_US: Final = DAY_US
LAST_US: Final = to_us(datetime(9999, 12, 31, tzinfo=UTC)) - 1
"""Behind it there is no instant to call the end of a day."""
IDS_MAX: Final = 1_000

sums: Final = tables.audit_rollups.c


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of time in whole hours or days, or whatever its parts are."""

    from_us: int
    until_us: int
    """Not within it."""
    width_us: int
    """Of each part."""

    @property
    def grain(self) -> str:
        """Which sums it is made of."""
        return DAY if self.width_us == DAY_US else HOUR

    @property
    def starts(self) -> range:
        """Where each part begins."""
        return range(self.from_us, self.until_us, self.width_us)

    def start_of(self, at_us: int) -> int:
        """Where the part begins that an instant is in."""
        return at_us - (at_us - self.from_us) % self.width_us


@dataclass(slots=True)
class Tally:
    """Calls by how they were decided; the failed ones are among the allowed."""

    allowed: int = 0
    denied: int = 0
    failed: int = 0

    @property
    def calls(self) -> int:
        return self.allowed + self.denied

    def add(self, other: "Tally") -> None:
        self.allowed += other.allowed
        self.denied += other.denied
        self.failed += other.failed


@dataclass(frozen=True, slots=True)
class Subjects:
    """Whose sums an account's view is made of; see `rollups.py` for which sums each of them has."""

    owners: Sequence[str] = ()
    """Accounts: the sums of all agents that they own."""
    agents: Sequence[str] = ()
    members: Sequence[str] = ()
    withheld: frozenset[str] = frozenset()
    """Those of the members whose policies are not theirs to know."""

    @property
    def with_policies(self) -> "Subjects":
        """Those whose policies the account may know of."""
        return replace(self, members=[one for one in self.members if one not in self.withheld])


def parse_range(from_us: int | None, to_us_: int | None, *, now: datetime) -> tuple[int, int]:
    """Two inclusive instants, by default the last 24 hours; raises Invalid naming the bad one."""
    until = min(to_us(now) if to_us_ is None else to_us_, LAST_US)
    begin = max(until - DEFAULT_US, 0) if from_us is None else from_us
    if begin > until:
        raise Invalid("`from` is behind `to`: exchange them", field="from")
    if until - begin > RANGE_DAYS_MAX * DAY_US:
        raise Invalid(f"the range is longer than {RANGE_DAYS_MAX} days: ask for less", field="from")
    return begin, until


def in_hours_or_days(begin_us: int, until_us: int) -> Range:
    """A range in the parts that sums are kept in: days where hours would be too many."""
    is_long = until_us - begin_us > HOURS_DAYS_MAX * DAY_US
    return widened(begin_us, until_us, DAY_US if is_long else HOUR_US)


def widened(begin_us: int, until_us: int, width_us: int) -> Range:
    """Both instants and what lies between, in whole parts."""
    return Range(begin_us - begin_us % width_us, until_us - until_us % width_us + width_us, width_us)


def subjects_of(tx: sa.Connection, viewer: Viewer, *, account_id: str, agent_id: str | None) -> Subjects:
    """Whose sums to add up; raises NotFound for an agent that the account knows nothing of."""
    if agent_id is None:
        own = viewer.open_members | viewer.withheld_members
        owners = [account_id] if viewer.owned else []
        return Subjects(owners=owners, members=sorted(own), withheld=viewer.withheld_members)
    if agent_id in viewer.owned:
        return Subjects(agents=[agent_id])
    members = tables.members.c
    own_member = tx.execute(
        sa.select(members.id).where(members.agent_id == agent_id, members.account_id == account_id)
    ).scalar_one_or_none()
    if own_member is None or own_member not in viewer.open_members | viewer.withheld_members:
        raise NotFound(f"there is no agent `{agent_id}`: list yours to find the id")
    return Subjects(members=[own_member], withheld=viewer.withheld_members)


def read_series(
    tx: sa.Connection,
    wanted: Range,
    subjects: Subjects,
    kind: str = CALL,
    keys: Collection[str] | None = None,
) -> list[tuple[int, Tally]]:
    """Each hour or day of the range with its calls, those with none too; only these keys where some are named."""
    conditions = [sums.kind == kind] if keys is None else [sums.kind == kind, sums.key.in_(sorted(keys))]
    series = {at: Tally() for at in wanted.starts}
    for at, denied, calls, failed in add_up(
        tx, lanes_of(wanted, subjects, by_time=True), (sums.at, sums.denied), *conditions
    ):
        series[wanted.start_of(at)].add(tally_of(calls, failed, denied=denied))
    return list(series.items())


def list_keys(tx: sa.Connection, wanted: Range, subjects: Subjects, kind: str) -> list[str]:
    """The keys that there are sums for."""
    found = add_up(tx, lanes_of(wanted, subjects, by_time=False), (sums.key,), sums.kind == kind)
    return sorted({row[0] for row in found})


@dataclass(frozen=True, slots=True)
class Lane:
    """Sums of some subjects over some hours or days."""

    range: Range
    subjects: Sequence[str]


def lanes_of(wanted: Range, subjects: Subjects, *, by_time: bool) -> list[Lane]:
    """Where the sums of a range are found; unless they are wanted `by_time`, whole days stand for their hours."""
    parts = [wanted] if by_time or wanted.grain == DAY else _in_days(wanted)
    lanes = [Lane(part, [*subjects.owners, *subjects.agents]) for part in parts]
    lanes.append(Lane(replace(wanted, width_us=HOUR_US), subjects.members))
    return [lane for lane in lanes if lane.subjects and lane.range.from_us < lane.range.until_us]


def lanes_of_times(wanted: Range, subjects: Subjects) -> list[Lane]:
    """The same for how long things took: of agents by whole days, of members not at all."""
    days = widened(wanted.from_us, wanted.until_us - 1, DAY_US)
    agents = [Lane(days, subjects.agents)] if subjects.agents else []
    return lanes_of(wanted, Subjects(owners=subjects.owners), by_time=False) + agents


def _in_days(hours: Range) -> list[Range]:
    first, last = -(-hours.from_us // DAY_US) * DAY_US, hours.until_us // DAY_US * DAY_US
    if first >= last:
        return [hours]
    return [
        Range(hours.from_us, first, HOUR_US),
        Range(first, last, DAY_US),
        Range(last, hours.until_us, HOUR_US),
    ]


def add_up(
    tx: sa.Connection,
    lanes: Sequence[Lane],
    columns: Sequence[sa.ColumnElement[Any]],
    *conditions: sa.ColumnElement[bool],
) -> Iterator[tuple[Any, ...]]:
    """(*columns, calls, failed) of each lane, grouped by the columns."""
    for lane in lanes:
        # Each hour or day by its name: a range of them would lead through the sums of everybody.
        found = (
            sa.select(*columns, sa.func.sum(sums.calls), sa.func.sum(sums.failed))
            .where(
                sums.grain == lane.range.grain,
                sums.at.in_(lane.range.starts),
                sums.subject.in_(lane.subjects),
                *conditions,
            )
            .group_by(*columns)
        )
        yield from (tuple(row) for row in tx.execute(found))


def tally_of(calls: Any, failed: Any, *, denied: bool) -> Tally:
    """Sums as of `add_up`, by how the calls were decided."""
    count = int(calls)  # PostgreSQL's sums are decimals
    return Tally(0 if denied else count, count if denied else 0, int(failed))


def parse_call(key: str) -> tuple[int, int, str]:
    """(service, tool, reason) of a key of calls, the first two as ids of names."""
    service, tool, reason = key.split(":", 2)
    return int(service), int(tool), reason


def names_of(tx: sa.Connection, ids: Collection[int]) -> Mapping[int, str]:
    """Interned names by their ids."""
    found = dict.fromkeys(ids, "")
    names, wanted = tables.names.c, sorted(ids)
    for start in range(0, len(wanted), IDS_MAX):
        some = wanted[start : start + IDS_MAX]
        found |= {
            row.id: row.name for row in tx.execute(sa.select(names.id, names.name).where(names.id.in_(some)))
        }
    return found
