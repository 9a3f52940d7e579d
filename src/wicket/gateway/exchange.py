"""The way out and back of one allowed call: credential, upstream, answer, and exactly one outcome.

`Exchange.run` yields what the client is told: notifications while the upstream streams, then one final answer.
However it ends (answered, failed, silent, cut, cancelled, too old to be sent), the outcome is noted once.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter_ns
from typing import Final

from wicket.core.errors import Refused, RpcCode, Unavailable, UpstreamFailed
from wicket.core.jsonrpc import (
    META_LOG_LEVEL,
    Era,
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
from wicket.gateway.legacy_sessions import LegacySession
from wicket.gateway.rounds import INPUT_REQUIRED, Rounds, declared
from wicket.gateway.targets import READ
from wicket.runtime.credentials import Credentials, NoCredentials
from wicket.runtime.recorder import Ending, Recorded, Recorder
from wicket.runtime.upstream import Answer, Ask, Notice, Target, Upstream
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


@dataclass(slots=True)
class _Note:
    """What is known of the ending so far. Left alone, it says that the client went away."""

    outcome: Outcome = Outcome.CANCELLED
    upstream_status: int | None = None
    sent_at_ns: int | None = None
    response_bytes: int = 0


class Exchange:
    """Forwards what was recorded."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        credentials: Credentials,
        upstream: Upstream,
        rounds: Rounds,
        after_call: AfterCall,
    ) -> None:
        self._recorder = recorder
        self._credentials = credentials
        self._upstream = upstream
        self._rounds = rounds
        self._after_call = after_call

    async def run(self, passage: Passage, recorded: Recorded, flight: Flight) -> AsyncGenerator[Reply, None]:
        """Forward; the last reply is final. Close the generator to cancel the call."""
        note, request = _Note(), passage.request
        started_ns = perf_counter_ns()
        try:
            with flight:
                async with aclosing(self._forward(passage, recorded, flight.key, note)) as replies:
                    async for reply in replies:
                        note.response_bytes += len(reply.body)
                        yield reply
        except Cut as cut:
            note.outcome = Outcome.CANCELLED
            yield _failed(request, answers.cut_short(cut.reason, recorded.world))
        except NoCredentials as missing:
            note.outcome = Outcome.REFUSED
            yield _failed(request, answers.no_credentials(missing, recorded.entry_id))
        except Unavailable as failed:
            note.outcome = Outcome.REFUSED
            yield _failed(request, answers.unavailable(failed, recorded.entry_id))
        except DecisionExpired:
            note.outcome = Outcome.EXPIRED
            yield _failed(request, answers.decision_expired(recorded.entry_id))
        except UpstreamFailed as failed:
            is_silent = failed.code == "upstream_timeout"
            note.outcome = Outcome.TIMEOUT if is_silent else Outcome.UPSTREAM_ERROR
            upstream_status = failed.facts.get("upstream_status")
            note.upstream_status = upstream_status if isinstance(upstream_status, int) else None
            yield _failed(request, answers.upstream_failed(failed, recorded.entry_id))
        finally:
            self._end(recorded, note, started_ns)
            if note.outcome in ANSWERED:
                self._after_call(recorded, flight.key, passage.bearer)

    async def _forward(
        self, passage: Passage, recorded: Recorded, key: MemberKey, note: _Note
    ) -> AsyncGenerator[Reply, None]:
        call, request, session = recorded.call, passage.request, passage.session
        if call is None:
            raise TypeError("only a call that was understood can be forwarded")
        target = await self._credentials.target(recorded.world, key, call.service, passage.bearer)
        reply = await self._upstream.forward(
            recorded,
            _in_session(target, session),
            meta=_meta(request, session),
            progress_token=_progress_token(request),
            before_first_byte=partial(self._check_age, recorded, note),
            capabilities=declared(request.capabilities),
            inputs=passage.inputs,
            asks=session.asks if session is not None and passage.is_stream_read else (),
        )
        questions = _Questions(session, call.service)
        with questions:
            async with reply:
                async for message in reply:
                    match message:
                        case Notice():
                            if session is None or session.passes(message):
                                yield Reply(
                                    render_notification(message.method, message.params), is_final=False
                                )
                        case Ask():
                            yield Reply(questions.put(message), is_final=False)
                        case Answer():
                            note.upstream_status = reply.status
                            yield self._answered(request, call, message, note)

    def _answered(self, request: Request, call: Call, answer: Answer, note: _Note) -> Reply:
        if answer.error is not None:
            note.outcome = Outcome.TOOL_ERROR
            return Reply(
                _error_body(request, answer.error), is_final=True, status=_status_of(request, answer.error)
            )
        result = answer.result or {}
        if result.get("resultType") == INPUT_REQUIRED and request.era is Era.LEGACY:
            raise broken(call.service, "it asks for input that the client's protocol version cannot give")
        result = self._rounds.sealed(result, call)
        note.outcome = Outcome.TOOL_ERROR if result.get("isError") is True else Outcome.OK
        if request.era is Era.MODERN and call.method == READ:
            # It was read with this member's own rights.
            result = {"ttlMs": 0} | result | {"cacheScope": "private"}
        return Reply(render_result(request.id, answers.complete(request, result)), is_final=True)

    async def _check_age(self, recorded: Recorded, note: _Note) -> None:
        """Awaited when the connection is there and nothing was sent: the last moment to think better of it."""
        if not await self._recorder.is_current(recorded):
            raise DecisionExpired
        note.sent_at_ns = perf_counter_ns()

    def _end(self, recorded: Recorded, note: _Note, started_ns: int) -> None:
        now_ns = perf_counter_ns()
        self._recorder.end(
            recorded,
            Ending(
                outcome=note.outcome,
                upstream_status=note.upstream_status,
                upstream_ms=None if note.sent_at_ns is None else (now_ns - note.sent_at_ns) / 1e6,
                duration_ms=recorded.decision_ms + recorded.record_ms + (now_ns - started_ns) / 1e6,
                response_bytes=note.response_bytes,
            ),
        )


class _Questions:
    """What the client is asked during one call; whatever it has not answered by the end, it need not."""

    def __init__(self, session: LegacySession | None, service: str) -> None:
        self._session = session
        self._service = service
        self._asked: list[RequestId] = []

    def put(self, ask: Ask) -> bytes:
        """The request for the client; raises UpstreamFailed where too many wait already."""
        noted = None if self._session is None else self._session.ask(ask)
        if noted is None:
            raise broken(self._service, "it asks more than anybody answers")
        self._asked.append(noted[0])
        return noted[1]

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        for asked_id in self._asked:
            if self._session is not None:
                self._session.forget(asked_id)


def _progress_token(request: Request) -> str | int | None:
    token = request.meta.get("progressToken")
    return token if isinstance(token, str | int) and not isinstance(token, bool) else None


def _in_session(target: Target, session: LegacySession | None) -> Target:
    return target if session is None else replace(target, declared=session.declared)


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
