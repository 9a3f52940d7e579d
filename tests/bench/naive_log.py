"""The naive proxy's database: who calls, sessions, and a log whose rows are chained. One file, one writer at a time."""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from pysqlite3 import dbapi2 as sqlite

TABLES = """
CREATE TABLE keys (digest BLOB PRIMARY KEY, id TEXT NOT NULL, member TEXT NOT NULL);
CREATE TABLE connections (member TEXT, service TEXT, sealed BLOB NOT NULL, PRIMARY KEY (member, service));
CREATE TABLE tools (
    service TEXT, name TEXT, seen TEXT NOT NULL, reviewed TEXT, PRIMARY KEY (service, name)
);
CREATE TABLE sessions (
    key TEXT, name TEXT, calls INTEGER NOT NULL, denials INTEGER NOT NULL, last_at REAL NOT NULL,
    PRIMARY KEY (key, name)
);
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at REAL NOT NULL, member TEXT NOT NULL, session TEXT NOT NULL,
    service TEXT NOT NULL, tool TEXT NOT NULL, decision TEXT NOT NULL, policies TEXT NOT NULL, ip TEXT NOT NULL,
    arguments TEXT NOT NULL, hash BLOB NOT NULL
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_member ON audit (member, at);
CREATE INDEX audit_tool ON audit (service, tool, at);
CREATE INDEX audit_decision ON audit (decision, at);
CREATE TABLE outcomes (
    seq INTEGER PRIMARY KEY, entry TEXT NOT NULL, outcome TEXT NOT NULL, at REAL NOT NULL, upstream_ms REAL,
    upstream_status INTEGER, response_bytes INTEGER, hash BLOB NOT NULL
);
CREATE INDEX outcomes_entry ON outcomes (entry);
"""


@dataclass(frozen=True)
class Verdict:
    allowed: bool
    policies: list[str]


@dataclass(frozen=True)
class Call:
    """What the log keeps of a call; the arguments without secrets."""

    key: str
    member: str
    session: str
    service: str
    tool: str
    ip: str
    arguments: object


Judge = Callable[[int], Verdict]
"""How many calls of the session were denied -> what is decided."""


class Log:
    """Every method is one transaction, in whichever thread calls it; reading does not wait for what is written."""

    def __init__(self, path: str) -> None:
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._database, self._reader = (sqlite.connect(path, check_same_thread=False) for _ in range(2))
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.executescript(TABLES)
        self._seq, self._hash = 0, bytes(32)

    def add_member(self, digest: bytes, key: str, member: str, service: str, sealed: bytes) -> None:
        with self._lock, self._database as tx:
            tx.execute("INSERT INTO keys VALUES (?, ?, ?)", (digest, key, member))
            tx.execute("INSERT INTO connections VALUES (?, ?, ?)", (member, service, sealed))

    def add_tool(self, service: str, name: str, definition: str) -> None:
        with self._lock, self._database as tx:
            tx.execute("INSERT INTO tools VALUES (?, ?, ?, ?)", (service, name, definition, definition))

    def find_key(self, digest: bytes) -> tuple[str, str] | None:
        """Key and member."""
        with self._reading:
            query = "SELECT id, member FROM keys WHERE digest = ?"
            found: tuple[str, str] | None = self._reader.execute(query, (digest,)).fetchone()
            return found

    def find_sealed(self, member: str, service: str) -> bytes | None:
        with self._reading:
            query = "SELECT sealed FROM connections WHERE member = ? AND service = ?"
            found = self._reader.execute(query, (member, service)).fetchone()
            return None if found is None else found[0]

    def record(self, call: Call, judge: Judge) -> tuple[str, Verdict]:
        """Decide under the session's facts as they are, keep them, and commit the row; its id and what it says."""
        with self._lock:
            with self._database as tx:
                at, place = time.time(), (call.key, call.session)
                query = "SELECT calls, denials FROM sessions WHERE key = ? AND name = ?"
                calls, denials = tx.execute(query, place).fetchone() or (0, 0)
                verdict = judge(denials) if self._is_reviewed(call) else Verdict(allowed=False, policies=[])
                entry, row = str(uuid4()), (
                    at, call.member, call.session, call.service, call.tool, "ALLOW" if verdict.allowed else "DENY",
                    json.dumps(verdict.policies), call.ip, json.dumps(call.arguments),
                )  # fmt: skip
                seq, digest = self._next(entry, *row)
                insert = "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                tx.execute(insert, (seq, entry, *row, digest))
                tx.execute(
                    "INSERT INTO sessions VALUES (?, ?, ?, ?, ?) ON CONFLICT (key, name) DO UPDATE SET"
                    " calls = excluded.calls, denials = excluded.denials, last_at = excluded.last_at",
                    (*place, calls + 1, denials + (not verdict.allowed), at),
                )
            self._seq, self._hash = seq, digest
            return entry, verdict

    def end(self, entry: str, outcome: str, upstream_ms: float, upstream_status: int, size: int) -> None:
        """Commit how a call ended."""
        with self._lock:
            row = (entry, outcome, time.time(), upstream_ms, upstream_status, size)
            seq, digest = self._next(*row)
            with self._database as tx:
                tx.execute("INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (seq, *row, digest))
            self._seq, self._hash = seq, digest

    def _is_reviewed(self, call: Call) -> bool:
        """Whether the tool is what its owner has read."""
        query = "SELECT seen = reviewed FROM tools WHERE service = ? AND name = ?"
        found = self._database.execute(query, (call.service, call.tool)).fetchone()
        return found is not None and found[0] == 1

    def _next(self, *row: object) -> tuple[int, bytes]:
        """The place of a row in the chain, which it takes when it is committed."""
        seq = self._seq + 1
        return seq, hashlib.sha256(self._hash + json.dumps([seq, *row]).encode()).digest()
