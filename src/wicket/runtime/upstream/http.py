"""Requests to upstreams over a wire: one POST each, answered with JSON or with a stream of events."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Final

from wicket.core.errors import RpcCode, UpstreamFailed
from wicket.core.jsonrpc import (
    Era,
    MessageFromUpstream,
    PostedResponse,
    Request,
    parse_response,
    render_error,
    render_result,
)
from wicket.runtime.upstream.envelope import (
    CLIENT_NAME,
    Link,
    base_headers,
    cancellation,
    content_type,
    request_body,
    request_headers,
    response_body,
)
from wicket.runtime.upstream.sse import EventReader, EventTooLong
from wicket.runtime.upstream.values import Outgoing, Target, UpstreamLimits, credential_rejected
from wicket.runtime.wire import Wire, WireRequest, WireResponse, broken, timed_out

RESUMES_MAX: Final = 100
"""How often an upstream may end a stream and have us come back for the rest."""
UNAUTHORIZED: Final = 401
NOT_FOUND: Final = 404
OK: Final = 200
REDIRECTS: Final = range(300, 400)
FAILURES: Final = range(400, 600)
RETRY_AFTER_MAX_S: Final = 3_600
TYPE_SHOWN_MAX: Final = 60


class SessionGone(Exception):
    """The upstream does not know the session, so it has not looked at the request."""


class HttpTransport:
    """Opens exchanges. `first_id` is random, so that a late answer to an earlier process matches nothing."""

    def __init__(self, wire: Wire, *, limits: UpstreamLimits, client_version: str, first_id: int) -> None:
        self._wire = wire
        self._limits = limits
        self._client_version = client_version
        self._agent = f"{CLIENT_NAME}/{client_version}"
        self._ids = count(first_id)
        self._notes: set[asyncio.Task[None]] = set()

    async def open(self, target: Target, link: Link, outgoing: Outgoing) -> "HttpExchange":
        """Send at most once, and return when the head of the answer is there.

        Raises UpstreamFailed, SessionGone, and what `before_first_byte` raises.
        """
        request_id = next(self._ids)
        is_sent = False

        async def before() -> None:
            nonlocal is_sent
            if outgoing.before_first_byte is not None:
                await outgoing.before_first_byte()
            is_sent = True

        request = WireRequest(
            url=target.connector.url,
            headers=request_headers(outgoing, link, target.credential, self._agent),
            body=request_body(outgoing, link, request_id, self._client_version),
            timeout_s=outgoing.timeout_s,
            service=target.connector.key,
            response_bytes_max=self._limits.stream_bytes_max,
        )
        try:
            response = await self._wire.send(request, before_first_byte=before)
        except (asyncio.CancelledError, UpstreamFailed):
            if is_sent:
                self.cancel(target, link, outgoing, request_id)
            raise
        exchange = HttpExchange(self, target, link, outgoing, request_id, response, self._limits)
        await exchange.check()
        return exchange

    async def post(self, target: Target, link: Link, body: bytes) -> None:
        """Send what has no answer; raises UpstreamFailed where it is not accepted."""
        request = WireRequest(
            url=target.connector.url,
            headers=base_headers(link, target.credential, self._agent),
            body=body,
            timeout_s=self._limits.list_timeout_s,
            service=target.connector.key,
        )
        response = await self._wire.send(request)
        # Whatever else it says is nothing that we asked for.
        await response.aclose()
        if response.status in FAILURES or response.status in REDIRECTS:
            raise _failed(target.connector.key, response)

    async def attend(
        self,
        target: Target,
        link: Link,
        *,
        last_event_id: str | None = None,
        timeout_s: float | None = None,
    ) -> WireResponse | None:
        """The stream of what a legacy upstream says of its own accord; None where it offers none.

        With `last_event_id` it is the rest of the stream that the event was on.
        """
        headers = base_headers(link, target.credential, self._agent)
        del headers["Content-Type"]
        resumed = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        request = WireRequest(
            url=target.connector.url,
            headers=headers | {"Accept": "text/event-stream"} | resumed,
            body=b"",
            timeout_s=timeout_s or self._limits.standing_timeout_s,
            service=target.connector.key,
            response_bytes_max=self._limits.stream_bytes_max,
            method="GET",
        )
        response = await self._wire.send(request)
        if response.status == OK and content_type(response.headers) == "text/event-stream":
            return response
        await response.aclose()
        return None

    def leave(self, target: Target, link: Link) -> None:
        """End a legacy session that nobody will use again, without waiting."""
        headers = base_headers(link, target.credential, self._agent)
        del headers["Content-Type"]
        request = WireRequest(
            url=target.connector.url,
            headers=headers,
            body=b"",
            timeout_s=self._limits.list_timeout_s,
            service=target.connector.key,
            method="DELETE",
        )

        async def end() -> None:
            await (await self._wire.send(request)).aclose()

        self._aside(end)

    def cancel(self, target: Target, link: Link, outgoing: Outgoing, request_id: int) -> None:
        """Tell a legacy upstream that an answer is not waited for; closing the stream tells a modern one."""
        if link.era is Era.LEGACY and outgoing.method != "initialize":
            self.note(target, link, cancellation(request_id))

    def note(self, target: Target, link: Link, body: bytes) -> None:
        """Post without waiting, and without caring."""
        self._aside(lambda: self.post(target, link, body))

    def drain(self, response: WireResponse) -> None:
        """Read a stream to the end that should be at hand, for its connection's sake."""
        self._aside(lambda: _drained(response, self._limits.drain_s))

    def _aside(self, do: Callable[[], Awaitable[None]]) -> None:
        if len(self._notes) < self._limits.notes_max:
            task = asyncio.create_task(_ignoring_failures(do))
            self._notes.add(task)
            task.add_done_callback(self._notes.discard)

    async def stop(self) -> None:
        """Drop what nobody waits for."""
        notes = tuple(self._notes)
        for task in notes:
            task.cancel()
        await asyncio.gather(*notes, return_exceptions=True)


