"""The way out and back of one allowed call: credential, upstream, answer, and exactly one outcome.

`Exchange.replies` are what the client is told: notifications while the upstream streams, and then one final answer.
However it ends (answered, failed, silent, cut, cancelled, too old to be sent), the outcome is noted
once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter_ns
from typing import Final, assert_never

from wicket.core.errors import Refused, RpcCode, Unavailable, UpstreamFailed
from wicket.core.jsonrpc import (
    META_LOG_LEVEL,
    Era,
    Notification,
    Request,
    RequestId,
    render_error,
    render_notification,
    render_result,
)
from wicket.core.model import Call, JsonObject, Outcome
from wicket.core.world import MemberKey
from wicket.gateway import answers
from wicket.gateway.flights import Cut, Flight
from wicket.gateway.http import Reader, stream_event
from wicket.gateway.legacy_sessions import LegacySession
from wicket.gateway.rounds import INPUT_REQUIRED, Rounds, declared
from wicket.gateway.targets import READ
from wicket.runtime.credentials import Credentials, NoCredentials
from wicket.runtime.recorder import Ending, Recorded, Recorder
from wicket.runtime.upstream import Answer, Ask, Upstream, UpstreamReply
from wicket.runtime.wire import broken

HTTP_STATUS: Final[Mapping[int, int]] = {
    RpcCode.MISSING_CLIENT_CAPABILITY: 400,
    RpcCode.METHOD_NOT_FOUND: 404,
}
ANSWERED: Final = frozenset({Outcome.OK, Outcome.TOOL_ERROR})

AfterCall = Callable[[Recorded, MemberKey, str], None]
"""Called when a call was answered, with the bearer that it carried: a chance to look at the upstream's list again."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One JSON-RPC message for the client; `status` counts while nothing has been sent yet."""

    body: bytes
    is_final: bool
    status: int = 200


@dataclass(frozen=True, slots=True)
class Passage:
    """What of a request goes along with the call that was decided."""

    request: Request
    bearer: str
    inputs: JsonObject = field(default_factory=dict)
    """What it brings of an earlier round."""
    session: LegacySession | None = None
    is_stream_read: bool = False
    """Whether the client reads what comes before the answer, questions included."""


class DecisionExpired(Exception):
    """The decision grew old before its first byte could be sent, and the rules have moved."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Forwards what was recorded."""

    recorder: Recorder
    credentials: Credentials
    upstream: Upstream
    rounds: Rounds
    after_call: AfterCall

    def replies(self, passage: Passage, recorded: Recorded, flight: Flight) -> "Replies":
        """What will be told of a call, which is sent when they are waited for."""
        call = recorded.call
        if call is None:
            raise TypeError("only a call that was understood can be forwarded")
        return Replies(self, passage, recorded, call, flight)


