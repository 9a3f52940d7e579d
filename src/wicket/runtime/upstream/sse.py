"""Server-sent events, read as they arrive (HTML standard, "Event stream interpretation")."""

from collections.abc import Iterator
from typing import Final

RETRY_S: Final = 1.0
RETRY_S_MAX: Final = 10.0
RETRY_DIGITS_MAX: Final = 9
ID_BYTES_MAX: Final = 1_024
_BOM: Final = b"\xef\xbb\xbf"


class EventTooLong(Exception):
    """An event has more bytes than are allowed for one."""


class EventReader:
    """Chunks in, the data of complete `message` events out. Nothing is held back that is complete."""

    def __init__(self, event_bytes_max: int) -> None:
        self._bytes_max = event_bytes_max
        self._line: list[bytes] = []
        """Pieces of a line whose end has not come yet."""
        self._data: list[bytes] = []
        self._kind = b""
        self._line_bytes = 0
        self._data_bytes = 0
        self._skips_newline = False
        """The last chunk ended in a carriage return, which a newline may still belong to."""
        self._is_first = True
        self.last_id: str | None = None
        """Of the last event that has one which can be sent back."""
        self.retry_s = RETRY_S
        """How long the server wants a reader to wait before it comes back."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Data of the events that `chunk` completes; raises EventTooLong."""
        if self._skips_newline and chunk:
            chunk = chunk.removeprefix(b"\n")
        self._skips_newline = chunk.endswith(b"\r") if chunk else self._skips_newline
        for piece in chunk.splitlines(keepends=True):
            self._line_bytes += len(piece)
            if self._line_bytes + self._data_bytes > self._bytes_max:
                raise EventTooLong
            if not piece.endswith((b"\n", b"\r")):
                self._line.append(piece)
                continue
            self._line.append(piece.rstrip(b"\r\n"))
            line = b"".join(self._line)
            self._line.clear()
            self._line_bytes = 0
            if (data := self._take(line)) is not None:
                yield data

    def _take(self, line: bytes) -> bytes | None:
        """One whole line; the event's data where it is the empty one that ends a `message` event."""
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._end()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
        elif name == b"event":
            self._kind = value
        elif name == b"id" and 0 < len(value) <= ID_BYTES_MAX and value.isascii():
            text = value.decode()
            self.last_id = text if text.isprintable() and text == text.strip() else self.last_id
        elif name == b"retry" and value.isdigit() and len(value) <= RETRY_DIGITS_MAX:
            self.retry_s = min(int(value) / 1_000, RETRY_S_MAX)
        return None

    def _end(self) -> bytes | None:
        data, kind = b"\n".join(self._data), self._kind
        self._data.clear()
        self._kind = b""
        self._data_bytes = 0
        # Servers that can be resumed begin with an event that has an id and no data.
        return data if data and kind in {b"", b"message"} else None
