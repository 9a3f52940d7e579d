"""SQLite: a few threads with a connection each; changes take turns with every other writer of the file."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Concatenate, Final

import sqlalchemy as sa
from pysqlite3 import dbapi2 as library
from sqlalchemy import event

from wicket.core.errors import Invalid, Unavailable
from wicket.store.db.base import (
    CHANGES_WAITING_MAX,
    READS_WAITING_MAX,
    ChangedAgents,
    Kind,
    P,
    R,
    Waiting,
    bump_revisions,
)
from wicket.store.db.sqlite_errors import OTHERWISE, SENTENCES, code_of, lacks_room, sqlite_errors_made_ours
from wicket.store.gate import WriteGate
from wicket.store.reserve import Reserve

__all__ = ["SqliteDatabase", "check_sqlite", "connect_raw", "connection_over", "library"]

READERS: Final = 2
BUSY_TIMEOUT_MS: Final = 5_000  # for strangers: writers of ours queue at the gate
REVISION_BUSY_TIMEOUT_MS: Final = 100  # that read happens on the event loop
CHANGE_WAIT_S: Final = 5.0
SAFE_WITH_MANY_PROCESSES: Final = (3, 51, 3)
"""Older ones can corrupt a WAL that several processes share."""


def check_sqlite(*, workers: int, version: tuple[int, ...] = library.sqlite_version_info) -> None:
    """Raise Invalid when this SQLite cannot be shared by so many processes."""
    if workers > 1 and version < SAFE_WITH_MANY_PROCESSES:
        found = ".".join(map(str, version))
        raise Invalid(
            f"SQLite {found} cannot be shared by {workers} workers: use one worker, PostgreSQL, or a newer SQLite",
            field="WICKET_WORKERS",
        )


def connect_raw(
    path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS, read_only: bool = False
) -> library.Connection:
    """A driver connection as everybody must have it: durable commits, and no transaction that we did not begin."""
    raw = library.connect(
        str(path), isolation_level=None, check_same_thread=False, timeout=busy_timeout_ms / 1000
    )
    raw.execute("PRAGMA synchronous=FULL").fetchall()
    if read_only:
        raw.execute("PRAGMA query_only=ON").fetchall()
    return raw


def connection_over(raw: library.Connection) -> sa.Connection:
    """A SQLAlchemy connection over `raw`, whose owner begins and commits; keep it as long as `raw`.

    It emits neither BEGIN nor COMMIT; do not close it while a transaction is open, that would roll back.
    """
    return _engine(lambda: raw).connect()


def _engine(creator: Callable[[], library.Connection]) -> sa.Engine:
    return sa.create_engine("sqlite://", module=library, creator=creator, poolclass=sa.NullPool)


class _Lane:
    """Threads that each keep one connection, on which every transaction begins with `begin`."""

    def __init__(self, path: Path, *, threads: int, begin: str, name: str, read_only: bool = False) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._engine = _engine(partial(connect_raw, path, read_only=read_only))
        self._mine = threading.local()
        self._all: list[sa.Connection] = []

        @event.listens_for(self._engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql(begin)

    def submit(self, work: Callable[[], R]) -> asyncio.Future[R]:
        return asyncio.get_running_loop().run_in_executor(self._pool, work)

    def run(self, fn: Callable[[sa.Connection], R]) -> R:
        """Run `fn` in a transaction on this thread's connection."""
        with sqlite_errors_made_ours():
            connection: sa.Connection | None = getattr(self._mine, "connection", None)
            if connection is None:
                connection = self._mine.connection = self._engine.connect()
                self._all.append(connection)
            with connection.begin():
                return fn(connection)

    def close(self) -> None:
        self._pool.shutdown()
        for connection in self._all:
            connection.close()