class Replies:
    """What the client of one call is told: a `Stream` of server-sent events, or the `last` reply alone.

    Close it where it is not told to its end: that cancels the call.
    """

    def __init__(
        self, parts: Exchange, passage: Passage, recorded: Recorded, call: Call, flight: Flight
    ) -> None:
        self.final: Reply | None = None
        """The last of the replies, once it is known."""
        self.streams = False
        """Whether something is told before it."""
        self._parts = parts
        self._passage = passage
        self._recorded = recorded
        self._call = call
        self._flight = flight
        self._reply: UpstreamReply | None = None
        self._reader: Reader | None = None
        """None: nobody listens yet."""
        self._untold = b""
        """Events for the reader."""
        self._is_enough = False
        """There is something to begin with, or the reader has more than they have read."""
        self._asked: list[RequestId] = []
        """Of the client, during this call; whatever it has not answered by the end, it need not."""
        self._started_ns = perf_counter_ns()
        self._sent_at_ns: int | None = None
        self._response_bytes = 0

    async def advance(self) -> None:
        """Until it is enough or over; the first time, that sends the call. What comes is told meanwhile.

        Whatever ends the call here, its outcome is noted.
        """
        try:
            reply = self._reply
            if reply is None:
                self._flight.take_off()
                reply = self._reply = await self._forwarded()
            await reply.pass_on(self._take)
        except BaseException as error:
            if not self._is_told(error):
                raise
            self._flush()

    async def tell(self, reader: Reader) -> None:
        """See `Stream`."""
        self._reader = reader
        self._flush()
        while True:
            if self._is_enough:
                await reader.drained()
                self._is_enough = False
            if self.final is not None:
                return
            await self.advance()

    async def last(self) -> Reply:
        """The final reply, for a client that reads nothing before it."""
        self._reader = _Nobody()
        while self.final is None:
            await self.advance()
        return self.final

    async def aclose(self) -> None:
        """See `Stream`."""
        if self.final is None:
            self._end(Outcome.CANCELLED)

    async def _forwarded(self) -> UpstreamReply:
        parts, passage, recorded = self._parts, self._passage, self._recorded
        request, session = passage.request, passage.session
        target = await parts.credentials.target(
            recorded.world, self._flight.key, self._call.service, passage.bearer
        )
        return await parts.upstream.forward(
            recorded,
            target if session is None else replace(target, declared=session.declared),
            meta=_meta(request, session),
            progress_token=_progress_token(request.meta) if request.meta else None,
            before_first_byte=self._check_age,
            capabilities=declared(request.capabilities),
            inputs=passage.inputs,
            asks=session.asks if session is not None and passage.is_stream_read else (),
        )

    async def _check_age(self) -> None:
        """Awaited when the connection is there and nothing was sent: the last moment to think better of it."""
        if not await self._parts.recorder.is_current(self._recorded):
            raise DecisionExpired
        self._sent_at_ns = perf_counter_ns()

    def _take(self, messages: Iterator[Notification | Ask | Answer]) -> bool:
        """Tell what is at hand, in one piece; whether that is enough for now."""
        session = self._passage.session
        try:
            for message in messages:
                match message:
                    case Notification():
                        if session is None or session.passes(message):
                            self._tell(render_notification(message.method, message.params))
                    case Ask():
                        self._tell(self._question(message))
                    case Answer():
                        self._finish(message)
                    case _:
                        assert_never(message)
        finally:
            self._flush()
        return self._is_enough

    def _tell(self, body: bytes) -> None:
        self.streams = True
        self._response_bytes += len(body)
        self._untold += stream_event(body)

    def _flush(self) -> None:
        if self._reader is None:
            self._is_enough = bool(self._untold)
            return
        untold, self._untold = self._untold, b""
        self._is_enough = self._reader.send(untold)

    def _question(self, ask: Ask) -> bytes:
        """The request for the client; raises UpstreamFailed where too many wait already."""
        session = self._passage.session
        noted = None if session is None else session.ask(ask)
        if noted is None:
            raise broken(self._call.service, "it asks more than anybody answers")
        self._asked.append(noted[0])
        return noted[1]

    def _finish(self, answer: Answer) -> None:
        outcome, final = self._answered(answer)
        self._response_bytes += len(final.body)
        self._conclude(final, outcome, None if self._reply is None else self._reply.status)

    def _answered(self, answer: Answer) -> tuple[Outcome, Reply]:
        request, call = self._passage.request, self._call
        if answer.error is not None:
            status = _status_of(request, answer.error)
            body = _error_body(request, answer.error)
            return Outcome.TOOL_ERROR, Reply(body, is_final=True, status=status)
        result = answer.result or {}
        if result.get("resultType") == INPUT_REQUIRED:
            if request.era is Era.LEGACY:
                raise broken(call.service, "it asks for input that the client's protocol version cannot give")
            result = self._parts.rounds.sealed(result, call)
        outcome = Outcome.TOOL_ERROR if result.get("isError") is True else Outcome.OK
        if request.era is Era.MODERN and call.method == READ:
            # It was read with this member's own rights.
            result = {"ttlMs": 0} | result | {"cacheScope": "private"}
        body = render_result(request.id, answers.complete(request, result))
        return outcome, Reply(body, is_final=True)

    def _is_told(self, error: BaseException) -> bool:
        """End the call for what went wrong; whether that is something that its client is told."""
        entry_id, upstream_status = self._recorded.entry_id, None
        match self._flight.land(error):
            case Cut() as cut:
                outcome, refused = Outcome.CANCELLED, answers.cut_short(cut.reason, self._recorded.world)
            case NoCredentials() as missing:
                outcome, refused = Outcome.REFUSED, answers.no_credentials(missing, entry_id)
            case Unavailable() as failed:
                outcome, refused = Outcome.REFUSED, answers.unavailable(failed, entry_id)
            case DecisionExpired():
                outcome, refused = Outcome.EXPIRED, answers.decision_expired(entry_id)
            case UpstreamFailed() as failed:
                is_silent = failed.code == "upstream_timeout"
                outcome = Outcome.TIMEOUT if is_silent else Outcome.UPSTREAM_ERROR
                refused = answers.upstream_failed(failed, entry_id)
                upstream_status = failed.facts.get("upstream_status")
            case _:
                self._end(Outcome.CANCELLED)
                return False
        status = upstream_status if isinstance(upstream_status, int) else None
        self._conclude(_failed(self._passage.request, refused), outcome, status)
        return True

    def _conclude(self, final: Reply, outcome: Outcome, upstream_status: int | None) -> None:
        self.final = final
        if self.streams:
            self._untold += stream_event(final.body)
        self._end(outcome, upstream_status)

    def _end(self, outcome: Outcome, upstream_status: int | None = None) -> None:
        """Let go of everything, and note how it ended."""
        parts, recorded, session = self._parts, self._recorded, self._passage.session
        self._flight.land()
        if self._reply is not None:
            self._reply.close()
            self._reply = None  # it knows us: a circle would be left to the garbage collector
        for asked_id in self._asked:
            if session is not None:
                session.forget(asked_id)
        now_ns, sent_at_ns = perf_counter_ns(), self._sent_at_ns
        parts.recorder.end(
            recorded,
            Ending(
                outcome=outcome,
                upstream_status=upstream_status,
                upstream_ms=None if sent_at_ns is None else (now_ns - sent_at_ns) / 1e6,
                duration_ms=recorded.decision_ms + recorded.record_ms + (now_ns - self._started_ns) / 1e6,
                response_bytes=self._response_bytes,
            ),
        )
        if outcome in ANSWERED:
            parts.after_call(recorded, self._flight.key, self._passage.bearer)


