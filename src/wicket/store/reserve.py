"""Room on the disk that is kept for the kill switch: a file of 1 MiB beside the database, given up when it is full.

Whoever gives it up holds the turn to write (gate.py) until its change is committed, so that nobody else takes what
became free.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 1024 * 1024
ROOM_BYTES_MIN: Final = 16 * RESERVE_BYTES
"""It is made where there is so much room: filling up the disk would stop what it is there to help."""


class Reserve:
    """The reserve of one SQLite file. Make it and give it up in your turn to write."""

    def __init__(self, database: Path) -> None:
        self._file = database.with_name(database.name + ".reserve")

    @property
    def is_whole(self) -> bool:
        """Whether there is something to give up."""
        try:
            return self._file.stat().st_size == RESERVE_BYTES
        except OSError:
            return False

    def keep(self) -> None:
        """Make it where it is missing and there is room."""
        if self.is_whole:
            return
        with suppress(OSError):
            if shutil.disk_usage(self._file.parent).free >= ROOM_BYTES_MIN:
                self._fill()

    def _fill(self) -> None:
        try:
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                # Noise: what compresses, or is all zeros, takes no room on some file systems.
                os.write(descriptor, os.urandom(RESERVE_BYTES))
            finally:
                os.close(descriptor)
        finally:
            if not self.is_whole:
                self._file.unlink(missing_ok=True)

    def give_up(self) -> bool:
        """Free its room; False when there was none to free."""
        is_there = self.is_whole
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
            return is_there
        return False