class _Ticket:
    """Whether a change has begun or its caller has gone: exactly one of the two happens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = False
        self._abandoned = False

    def begin(self) -> bool:
        with self._lock:
            self._begun = not self._abandoned
            return self._begun

    def abandon(self) -> bool:
        with self._lock:
            self._abandoned = not self._begun
            return self._abandoned


class SqliteDatabase:
    """One file. Made by `open_database`."""

    kind = Kind.SQLITE

    def __init__(self, path: Path, *, change_wait_s: float = CHANGE_WAIT_S) -> None:
        self.path = path
        self._change_wait_s = change_wait_s
        self._gate = WriteGate(path)
        self._reserve = Reserve(path)
        self._readers = _Lane(path, threads=READERS, begin="BEGIN", name="wicket-read", read_only=True)
        self._changer = _Lane(path, threads=1, begin="BEGIN IMMEDIATE", name="wicket-change")
        self._reads = Waiting(READS_WAITING_MAX)
        self._changes = Waiting(CHANGES_WAITING_MAX)
        self._revisions = connect_raw(path, busy_timeout_ms=REVISION_BUSY_TIMEOUT_MS)

    @classmethod
    async def open(cls, path: Path, *, urgent: bool = False) -> "SqliteDatabase":
        """Open the file, which is created (mode 0600) when missing; its directory must exist."""
        try:
            await asyncio.to_thread(_prepare, path, urgent=urgent)
            return cls(path)
        except (OSError, library.Error) as error:
            found = str(getattr(error, "strerror", "") or "no reason is known").lower()
            why = SENTENCES.get(code_of(error), f"{found}: check path and owner")
            raise Unavailable(f"`{path}` cannot be opened as a SQLite database: {why}") from error

    async def read(
        self, fn: Callable[Concatenate[sa.Connection, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        with self._reads.one_more():
            return await self._readers.submit(
                partial(self._readers.run, lambda connection: fn(connection, *args, **kwargs))
            )

    async def change(
        self, fn: Callable[..., R], /, *args: object, agents: ChangedAgents, **kwargs: object
    ) -> R:
        return await self._run(_changing(fn, *args, agents=agents, **kwargs))

    async def change_urgently(
        self, fn: Callable[..., R], /, *args: object, agents: ChangedAgents, **kwargs: object
    ) -> R:
        return await self._run(_changing(fn, *args, agents=agents, **kwargs), urgent=True)

    async def run_alone(self, fn: Callable[[sa.Connection], R], /) -> R:
        return await self._run(fn)

    async def _run(self, fn: Callable[[sa.Connection], R], *, urgent: bool = False) -> R:
        ticket = _Ticket()
        with self._changes.one_more():
            under_way = self._changer.submit(partial(self._take_turn, ticket, fn, urgent=urgent))
            try:
                async with asyncio.timeout(self._change_wait_s):
                    return await asyncio.shield(under_way)
            except TimeoutError:
                if ticket.abandon():
                    raise Unavailable("others are writing to the database: try again in a moment") from None
                return await under_way  # it has begun, so it will soon be known whether it was committed
            except asyncio.CancelledError:
                ticket.abandon()
                raise

    def _take_turn(self, ticket: _Ticket, fn: Callable[[sa.Connection], R], *, urgent: bool) -> R:
        with self._gate.turn():
            if not ticket.begin():
                raise Unavailable("nobody waits for this change any more")
            try:
                result = self._changer.run(fn)
            except Unavailable as error:
                if urgent and lacks_room(error) and self._reserve.give_up():
                    return self._changer.run(fn)  # still our turn: nobody else takes what became free
                raise
            self._reserve.keep()
            return result

    async def revision(self, agent_id: str) -> int | None:
        try:
            found = self._revisions.execute(
                "SELECT revision FROM agents WHERE id = ? AND deleted_at IS NULL", (agent_id,)
            ).fetchall()
        except library.Error as error:
            raise Unavailable(SENTENCES.get(code_of(error), OTHERWISE)) from error
        return int(found[0][0]) if found else None

    async def close(self) -> None:
        await asyncio.to_thread(self._readers.close)
        await asyncio.to_thread(self._changer.close)
        self._revisions.close()
        self._gate.close()


def _changing(
    fn: Callable[..., R], *args: object, agents: ChangedAgents, **kwargs: object
) -> Callable[[sa.Connection], R]:
    """`fn` as a change of agents, whose revisions move with it."""

    def work(tx: sa.Connection) -> R:
        result = fn(tx, *args, **kwargs)
        bump_revisions(tx, agents)
        return result

    return work


def _prepare(path: Path, *, urgent: bool) -> None:
    """Create the file for its owner alone and make it a WAL database, which stays so."""
    if not path.exists():
        # Never of a file in use: closing any descriptor of it would drop this process's POSIX locks on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with WriteGate(path) as gate, gate.turn():
        try:
            mode = _set_journal(path)
        except library.Error as error:
            if not (urgent and lacks_room(error) and Reserve(path).give_up()):
                raise
            mode = _set_journal(path)
    if mode != "wal":
        raise library.OperationalError(f"the file system allows no write-ahead log: journal mode is {mode}")


def _set_journal(path: Path) -> str:
    """Make it a WAL database, and answer what it is."""
    raw = connect_raw(path)
    try:
        return str(raw.execute("PRAGMA journal_mode=WAL").fetchall()[0][0])
    finally:
        raw.close()
