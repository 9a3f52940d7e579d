"""One connection: requests in order, answers in order, and a deadline for whatever the client owes.

Requests are read while the one before is being answered, as far as `PIPELINED_MAX`; each is begun when the answer
before it is out. After a refusal nothing of the connection is executed any more.
"""

import asyncio
from collections import deque
from collections.abc import MutableSet
from math import inf
from typing import Any, cast

from wicket.core.errors import Refused, RpcCode
from wicket.front import asgi, exchange
from wicket.front.door import closing_cancels
from wicket.front.front import Front
from wicket.front.limits import PIPELINED_MAX, READ_BYTES, RETRY_AFTER_S, SLICE_BYTES
from wicket.front.rendering import CONTINUE, refusal, render_whole
from wicket.front.requests import BETWEEN, BODY, HEAD, Phase, Request, RequestReader
from wicket.gateway.http import Outbound


class Connection(asyncio.Protocol):
    """The server's end of a connection."""

    def __init__(
        self, front: Front, *, connections: MutableSet[Any], tasks: MutableSet[asyncio.Task[None]]
    ) -> None:
        """`connections` and `tasks` are what the process waits for before it ends."""
        self._front = front
        self._connections = connections
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Request | Outbound] = deque()
        """What is to be done in turn; an Outbound is a refusal, and the last."""
        self._request: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._unparsed: bytes | memoryview = b""
        self._is_held = False
        """Nothing more is read until there is room for it."""
        self._phase: Phase = BETWEEN
        self._phase_since_s = front.now_s
        self._is_half_open = False
        self._is_deaf = False
        """Nothing of what comes in is looked at any more."""
        self._is_stopping = False
        self._writable: asyncio.Future[None] | None = None
        """There while more waits for the client than it should."""
        self._waiting_bytes = 0
        self._comment: bytes | None = None
        """What keeps a silent stream alive, while there is one."""
        self._left: asyncio.Future[None] | None = None
        self.is_lost = False
        self.peer = ""
        self.read_by_s = front.now_s + front.limits.head_s
        self.write_by_s = inf

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        address = transport.get_extra_info("peername")
        self.peer = address[0] if isinstance(address, tuple) else ""
        self._reader = RequestReader(self._front.door, self._front.limits, self.peer)
        self._connections.add(self)
        self._is_half_open = self._front.crowd.join(self)
        if not self._is_half_open:
            self._is_deaf = True
            self._send_refusal(refusal(_no_room("too many connections: try again"), for_mcp=False))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it is gone changes nothing
        self.is_lost = self._is_deaf = True
        self._connections.discard(self)
        self._front.crowd.leave(self)
        self._queue.clear()
        self._unparsed = b""
        self.read_by_s = self.write_by_s = inf
        for waiting in (self._writable, self._left):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        self._writable = None
        if self._task is not None and self._request is not None and _leaving_cancels(self._request):
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if len(data) <= SLICE_BYTES and not self._unparsed:
            self._take(data)
        else:
            # As a view, of which slices are cut without copying the rest each time.
            self._unparsed = memoryview(bytes(self._unparsed) + data if self._unparsed else data)
            self._take_unparsed()
            if len(data) > READ_BYTES and not self._transport.is_closing():
                # There is more: libuv would go on to read megabytes before others have their turn.
                self._transport.pause_reading()
                self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._is_held and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> None:
        """Whoever stops sending has left: the transport closes."""

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        self._waiting_bytes = self._transport.get_write_buffer_size()
        self.write_by_s = self._front.now_s + self._front.limits.unread_s

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)
        self.write_by_s = self._front.now_s + self._front.limits.silence_s if self._comment else inf
        if self._task is None:
            self._advance()

    # Reading.

    def _take_unparsed(self) -> None:
        """Parse what has come, as long as there is room for what it asks."""
        while self._unparsed and not self._is_deaf and len(self._queue) < PIPELINED_MAX:
            data, self._unparsed = self._unparsed[:SLICE_BYTES], self._unparsed[SLICE_BYTES:]
            self._take(data)
        must_wait = bool(self._unparsed) and not self._is_deaf
        if must_wait and not self._is_held:
            self._transport.pause_reading()
            self.read_by_s = inf  # it is we who keep the client waiting
        elif self._is_held and not must_wait:
            self._transport.resume_reading()
            self._phase = BETWEEN  # and its time begins anew
            self._watch(self._reader)
        self._is_held = must_wait

    def _take(self, data: bytes | memoryview) -> None:
        reader = self._reader
        refused = None
        try:
            reader.feed(data)
        except Refused as error:
            refused = error
        if reader.complete:
            self._phase = BETWEEN
            self._queue.extend(reader.complete)
            if not reader.complete[-1].persists:  # what follows it is nobody's
                self._is_deaf, refused = True, None
            reader.complete.clear()
        if refused is not None:
            self._refuse(refused)
        if self._is_half_open or reader.phase is not BETWEEN:
            self._watch(reader)
        if self._task is None:
            self._advance()

    def _watch(self, reader: RequestReader) -> None:
        """Keep the time of a request that is not complete, and count what it holds."""
        front, phase = self._front, reader.phase
        if self._is_deaf or phase is BETWEEN:
            front.crowd.finish(self)
            self._is_half_open = False
            return
        if not self._is_half_open:
            front.crowd.begin(self)
            self._is_half_open = True
        if phase is not self._phase:
            self._phase, self._phase_since_s = phase, front.now_s
            limits = front.limits
            self.read_by_s = front.now_s + (limits.head_s if phase is HEAD else limits.body_s)
        if not front.crowd.hold(self, reader.held_bytes):
            self._refuse(_no_room("too many requests are under way: try again"))

    def _refuse(self, refused: Refused) -> None:
        """Answer so once all before it is answered, and listen no more."""
        self._is_deaf = True
        self._front.crowd.finish(self)
        self._is_half_open = False
        self._queue.append(refusal(refused, for_mcp=self._reader.is_for_mcp))

    # Answering.

    def _advance(self) -> None:
        """Begin with what is next, when nothing is under way and the client reads its answers."""
        if self._writable is not None or self.is_lost:
            return
        if self._queue:
            if self._phase is BETWEEN:
                self.read_by_s = inf
            self._begin(self._queue.popleft())
        elif self._unparsed:
            self._take_unparsed()
        elif self._reader.awaits_continue and not self._is_deaf:
            self._reader.awaits_continue = False
            self._transport.write(CONTINUE)
        elif self._phase is BETWEEN and self.read_by_s == inf:
            self.read_by_s = self._front.now_s + self._front.limits.keep_alive_s

    def _begin(self, item: Request | Outbound) -> None:
        if isinstance(item, Outbound):
            self._finish(item)
            return
        self._request = item
        answer = exchange.answer if item.target.is_mcp else asgi.answer
        self._task = self._loop.create_task(answer(self, self._front, item))
        self._tasks.add(self._task)

    def _finish(self, refused: Outbound) -> None:
        """Send a refusal and our end of the connection; what still comes in is dropped for a while.

        Closing at once would make the network drop the answer together with what was not read.
        """
        self._send_refusal(refused)
        self._transport.write_eof()
        self._is_stopping = True
        self.read_by_s = self._front.now_s + self._front.limits.linger_s

    def _send_refusal(self, refused: Outbound) -> None:
        body = refused.body if isinstance(refused.body, bytes) else b""
        self._transport.write(render_whole(refused, body, self._front.date, persists=False, has_body=True))

    def _close(self) -> None:
        """Close once what was written is out; a client that does not read it is cut."""
        self._is_deaf = True
        self._queue.clear()
        self.read_by_s = inf
        self.write_by_s = self._front.now_s + self._front.limits.unread_s
        self._transport.close()

    # What the two ways of answering use.

    def write(self, data: bytes) -> None:
        """Send, or drop it when nobody is there any more."""
        if not self.is_lost:
            self._transport.write(data)

    def begin_stream(self, start: bytes, comment: bytes | None) -> None:
        """An answer that comes in parts; `comment` is sent when it is silent for long."""
        self._comment = comment
        self.send_part(start)

    def send_part(self, data: bytes | memoryview) -> bool:
        """Send a part of a stream; True when `drained` must be awaited before the next."""
        if self.is_lost:
            return False
        self._transport.write(data)
        if self._writable is not None:
            return True
        if self._comment is not None:
            self.write_by_s = self._front.now_s + self._front.limits.silence_s
        return False

    async def drained(self) -> None:
        """Wait until the client has read, or has left."""
        if self._writable is not None:
            await asyncio.shield(self._writable)

    async def left(self) -> None:
        """Wait until the client has left."""
        if not self.is_lost:
            self._left = self._left or self._loop.create_future()
            await asyncio.shield(self._left)

    def answered(self, request: Request) -> None:
        """The answer is out, as far as it depends on us: go on with the next request."""
        self._release()
        if self.is_lost:
            return
        if self._is_stopping or not request.persists:
            self._close()
        else:
            self._advance()

    def broken(self) -> None:
        """The answer cannot be brought to its end: no end is pretended."""
        self._release()
        self.drop()

    def _release(self) -> None:
        if self._task is not None:
            self._tasks.discard(self._task)
        self._task = self._request = self._comment = None
        if self._writable is None:
            self.write_by_s = inf

    # Deadlines, and the end of the process.

    @property
    def idle_until_s(self) -> float | None:
        """How long it may stay when nothing is under way; None while something is."""
        is_asking = self._task is not None or self._queue or self._is_half_open
        is_idle = not is_asking and not self._transport.get_write_buffer_size()
        return self.read_by_s if is_idle else None

    def look(self, now_s: float) -> None:
        """Do what a deadline that has passed asks for."""
        if self.read_by_s <= now_s:
            self._look_at_reading(now_s)
        if self.write_by_s <= now_s and not self.is_lost:
            self._look_at_writing(now_s)

    def _look_at_reading(self, now_s: float) -> None:
        self.read_by_s = inf
        if self._is_stopping:
            self.drop()
        elif self._phase is BETWEEN:
            self._close()
        elif self._phase is BODY and now_s < (until_s := self._body_until_s()):
            self.read_by_s = until_s
        else:
            self._refuse(_too_slow())
            if self._task is None:
                self._advance()

    def _body_until_s(self) -> float:
        """A body that comes at a fair rate has the time that it takes."""
        limits = self._front.limits
        return self._phase_since_s + limits.body_s + self._reader.held_bytes / limits.body_bytes_per_s_min

    def _look_at_writing(self, now_s: float) -> None:
        limits, waiting_bytes = self._front.limits, self._transport.get_write_buffer_size()
        if self._writable is None and self._comment is not None and not self._transport.is_closing():
            self.send_part(self._comment)
        elif self._writable is not None and self._waiting_bytes - waiting_bytes >= limits.unread_bytes_min:
            self._waiting_bytes, self.write_by_s = waiting_bytes, now_s + limits.unread_s
        else:
            self.drop()

    def drop(self) -> None:
        """Close at once, and lose what was not sent yet."""
        self._is_deaf = True
        self._queue.clear()
        self._transport.abort()

    def shutdown(self) -> None:
        """The process is about to end: finish what is under way, and ask nothing more."""
        self._front.drain()
        if self._is_stopping:
            return
        self._is_deaf = self._is_stopping = True
        self._queue.clear()
        self._front.crowd.finish(self)
        self._is_half_open = False
        if self._task is None:
            self._close()


def _leaving_cancels(request: Request) -> bool:
    """In the modern era, and for what only ever waits; what else was asked is brought to its end."""
    inbound = request.inbound
    return request.target.is_mcp and (inbound.method != "POST" or closing_cancels(inbound.headers))


def _no_room(sentence: str) -> Refused:
    return Refused(sentence, rpc_code=RpcCode.INTERNAL_ERROR, status=503, retry_after_s=RETRY_AFTER_S)


def _too_slow() -> Refused:
    return Refused(
        "the request did not arrive in time: send it again", rpc_code=RpcCode.INVALID_REQUEST, status=408
    )
