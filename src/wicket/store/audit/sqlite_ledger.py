"""The log on SQLite: one connection, one gate, and one lock file for as long as this writer lives.

The methods are coroutines for the sake of the protocol; they block, in the recorder's own thread.
"""

import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from json import dumps
from pathlib import Path
from typing import Final

from wicket.core.model import Outcome
from wicket.store.audit import statements
from wicket.store.audit.entry import Chain, OutcomeRow, Row
from wicket.store.audit.ledger import SWEEP_ROWS_MAX, LedgerFailed, LoadWorld, SessionSeed, started, stopped
from wicket.store.audit.sqlite_turn import Loads, SqliteFailures, SqliteTurn, insert
from wicket.store.db.sqlite import connect_raw, connection_over
from wicket.store.gate import WriteGate
from wicket.store.lookups import load_entities

REGISTER: Final = "INSERT INTO writers (host, pid, started_at) VALUES (?, ?, ?) RETURNING id"
FIND_OTHERS: Final = "SELECT id FROM writers WHERE ended_at IS NULL AND id <> ? ORDER BY id"
IS_OPEN: Final = "SELECT 1 FROM writers WHERE id = ? AND ended_at IS NULL"
END_WRITER: Final = "UPDATE writers SET ended_at = ? WHERE id = ?"
LAST_ENTRY: Final = "SELECT coalesce(max(seq), 0) FROM audit WHERE writer = ?"
FIND_OPEN: Final = (
    "SELECT id FROM audit WHERE writer = ? AND seq > ? AND seq <= ? AND NOT denied"
    " AND NOT EXISTS (SELECT 1 FROM outcomes WHERE entry_id = audit.id) ORDER BY seq"
)
CACHE_KIB: Final = 65_536
"""Of pages of the file. An entry goes into a page of each index: those of a big log do not fit into SQLite's two MB."""
FIND_ENTRIES: Final = "SELECT id FROM audit WHERE id IN (SELECT value FROM json_each(?))"


class SqliteLedger:
    """One writer of one SQLite file. See `wicket.store.audit.ledger.Ledger`."""

    def __init__(self, path: Path, *, load_world: LoadWorld, host: str, session_idle_s: int) -> None:
        self._path = path
        self._load_world = load_world
        self._host = host
        self._idle_us = session_idle_s * 1_000_000
        self._locks = path.with_name(path.name + ".writers")
        self._names = statements.Names()
        self._unswept: dict[int, int] = {}
        self._held = ExitStack()

    async def open(self, now_us: int) -> None:
        with SqliteFailures("opening"):
            self._gate = self._held.enter_context(WriteGate(self._path))
            self._raw = connect_raw(self._path)
            self._raw.execute(f"PRAGMA cache_size=-{CACHE_KIB}").fetchall()
            over = self._held.enter_context(connection_over(self._raw))
            self._loads = Loads(partial(self._load_world, over), partial(load_entities, over))
            self._locks.mkdir(mode=0o700, exist_ok=True)
            with self._transaction():
                self._register(now_us)

    def _register(self, now_us: int) -> None:
        writer = self._raw.execute(REGISTER, (self._host, os.getpid(), now_us)).fetchall()[0][0]
        # Held before the row can be seen: nobody ever finds this writer registered and not alive.
        if not self._held.enter_context(_locked(self._locks / str(writer))):
            raise LedgerFailed(f"writer {writer} is alive already")
        self._chain = Chain(writer)
        heads = statements.heads_of(self._raw.execute(statements.HEADS).fetchall())
        self._append([started(now_us, heads)])

    @property
    def writer(self) -> int:
        return self._chain.writer

    def turn(self, agents: Collection[str], seeds: Collection[SessionSeed]) -> SqliteTurn:
        return SqliteTurn(
            self._raw,
            self._gate,
            self._chain,
            self._names,
            self._loads,
            (agents, seeds),
            idle_us=self._idle_us,
        )

    async def find_entries(self, entry_ids: Collection[str]) -> set[str]:
        with SqliteFailures("reading"):
            return {row[0] for row in self._raw.execute(FIND_ENTRIES, (dumps(list(entry_ids)),)).fetchall()}

    async def sweep(self, now_us: int) -> bool:
        with SqliteFailures("sweeping"):
            others = [writer for (writer,) in self._raw.execute(FIND_OTHERS, (self.writer,)).fetchall()]
            self._unswept = {writer: seq for writer, seq in self._unswept.items() if writer in others}
            for writer in others:
                with _locked(self._locks / str(writer)) as is_dead:
                    if is_dead:
                        self._sweep_stretch(writer, now_us)
                        return True
        return False

    def _sweep_stretch(self, writer: int, now_us: int) -> None:
        """Look at the newest links of a dead writer that were not looked at yet."""
        with self._transaction():
            if not self._raw.execute(IS_OPEN, (writer,)).fetchall():
                return  # somebody else has swept it
            end = self._unswept.get(writer)
            if end is None:
                end = self._raw.execute(LAST_ENTRY, (writer,)).fetchall()[0][0]
            begin = max(end - SWEEP_ROWS_MAX, 0)
            left = self._raw.execute(FIND_OPEN, (writer, begin, end)).fetchall()
            if not begin:
                self._raw.execute(END_WRITER, (now_us, writer))
            self._append([OutcomeRow(entry_id, Outcome.INTERRUPTED, now_us) for (entry_id,) in left])
        self._unswept[writer] = begin
        if not begin:
            (self._locks / str(writer)).unlink(missing_ok=True)

    def _append(self, rows: list[Row]) -> None:
        """Append and COMMIT rows that name nothing."""
        linked = self._chain.link(rows)
        insert(self._raw, self.writer, linked, {})
        with SqliteFailures("committing", in_doubt=True):
            self._raw.execute("COMMIT")
        self._chain.advance(linked)

    async def close(self, stopped_at_us: int | None) -> None:
        with self._held, SqliteFailures("closing"):
            if stopped_at_us is None:
                return
            with self._transaction():
                self._raw.execute(END_WRITER, (stopped_at_us, self.writer))
                self._append([stopped(stopped_at_us)])
            (self._locks / str(self.writer)).unlink(missing_ok=True)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Our turn to write, undone unless COMMIT was reached."""
        with self._gate.turn():
            with SqliteFailures("beginning"):
                self._raw.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                if self._raw.in_transaction:
                    with SqliteFailures("rolling back"):
                        self._raw.execute("ROLLBACK")


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold a writer's lock file; False while the writer itself, or who sweeps up after it, holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)
