"""One connection to an upstream: a request out, its answer back, and then the next.

The parser is llhttp's, in strict mode: an answer whose end is in doubt is no answer. What comes when nothing was
asked closes the connection, for it would be read as the answer to the next request.

Whoever reads a body gives a function that is called as it comes, from the event loop: a task is woken for what needs
one, and not for each piece of a stream.

Who waits is given up by a watchdog: one timer that goes on from request to request, and is set anew only when it
rings too early.
"""

import asyncio
from math import inf
from typing import Final, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from wicket.runtime.wire.values import Heard

BUFFERED_BYTES_MAX: Final = 256 * 1024
"""Of an answer that nobody reads, before the upstream has to wait."""
_FINAL: Final = 200
"""Statuses below announce an answer and are none."""


class Lost(Exception):
    """The connection closed before the answer was complete."""


class Malformed(Exception):
    """What came is not an HTTP answer."""


class Connection(asyncio.Protocol):
    """Use it for one request at a time: `write`, wait for `news` until it `has_head`, then `hear` and `take`."""

    def __init__(self, head_bytes_max: int) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.has_head = True
        """Whether status and headers of the answer are there."""
        self.is_complete = True
        """Whether the last answer was received to its end: nothing is under way."""
        self._head_bytes_max = head_bytes_max
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._chunks: list[bytes] = []
        self.on_body = self._chunks.append
        """The parser's way to put aside what has come of the body, without a step of ours."""
        self._parser = HttpResponseParser(self)
        self._barren_bytes = 0
        """Since the last of the body: heads, interim answers, trailers, of which the parser keeps each line whole."""
        self._has_news = False
        self._is_paused = False
        self._is_reusable = True
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._heard: Heard | None = None
        """Of who waits: called before they are woken, and maybe instead."""
        self._heard_at_s = 0.0
        """Since when they wait for more."""
        self._patience_s = self._ends_at_s = inf
        self._watchdog: asyncio.TimerHandle | None = None
        self._rings_at_s = inf

    @property
    def is_usable(self) -> bool:
        """Whether a request can be sent: nothing is under way, nothing came unasked, nobody has hung up."""
        return self.is_complete and self._is_reusable and not self._transport.is_closing()

    def write(self, request: bytes) -> None:
        """Send a request; of a long one the beginning."""
        self.status, self.headers = 0, {}
        self.is_complete = self.has_head = False
        self._barren_bytes = 0
        self._transport.write(request)

    def write_more(self, part: bytes | memoryview) -> bool:
        """Send more of a request; False where it is answered or lost already, and nothing more is sent.

        The upstream would take the next request for the rest of this one: the connection is not used again.
        """
        if self.has_head or self._failure is not None:
            self._is_reusable = False
            return False
        self._transport.write(part)
        return True

    def news(
        self, within_s: float, ends_at_s: float = inf, heard: Heard | None = None
    ) -> asyncio.Future[None]:
        """To be awaited: the head, more of the body, or its end; with `heard`, what that answers True to.

        `ends_at_s` is an instant of the event loop's clock, beyond which nobody waits. Raises what has ended it:
        Lost, Malformed, TimeoutError; and what `heard` raises.
        """
        if self._failure is not None:
            raise self._failure
        now_s = self._loop.time()
        if now_s >= ends_at_s:
            raise TimeoutError
        self._heard_at_s, self._patience_s, self._ends_at_s = now_s, within_s, ends_at_s
        if (until_s := min(now_s + within_s, ends_at_s)) < self._rings_at_s:
            self._watch(until_s)
        self._heard = heard
        self._waiter = self._loop.create_future()
        return self._waiter

    async def hear(self, within_s: float, ends_at_s: float, heard: Heard) -> None:
        """Call `heard` when there is something to `take`, now and later, until it answers True or the body ends.

        Raises as `news` does.
        """
        if self._chunks or self.is_complete:
            if not self.is_complete and self._loop.time() >= ends_at_s:
                raise TimeoutError  # whoever is never waited for ends, too
            if heard() or self.is_complete:
                return
        await self.news(within_s, ends_at_s, heard)

    def take(self) -> bytes:
        """What has come of the body since the last time."""
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return body

    def forget(self) -> None:
        """Drop what was received and not read, and call nobody any more."""
        self._heard = None
        self._chunks.clear()
        if self._is_paused:
            self.close()

    def close(self) -> None:
        """Close in good order; at once where an answer is under way that nobody waits for."""
        self._is_reusable = False
        if self.is_complete:
            self._transport.close()
        else:
            self._transport.abort()

    def _watch(self, until_s: float) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._rings_at_s = until_s
        self._watchdog = self._loop.call_at(until_s, self._look)

    def _look(self) -> None:
        """Give up for who waits, unless it has heard something meanwhile."""
        self._rings_at_s = inf
        if self._waiter is None or self._waiter.done():
            return
        until_s = min(self._heard_at_s + self._patience_s, self._ends_at_s)
        if self._loop.time() < until_s:
            self._watch(until_s)
        else:
            self._fail(TimeoutError())

    def _tell(self) -> None:
        """Whoever waits hears of what has come, and is woken where that is not all there is to do."""
        self._has_news = False
        waiter, heard = self._waiter, self._heard
        if waiter is None or waiter.done():
            return
        if heard is not None:
            try:
                is_enough = heard() or self.is_complete
            except Exception as error:  # noqa: BLE001 - whatever it is, it is theirs who wait
                self._wake(error)
                return
            if not is_enough:
                self._heard_at_s = self._loop.time()
                return
        self._wake()

    def _wake(self, failure: Exception | None = None) -> None:
        waiter, self._waiter, self._heard = self._waiter, None, None
        if waiter is None or waiter.done():
            return
        if failure is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(failure)

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        self._is_reusable = False
        self._transport.abort()
        self._wake(self._failure)

    # From the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by their class

    def data_received(self, data: bytes) -> None:
        if self.is_complete:
            self.close()
            return
        chunks = self._chunks
        had = len(chunks)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserCallbackError, HttpParserUpgrade) as error:
            self._is_reusable = False
            if not self.is_complete:
                failure = Malformed(str(error))
                failure.__cause__ = error
                self._fail(failure)
                return
        if len(chunks) > had:
            self._has_news = True
            self._barren_bytes = 0
        else:
            self._barren_bytes += len(data)
            if self._barren_bytes > self._head_bytes_max:
                self._fail(Malformed("its head is too long"))
                return
        if self._has_news:
            self._tell()
        if chunks and not (self._is_paused or self.is_complete) and _size(chunks) > BUFFERED_BYTES_MAX:
            self._is_paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_reusable = False
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self.is_complete:
            return
        if exc is None and self.has_head and self._ends_with_connection():
            self.is_complete = True
            self._tell()
            return
        failure = Lost()
        failure.__cause__ = exc
        self._fail(failure)

    def _ends_with_connection(self) -> bool:
        """RFC 9112, section 6.3: an answer that says nothing of its length ends when the connection does."""
        return not {b"content-length", b"transfer-encoding"} & self.headers.keys()

    # From the parser.

    def on_message_begin(self) -> None:
        if self.is_complete:
            raise Malformed("more than was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_head:
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= _FINAL:
            self.has_head = self._has_news = True

    def on_message_complete(self) -> None:
        if not self.has_head:
            self.headers.clear()  # of an interim answer
            return
        self._has_news = self.is_complete = True
        self._is_reusable = self._is_reusable and self._parser.should_keep_alive()


def _size(chunks: list[bytes]) -> int:
    return sum(map(len, chunks))
