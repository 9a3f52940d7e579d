"""One connection to an upstream: a request out, its answer back, and then the next.

The parser is llhttp's, in strict mode: an answer whose end is in doubt is no answer. What comes when nothing was
asked closes the connection, for it would be read as the answer to the next request.
"""

import asyncio
from collections import deque
from typing import Final, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

BUFFERED_BYTES_MAX: Final = 256 * 1024
"""Of an answer that nobody reads, before the upstream has to wait."""
_FINAL: Final = 200
"""Statuses below announce an answer and are none."""


class Lost(Exception):
    """The connection closed before the answer was complete."""


class Malformed(Exception):
    """What came is not an HTTP answer."""


class Connection(asyncio.Protocol):
    """Use it for one request at a time: `write`, `head`, then `read` until it gives nothing."""

    def __init__(self, head_bytes_max: int) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_complete = True
        """Whether the last answer was received to its end: nothing is under way."""
        self._head_bytes_max = head_bytes_max
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser = HttpResponseParser(self)
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._body_bytes = 0
        self._barren_bytes = 0
        """Since the last of the body: heads, interim answers, trailers, of which the parser keeps each line whole."""
        self._has_head = True
        self._is_paused = False
        self._is_reusable = True
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a request can be sent: nothing is under way, nothing came unasked, nobody has hung up."""
        return (
            self.is_complete
            and self._is_reusable
            and self._failure is None
            and not self._transport.is_closing()
        )

    def write(self, request: bytes) -> None:
        """Send a whole request."""
        self.status, self.headers = 0, {}
        self.is_complete = self._has_head = False
        self._barren_bytes = 0
        self._transport.write(request)

    async def head(self, within_s: float) -> None:
        """Wait for status and headers; raises Lost, Malformed, TimeoutError."""
        while not self._has_head:
            await self._wait(within_s)

    async def read(self, within_s: float) -> bytes:
        """What has come of the body, nothing at its end; raises Lost, Malformed, TimeoutError."""
        while not self._chunks and not self.is_complete:
            await self._wait(within_s)
        body = b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return body

    def forget(self) -> None:
        """Drop what was received and not read."""
        self._chunks.clear()
        self._buffered = 0
        if self._is_paused:
            self.close()

    def close(self) -> None:
        """Close in good order; at once where an answer is under way that nobody waits for."""
        self._is_reusable = False
        if self.is_complete:
            self._transport.close()
        else:
            self._transport.abort()

    async def _wait(self, within_s: float) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(within_s, self._fail, TimeoutError())
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        self._is_reusable = False
        self._transport.abort()
        self._wake()

    # From the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by their class

    def data_received(self, data: bytes) -> None:
        if self.is_complete:
            self.close()
            return
        body_bytes = self._body_bytes
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserCallbackError, HttpParserUpgrade) as error:
            failure = Malformed(str(error))
            failure.__cause__ = error
            self._fail(failure)
            return
        if self._body_bytes == body_bytes:
            self._barren_bytes += len(data)
            if self._barren_bytes > self._head_bytes_max:
                self._fail(Malformed("its head is too long"))
        elif self._buffered > BUFFERED_BYTES_MAX and not self._is_paused and not self.is_complete:
            self._is_paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_reusable = False
        if self.is_complete:
            return
        if exc is None and self._has_head and self._ends_with_connection():
            self.is_complete = True
            self._wake()
            return
        failure = Lost()
        failure.__cause__ = exc
        self._fail(failure)

    def _ends_with_connection(self) -> bool:
        """RFC 9112, section 6.3: an answer that says nothing of its length ends when the connection does."""
        return not {"content-length", "transfer-encoding"} & self.headers.keys()

    # From the parser.

    def on_message_begin(self) -> None:
        if self.is_complete:
            self._is_reusable = False  # more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self.is_complete:
            return
        self.status = self._parser.get_status_code()
        if self.status >= _FINAL:
            self._has_head = True
            self._wake()

    def on_body(self, body: bytes) -> None:
        if not self.is_complete:
            self._chunks.append(body)
            self._buffered += len(body)
            self._body_bytes += len(body)
            self._barren_bytes = 0
            self._wake()

    def on_message_complete(self) -> None:
        if not self._has_head:
            self.headers.clear()  # of an interim answer
            return
        self.is_complete = True
        self._is_reusable = self._is_reusable and self._parser.should_keep_alive()
        self._wake()
