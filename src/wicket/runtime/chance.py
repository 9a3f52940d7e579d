"""Random bytes of the system in large helpings: asking for them lets other threads go first, at every call."""

import os
from typing import Final

HELPING_BYTES: Final = 4_096


class Chance:
    """Gives out bytes of `os.urandom`, each but once. For ids, not for keys: what is left lies in memory."""

    def __init__(self) -> None:
        self._bytes = b""
        self._given = 0
        os.register_at_fork(after_in_child=self._forget)  # or parent and child would give out the same

    def __call__(self, count: int) -> bytes:
        begin, self._given = self._given, self._given + count
        if self._given > len(self._bytes):
            self._bytes, begin, self._given = os.urandom(max(HELPING_BYTES, count)), 0, count
        return self._bytes[begin : self._given]

    def _forget(self) -> None:
        self._bytes, self._given = b"", 0