class HttpExchange:
    """Implements `Exchange`."""

    def __init__(
        self,
        transport: HttpTransport,
        target: Target,
        link: Link,
        outgoing: Outgoing,
        request_id: int,
        response: WireResponse,
        limits: UpstreamLimits,
    ) -> None:
        self.request_id = request_id
        self.status = response.status
        self.era = link.era
        self.headers = response.headers
        self._transport = transport
        self._target = target
        self._service = target.connector.key
        self._link = link
        self._outgoing = outgoing
        self._response = response
        self._limits = limits
        self._refused: PostedResponse | None = None
        self._is_stream = content_type(response.headers) == "text/event-stream"
        self._chunks = response.chunks
        self._reader = EventReader(limits.event_bytes_max)
        self._events: deque[bytes] = deque()
        self._resumes_left = RESUMES_MAX

    async def check(self) -> None:
        """Whether the head belongs to an answer at all; closes the exchange where it does not."""
        try:
            await self._check()
        except BaseException:
            await self._response.aclose()
            raise

    async def _check(self) -> None:
        if self.status == UNAUTHORIZED:
            raise credential_rejected(self._service)
        if self.status == NOT_FOUND and self._link.session_id is not None:
            raise SessionGone
        if self.status in FAILURES:
            self._refused = await self._find_refusal()
            if self._refused is None:
                raise _failed(self._service, self._response)
        elif self.status != OK:
            raise _failed(self._service, self._response)
        elif not self._is_stream and content_type(self.headers) != "application/json":
            kind = ascii(content_type(self.headers)[:TYPE_SHOWN_MAX])
            raise broken(self._service, f"its answer is {kind} instead of JSON or a stream of events")

    async def _find_refusal(self) -> PostedResponse | None:
        """The JSON-RPC error behind a failing status, when it is about our request."""
        if content_type(self.headers) != "application/json":
            return None
        try:
            message = await self._read_body()
        except UpstreamFailed:
            return None
        is_ours = isinstance(message, PostedResponse) and message.id == self.request_id
        return message if is_ours and isinstance(message, PostedResponse) else None

    async def receive(self) -> MessageFromUpstream:
        """See `Exchange`."""
        if self._refused is not None:
            return self._refused
        if not self._is_stream:
            return await self._read_body()
        if self._events:
            await asyncio.sleep(0)  # many came at once: others take their turn between any two of them
        while not self._events:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                await self._resume()
            else:
                self._feed(chunk)
        return self._parsed(self._events.popleft())

    async def _resume(self) -> None:
        """Come back to a stream that a legacy upstream ended before its answer; nothing is sent a second time.

        MCP 2025-11-25, basic/transports, "Resumability and Redelivery".
        """
        last_id, self._resumes_left = self._reader.last_id, self._resumes_left - 1
        if self._link.era is Era.MODERN or last_id is None or self._resumes_left < 0:
            raise broken(self._service, "its stream ended without an answer")
        await asyncio.sleep(self._reader.retry_s)
        timeout_s = self._outgoing.timeout_s
        response = await self._transport.attend(
            self._target, self._link, last_event_id=last_id, timeout_s=timeout_s
        )
        if response is None:
            raise broken(self._service, "its stream ended without an answer and is not continued")
        await self._response.aclose()
        self._response, self._chunks = response, response.chunks
        retry_s, self._reader = self._reader.retry_s, EventReader(self._limits.event_bytes_max)
        self._reader.last_id, self._reader.retry_s = last_id, retry_s

    def _feed(self, chunk: bytes) -> None:
        try:
            self._events.extend(self._reader.feed(chunk))
        except EventTooLong as error:
            raise broken(
                self._service, f"an event is longer than {self._limits.event_bytes_max} bytes"
            ) from error

    async def _read_body(self) -> MessageFromUpstream:
        try:
            async with asyncio.timeout(max(self._limits.body_s_max, self._outgoing.timeout_s)):
                pieces = [piece async for piece in self._bounded()]
        except TimeoutError as error:
            raise timed_out(self._service, self._limits.body_s_max) from error
        return self._parsed(b"".join(pieces))

    async def _bounded(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._chunks:
            size += len(chunk)
            if size > self._limits.body_bytes_max:
                raise broken(self._service, f"its answer is longer than {self._limits.body_bytes_max} bytes")
            yield chunk

    def _parsed(self, body: bytes) -> MessageFromUpstream:
        try:
            return parse_response(body)
        except UpstreamFailed as failed:
            raise broken(self._service, failed.sentence) from failed

    async def refuse(self, request: Request) -> None:
        """See `Exchange`."""
        if request.method == "ping":
            body = render_result(request.id, {})
        else:
            body = render_error(
                request.id, RpcCode.METHOD_NOT_FOUND, f"`{request.method}` is not served here"
            )
        self._transport.note(self._target, self._link, body)

    async def respond(self, request: Request, response: PostedResponse) -> None:
        """See `Exchange`."""
        await self._transport.post(self._target, self._link, response_body(request, response))

    async def end(self, *, is_answered: bool) -> None:
        """See `Exchange`."""
        if is_answered and self._is_stream:
            self._transport.drain(self._response)
            return
        await self._response.aclose()
        if not is_answered:
            self._transport.cancel(self._target, self._link, self._outgoing, self.request_id)


async def _drained(response: WireResponse, limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s):
            async for _ in response.chunks:
                pass
    except TimeoutError:
        return
    finally:
        await response.aclose()


async def _ignoring_failures(do: Callable[[], Awaitable[None]]) -> None:
    try:
        await do()
    except UpstreamFailed:
        return


def _failed(service: str, response: WireResponse) -> UpstreamFailed:
    status = response.status
    if status in REDIRECTS:
        why = f"it answered with a redirect (HTTP {status}), which is not followed"
        return broken(service, why, upstream_status=status)
    waits = response.headers.get("retry-after", "")
    if waits.isascii() and waits.isdigit() and len(waits) <= len(str(RETRY_AFTER_MAX_S)):
        retry_after_s = min(int(waits), RETRY_AFTER_MAX_S)
        return broken(service, f"HTTP {status}", upstream_status=status, retry_after_s=retry_after_s)
    return broken(service, f"HTTP {status}", upstream_status=status)
