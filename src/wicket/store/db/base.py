"""What both databases have in common: the interface, agents' buckets and revisions, foreign errors made ours."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from enum import Enum, StrEnum
from typing import Concatenate, Final, ParamSpec, Protocol, TypeAlias, TypeVar
from zlib import crc32

import sqlalchemy as sa
from sqlalchemy import exc

from wicket.core.errors import Unavailable
from wicket.store import tables

AGENT_BUCKETS: Final = 64
READS_WAITING_MAX: Final = 1_000
CHANGES_WAITING_MAX: Final = 1_000

Transaction: TypeAlias = sa.Connection
"""What store functions run on; for callers that put several of them into one and speak no SQL themselves."""

P = ParamSpec("P")
R = TypeVar("R")


class Kind(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class AllAgents(Enum):
    """Every agent there is: for a change of something that they share."""

    ALL = "all"


ALL_AGENTS: Final = AllAgents.ALL
ChangedAgents: TypeAlias = Collection[str] | AllAgents


class Database(Protocol):
    """One open database. Every failure of the database itself is raised as Unavailable."""

    @property
    def kind(self) -> Kind: ...

    async def read(
        self, fn: Callable[Concatenate[sa.Connection, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run a store function in one read snapshot: all its statements see the same state."""

    async def change(
        self, fn: Callable[..., R], /, *args: object, agents: ChangedAgents, **kwargs: object
    ) -> R:
        """Run a store function as a change of `agents`, whose revisions move; committed on return.

        Whatever `fn` raises undoes everything. Validate before: SQLite's turn to write must stay under 20 ms.
        """

    async def change_urgently(
        self, fn: Callable[..., R], /, *args: object, agents: ChangedAgents, **kwargs: object
    ) -> R:
        """As `change`, for what stops somebody: where the disk is full, the reserve is given up for it.

        `fn` may be run twice.
        """

    async def revision(self, agent_id: str) -> int | None:
        """An agent's revision as committed now, by anybody; None when there is no such agent (any more)."""

    async def run_alone(self, fn: Callable[[sa.Connection], R], /) -> R:
        """Run `fn` in a transaction while no other process does the same: for migrations."""

    async def close(self) -> None:
        """Let go of every connection; what is under way ends first."""


def bucket_of(agent_id: str) -> int:
    """The advisory lock that an agent shares on PostgreSQL; the same number in every process, for ever."""
    return crc32(agent_id.encode()) % AGENT_BUCKETS


def buckets_of(agents: ChangedAgents) -> list[int]:
    """The distinct buckets to lock for a change, in the one order that everybody locks in."""
    if agents is ALL_AGENTS:
        return list(range(AGENT_BUCKETS))
    return sorted({bucket_of(agent_id) for agent_id in agents})


def bump_revisions(tx: sa.Connection, agents: ChangedAgents) -> None:
    """Make every decision taken under the old rules of `agents` a stale one."""
    moved = sa.update(tables.agents).values(revision=tables.agents.c.revision + 1)
    if agents is ALL_AGENTS:
        tx.execute(moved)
    elif agents:
        tx.execute(moved.where(tables.agents.c.id.in_(sorted(set(agents)))))


BUGS = (exc.IntegrityError, exc.ProgrammingError, exc.DataError)


@contextmanager
def foreign_errors_made_ours() -> Iterator[None]:
    """Raise Unavailable for what the database could not do; what we did wrong passes through."""
    try:
        yield
    except BUGS:
        raise
    except (exc.DBAPIError, exc.TimeoutError, OSError) as error:
        raise Unavailable("the database cannot be used right now: try again in a moment") from error


class Waiting:
    """A bound on how many callers wait for one thing."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        if self._count >= self._most:
            raise Unavailable("too many requests wait for the database: try again in a moment")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