class _Nobody:
    """Implements `Reader` for what is read by nobody."""

    def send(self, part: bytes) -> bool:  # noqa: ARG002 - nobody looks at it
        return False

    async def drained(self) -> None:
        """All the time."""


def _progress_token(meta: JsonObject) -> str | int | None:
    token = meta.get("progressToken")
    return token if isinstance(token, str | int) and not isinstance(token, bool) else None


def _meta(request: Request, session: LegacySession | None) -> JsonObject:
    """The caller's, with the level of the log that its session asked for, in the modern era's words."""
    if session is None or session.level is None:
        return request.meta
    return request.meta | {META_LOG_LEVEL: session.level}


def _status_of(request: Request, error: JsonObject) -> int:
    """The HTTP status that the modern era demands with an upstream's error."""
    code = error.get("code")
    return HTTP_STATUS.get(code, 200) if request.era is Era.MODERN and isinstance(code, int) else 200


def _error_body(request: Request, error: JsonObject) -> bytes:
    code, message = error.get("code"), error.get("message")
    return render_error(
        request.id,
        code if isinstance(code, int) else RpcCode.INTERNAL_ERROR,
        message if isinstance(message, str) else "the upstream failed without saying why",
        error.get("data"),
    )


def _failed(request: Request, refused: Refused) -> Reply:
    outbound = answers.refusal(refused, request.id)
    return Reply(
        outbound.body if isinstance(outbound.body, bytes) else b"", is_final=True, status=outbound.status
    )
