"""Server-sent events, read as they arrive (HTML standard, "Event stream interpretation")."""

import re
from typing import Final

RETRY_S: Final = 1.0
RETRY_S_MAX: Final = 10.0
RETRY_DIGITS_MAX: Final = 9
ID_BYTES_MAX: Final = 1_024
_BOM: Final = b"\xef\xbb\xbf"
_MESSAGE: Final = (b"", b"message")
"""What an event is that a client looks at."""
_PLAIN: Final = re.compile(rb"(?:event: message\n)?data: (.+)\n\n")
"""What most servers send at a time: one event, whole."""
_RETURN: Final = ord("\r")


class EventTooLong(Exception):
    """An event has more bytes than are allowed for one."""


class EventReader:
    """Chunks in, the data of complete `message` events out. Nothing is held back that is complete."""

    def __init__(self, event_bytes_max: int) -> None:
        self._bytes_max = event_bytes_max
        self._line: list[bytes] = []
        """Pieces of a line whose end has not come yet."""
        self._line_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._kind = b""
        self._skips_newline = False
        """The last chunk ended in a carriage return, which a newline may still belong to."""
        self._is_first = True
        self._is_between = False
        """What comes next is the beginning of an event."""
        self.last_id: str | None = None
        """Of the last event that has one which can be sent back."""
        self.retry_s = RETRY_S
        """How long the server wants a reader to wait before it comes back."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Data of the events that `chunk` completes; raises EventTooLong."""
        if _RETURN in chunk or self._skips_newline:
            chunk = self._with_newlines(chunk)
        if self._is_between and len(chunk) <= self._bytes_max and (plain := _PLAIN.fullmatch(chunk)):
            return [plain[1]]
        events = self._feed(chunk)
        self._is_between = not (self._kind or self._data or self._line)
        return events

    def _with_newlines(self, chunk: bytes) -> bytes:
        """With each end of a line as one newline."""
        if self._skips_newline and chunk:
            self._skips_newline = False
            chunk = chunk.removeprefix(b"\n")
        if _RETURN in chunk:
            self._skips_newline = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _feed(self, chunk: bytes) -> list[bytes]:
        may_be_long = self._data_bytes + self._line_bytes + len(chunk) > self._bytes_max
        *lines, rest = chunk.split(b"\n")
        if lines and (self._line or self._is_first):
            self._complete(lines)
        events: list[bytes] = []
        for line in lines:
            if may_be_long and self._data_bytes + len(line) > self._bytes_max:
                raise EventTooLong
            if line[:6] == b"data: ":
                self._data.append(line[6:])
                self._data_bytes += len(line)
                continue
            if line:
                self._take(line)
                continue
            # Servers that can be resumed begin with an event that has an id and no data.
            data = b"\n".join(self._data)
            if data and self._kind in _MESSAGE:
                events.append(data)
            self._data.clear()
            self._data_bytes = 0
            self._kind = b""
        if rest:
            self._line.append(rest)
            self._line_bytes += len(rest)
            if self._data_bytes + self._line_bytes > self._bytes_max:
                raise EventTooLong
        return events

    def _complete(self, lines: list[bytes]) -> None:
        """What came of the first line before, and what is no part of it."""
        if self._line:
            lines[0] = b"".join((*self._line, lines[0]))
            self._line.clear()
            self._line_bytes = 0
        if self._is_first:
            self._is_first = False
            lines[0] = lines[0].removeprefix(_BOM)

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(line)
        elif name == b"event":
            self._kind = value
        elif name == b"id" and 0 < len(value) <= ID_BYTES_MAX and value.isascii():
            text = value.decode()
            self.last_id = text if text.isprintable() and text == text.strip() else self.last_id
        elif name == b"retry" and value.isdigit() and len(value) <= RETRY_DIGITS_MAX:
            self.retry_s = min(int(value) / 1_000, RETRY_S_MAX)
