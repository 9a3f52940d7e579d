"""Requests to upstreams over a wire: one POST each, answered with JSON or with a stream of events."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Final

from wicket.core.errors import RpcCode, UpstreamFailed
from wicket.core.jsonrpc import (
    SHORT_BYTES,
    Era,
    MessageFromUpstream,
    PostedResponse,
    Request,
    parse_response,
    parse_response_in_steps,
    render_error,
    render_result,
)
from wicket.runtime.turns import in_turns
from wicket.runtime.upstream.envelope import (
    CLIENT_NAME,
    Link,
    cancellation,
    content_type,
    request_body,
    response_body,
    routing_lines,
)
from wicket.runtime.upstream.sse import EventReader, EventTooLong
from wicket.runtime.upstream.statuses import FAILURES, REDIRECTS, failed_by
from wicket.runtime.upstream.values import Outgoing, Take, Target, UpstreamLimits, credential_rejected
from wicket.runtime.wire import (
    HeaderLines,
    Wire,
    WireRequest,
    WireResponse,
    broken,
    header_lines,
    overdue,
)

RESUMES_MAX: Final = 100
"""How often an upstream may end a stream and have us come back for the rest."""
UNAUTHORIZED: Final = 401
NOT_FOUND: Final = 404
OK: Final = 200
EVENTS_AT_ONCE: Final = 16
"""Of one stream, before others take their turn."""
TYPE_SHOWN_MAX: Final = 60
JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"
_POSTED: Final = header_lines({"Accept": f"{JSON}, {EVENT_STREAM}", "Content-Type": JSON})


class SessionGone(Exception):
    """The upstream does not know the session, so it has not looked at the request."""


class HttpTransport:
    """Opens exchanges. `first_id` is random, so that a late answer to an earlier process matches nothing."""

    def __init__(self, wire: Wire, *, limits: UpstreamLimits, client_version: str, first_id: int) -> None:
        self._wire = wire
        self._limits = limits
        self._client_version = client_version
        self._agent = header_lines({"User-Agent": f"{CLIENT_NAME}/{client_version}"})
        self._posted = HeaderLines(_POSTED + self._agent)
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

        try:
            request = self._request(target, link, outgoing, request_id)
            response = await self._wire.send(request, before_first_byte=before)
        except (asyncio.CancelledError, UpstreamFailed):
            if is_sent:
                self.cancel(target, link, outgoing, request_id)
            raise
        exchange = HttpExchange(self, target, link, outgoing, request_id, response, self._limits)
        if response.status != OK or exchange.kind not in {JSON, EVENT_STREAM}:
            await exchange.check()
        return exchange

    def _request(self, target: Target, link: Link, outgoing: Outgoing, request_id: int) -> WireRequest:
        lines = self._posted + _lines_of(target, link)
        if link.era is Era.MODERN:
            lines += routing_lines(outgoing)
        return WireRequest(
            url=target.connector.url,
            headers=HeaderLines(lines),
            body=request_body(outgoing, link, request_id, self._client_version),
            timeout_s=outgoing.timeout_s,
            service=target.connector.key,
            response_bytes_max=self._limits.stream_bytes_max,
        )

    async def post(self, target: Target, link: Link, body: bytes) -> None:
        """Send what has no answer; raises UpstreamFailed where it is not accepted."""
        request = WireRequest(
            url=target.connector.url,
            headers=HeaderLines(self._posted + _lines_of(target, link)),
            body=body,
            timeout_s=self._limits.list_timeout_s,
            service=target.connector.key,
        )
        response = await self._wire.send(request)
        # Whatever else it says is nothing that we asked for.
        response.close()
        if response.status in FAILURES or response.status in REDIRECTS:
            raise failed_by(target.connector.key, response)

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
        asked = {"Accept": EVENT_STREAM}
        if last_event_id is not None:
            asked["Last-Event-ID"] = last_event_id
        request = WireRequest(
            url=target.connector.url,
            headers=HeaderLines(header_lines(asked) + self._agent + _lines_of(target, link)),
            body=b"",
            timeout_s=timeout_s or self._limits.standing_timeout_s,
            service=target.connector.key,
            response_bytes_max=self._limits.stream_bytes_max,
            method="GET",
        )
        response = await self._wire.send(request)
        if response.status == OK and content_type(response.headers) == EVENT_STREAM:
            return response
        response.close()
        return None

    def leave(self, target: Target, link: Link) -> None:
        """End a legacy session that nobody will use again, without waiting."""
        request = WireRequest(
            url=target.connector.url,
            headers=HeaderLines(self._agent + _lines_of(target, link)),
            body=b"",
            timeout_s=self._limits.list_timeout_s,
            service=target.connector.key,
            method="DELETE",
        )

        async def end() -> None:
            (await self._wire.send(request)).close()

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
        if not self._aside(lambda: _drained(response, self._limits.drain_s)):
            response.close()

    def _aside(self, do: Callable[[], Awaitable[None]]) -> bool:
        """Begin, and answer whether there was room for it."""
        if len(self._notes) >= self._limits.notes_max:
            return False
        task = asyncio.create_task(_ignoring_failures(do))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)
        return True

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
        self.era = link.era
        self.status = response.status
        self.headers = response.headers
        self.kind = content_type(response.headers)
        """Media type of the answer."""
        self._transport = transport
        self._target = target
        self._service = target.connector.key
        self._link = link
        self._outgoing = outgoing
        self._response = response
        self._limits = limits
        self._refused: PostedResponse | None = None
        self._reader: EventReader | None = None
        """None: the answer is no stream."""
        self._events: deque[bytes] = deque()
        self._resumes_left = RESUMES_MAX
        within_s = outgoing.timeout_s if outgoing.within_s is None else outgoing.within_s
        if self.kind == EVENT_STREAM:
            self._reader = EventReader(limits.event_bytes_max)
        elif limits.body_s_max < within_s and outgoing.timeout_s < within_s:
            within_s = max(limits.body_s_max, outgoing.timeout_s)
        response.ends_at_s = asyncio.get_running_loop().time() + within_s

    async def check(self) -> None:
        """Whether a head that is not quite as it should be belongs to an answer all the same; raises where not."""
        try:
            await self._check()
        except BaseException:
            self._response.close()
            raise

    async def _check(self) -> None:
        if self.status == UNAUTHORIZED:
            raise credential_rejected(self._service)
        if self.status == NOT_FOUND and self._link.session_id is not None:
            raise SessionGone
        if self.status == OK:
            shown = ascii(self.kind[:TYPE_SHOWN_MAX])
            raise broken(self._service, f"its answer is {shown} instead of JSON or a stream of events")
        if self.status not in FAILURES or self.kind != JSON or not await self._has_refusal():
            raise failed_by(self._service, self._response)

    async def _has_refusal(self) -> bool:
        """Whether there is a JSON-RPC error behind a failing status, and it is about our request."""
        try:
            message = await self._document()
        except UpstreamFailed:
            return False
        if isinstance(message, PostedResponse) and message.id == self.request_id:
            self._refused = message
        return self._refused is not None

    async def pass_on(self, take: Take[MessageFromUpstream]) -> None:
        """See `Exchange`."""
        if self._reader is None:
            while not take(iter((await self._document(),))):
                continue
            return
        is_enough = False

        def heard() -> bool:
            nonlocal is_enough
            is_enough = take(self._at_hand())
            return is_enough or bool(self._events)

        while not is_enough:
            if self._events:
                await asyncio.sleep(0)  # many came at once: others take their turn
                heard()
            elif self._response.is_over:
                await self._resume(self._reader)
            else:
                await self._response.hear(heard)

    async def _document(self) -> MessageFromUpstream:
        """What an answer that is no stream says."""
        if self._refused is not None:
            return self._refused
        if self._response.is_over:
            raise broken(self._service, "its answer is no answer to the request")
        body = await self._response.read(self._limits.body_bytes_max)
        if len(body) <= SHORT_BYTES:
            return self._parsed(body)
        try:
            return await in_turns(parse_response_in_steps(body))
        except UpstreamFailed as failed:
            raise broken(self._service, failed.sentence) from failed

    def _at_hand(self) -> Iterator[MessageFromUpstream]:
        """What has come, as far as it is fair to look at it at once."""
        events, reader = self._events, self._reader
        if not events and reader is not None:
            try:
                events.extend(reader.feed(self._response.take()))
            except EventTooLong as error:
                sentence = f"an event is longer than {self._limits.event_bytes_max} bytes"
                raise broken(self._service, sentence) from error
        for _ in range(min(len(events), EVENTS_AT_ONCE)):
            yield self._parsed(events.popleft())

    async def _resume(self, reader: EventReader) -> None:
        """Come back to a stream that a legacy upstream ended before its answer; nothing is sent a second time.

        MCP 2025-11-25, basic/transports, "Resumability and Redelivery".
        """
        last_id, self._resumes_left = reader.last_id, self._resumes_left - 1
        if self._link.era is Era.MODERN or last_id is None or self._resumes_left < 0:
            raise broken(self._service, "its stream ended without an answer")
        ends_at_s = self._response.ends_at_s
        left_s = ends_at_s - asyncio.get_running_loop().time() - reader.retry_s
        if left_s <= 0:
            raise overdue(self._service)
        await asyncio.sleep(reader.retry_s)
        response = await self._transport.attend(
            self._target,
            self._link,
            last_event_id=last_id,
            timeout_s=min(self._outgoing.timeout_s, left_s),
        )
        if response is None:
            raise broken(self._service, "its stream ended without an answer and is not continued")
        self._response.close()
        self._response = response
        response.ends_at_s = ends_at_s
        self._reader = resumed = EventReader(self._limits.event_bytes_max)
        resumed.last_id, resumed.retry_s = last_id, reader.retry_s

    def _parsed(self, body: bytes) -> MessageFromUpstream:
        try:
            return parse_response(body)
        except UpstreamFailed as failed:
            raise broken(self._service, failed.sentence) from failed

    def refuse(self, request: Request) -> None:
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

    def end(self, *, is_answered: bool) -> None:
        """See `Exchange`."""
        if is_answered and not self._response.is_over and self._reader is not None:
            self._transport.drain(self._response)
            return
        self._response.close()
        if not is_answered:
            self._transport.cancel(self._target, self._link, self._outgoing, self.request_id)


def _lines_of(target: Target, link: Link) -> bytes:
    """Of every request: whom it is from, and what was agreed on."""
    return link.lines if target.credential is None else link.lines + target.credential.lines


async def _drained(response: WireResponse, limit_s: float) -> None:
    def heard() -> bool:
        response.take()
        return response.is_over

    response.ends_at_s = asyncio.get_running_loop().time() + limit_s
    try:
        await response.hear(heard)
    finally:
        response.close()


async def _ignoring_failures(do: Callable[[], Awaitable[None]]) -> None:
    try:
        await do()
    except UpstreamFailed:
        return
