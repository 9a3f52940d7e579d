"""The turn to write to SQLite, taken by every writer of every process, in order of arrival.

SQLite's own busy handler starves: one process gets a hundredth of another's share and waits for seconds. Two
lock files give even shares: whoever holds `gate` is next, whoever holds `write` writes, and the gate is let go
before the transaction begins, so that exactly one waits at the door while the others queue at the gate.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self


class WriteGate:
    """One writing connection's place in the queue; not to be shared between threads.

    flock belongs to the open file, so two gates exclude each other in one process as well as across processes.
    """

    def __init__(self, database: Path) -> None:
        self._gate = _open(database.with_name(database.name + ".gate"))
        self._write = _open(database.with_name(database.name + ".write"))

    def take(self) -> None:
        """Wait until the right to write is ours; then `leave` it within 20 ms."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._write, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def leave(self) -> None:
        """Let the next one write."""
        fcntl.flock(self._write, fcntl.LOCK_UN)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the right to write; blocks until it is ours. Keep it under 20 ms."""
        self.take()
        try:
            yield
        finally:
            self.leave()

    def close(self) -> None:
        os.close(self._gate)
        os.close(self._write)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
