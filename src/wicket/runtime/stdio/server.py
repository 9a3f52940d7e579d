"""One local server: started when it is needed, shared by its callers, started again after it ended."""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Final

import structlog

from wicket.core.errors import RpcCode, UpstreamFailed
from wicket.core.jsonrpc import (
    LEGACY_VERSIONS,
    Era,
    MessageFromUpstream,
    Notification,
    PostedResponse,
    Request,
    parse_response,
    render_error,
    render_notification,
    render_result,
)
from wicket.runtime.stdio.process import Child, StdioCommand, StdioLimits, start_child
from wicket.runtime.upstream.envelope import (
    BEFORE_INITIALIZE,
    cancellation,
    initialize_params,
    request_body,
)
from wicket.runtime.upstream.reply import LIST_CHANGED, PROGRESS, answer_of
from wicket.runtime.upstream.values import Outgoing, Take
from wicket.runtime.wire import broken, overdue, timed_out, unreachable

_log = structlog.get_logger(__name__)

STATUS: Final = 200


class StdioServer:
    """Requests are told apart by ids of ours, progress by tokens that are the same numbers."""

    def __init__(
        self,
        command: StdioCommand,
        *,
        environment: Mapping[str, str],
        limits: StdioLimits,
        client_version: str,
        now_s: Callable[[], float],
        list_changed: Callable[[], None],
    ) -> None:
        self._command = command
        self._environment = environment
        self._limits = limits
        self._client_version = client_version
        self._now_s = now_s
        self._list_changed = list_changed
        self._ids = count(1)
        self._waiting: dict[int, StdioExchange] = {}
        self._child: Child | None = None
        self._reader: asyncio.Task[None] | None = None
        self._readers: set[asyncio.Task[None]] = set()
        """Those of processes that are still being ended, too."""
        self._starting: asyncio.Task[Child] | None = None
        self._started_at_s = 0.0
        self._deaths = 0
        self._retry_at_s = 0.0
        self._is_stopping = False

    async def start(self) -> None:
        """Come back once the server runs; raises UpstreamFailed."""
        if self._child is not None and self._starting is None:
            return
        if self._starting is None:
            if self._now_s() < self._retry_at_s:
                raise unreachable(self._command.key, "it ended, and is started again in a moment")
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(self._start_ended)
        await asyncio.shield(self._starting)

    async def open(self, outgoing: Outgoing) -> "StdioExchange":
        """Send a request once the server runs; raises UpstreamFailed, and what `before_first_byte` raises."""
        await self.start()
        if outgoing.before_first_byte is not None:
            await outgoing.before_first_byte()
        return self._send(outgoing)

    def note(self, message: bytes) -> None:
        """Send what has no answer, if the server runs."""
        try:
            if self._child is not None:
                self._child.write(message)
        except UpstreamFailed:
            return

    def release(self, request_id: int) -> None:
        """Nobody waits for this request any more."""
        self._waiting.pop(request_id, None)

    async def stop(self) -> None:
        """End the process and whatever waits for it."""
        self._is_stopping = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._end_child()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _send(self, outgoing: Outgoing) -> "StdioExchange":
        service, child = self._command.key, self._child
        if child is None:
            raise unreachable(service, "it has ended")
        if len(self._waiting) >= self._limits.requests_max:
            raise unreachable(service, "too many requests wait for it")
        request_id = next(self._ids)
        exchange = StdioExchange(self, service, request_id, outgoing, self._limits.messages_max)
        child.write(request_body(outgoing, BEFORE_INITIALIZE, request_id, self._client_version))
        self._waiting[request_id] = exchange
        return exchange

    def _start_ended(self, task: asyncio.Task[Child]) -> None:
        self._starting = None
        if not task.cancelled():
            # Those who waited may all have gone.
            task.exception()

    async def _start(self) -> Child:
        self._started_at_s = self._now_s()
        try:
            child = await start_child(self._command, self._environment, self._limits)
        except UpstreamFailed:
            self._died()
            raise
        self._child = child
        self._reader = asyncio.create_task(self._read(child))
        self._readers.add(self._reader)
        self._reader.add_done_callback(self._readers.discard)
        try:
            async with asyncio.timeout(self._limits.start_timeout_s):
                await self._initialize()
        except BaseException as error:
            await self._end_child()
            if isinstance(error, TimeoutError):
                raise timed_out(self._command.key, self._limits.start_timeout_s) from error
            raise
        return child

    async def _initialize(self) -> None:
        params = initialize_params(self._client_version)
        exchange = self._send(Outgoing("initialize", params, self._limits.start_timeout_s))
        answer = await answer_of(exchange, service=self._command.key)
        if (answer.result or {}).get("protocolVersion") not in LEGACY_VERSIONS:
            raise broken(self._command.key, "it does not begin a session")
        self.note(render_notification("notifications/initialized"))

    async def _end_child(self) -> None:
        child, reader = self._child, self._reader
        if child is None or reader is None:
            return
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        if self._child is child:
            # It was to be ended before anybody had read from it.
            await self._bury(child, broken(self._command.key, "it ended"))

    async def _read(self, child: Child) -> None:
        """Hand messages out until the process ends; then nothing waits any longer."""
        failure = broken(self._command.key, "it ended")
        try:
            while (line := await child.read()) is not None:
                if line.strip():
                    self._dispatch(line)
        except UpstreamFailed as failed:
            failure = failed
        finally:
            await self._bury(child, failure)

    async def _bury(self, child: Child, failure: UpstreamFailed) -> None:
        self._child = None
        self._died()
        for exchange in tuple(self._waiting.values()):
            exchange.fail(failure)
        self._waiting.clear()
        await child.stop()

    def _died(self) -> None:
        now_s = self._now_s()
        healthy = now_s - self._started_at_s >= self._limits.healthy_after_s
        self._deaths = 0 if healthy else self._deaths + 1
        wait_s = (
            0.0
            if healthy
            else min(self._limits.retry_max_s, self._limits.retry_min_s * 2 ** (self._deaths - 1))
        )
        self._retry_at_s = now_s + wait_s
        if not self._is_stopping:
            _log.warning(
                "local server ended", service=self._command.key, deaths=self._deaths, retry_in_s=wait_s
            )

    def _dispatch(self, line: bytes) -> None:
        try:
            message = parse_response(line)
        except UpstreamFailed as failed:
            # Some servers print to their output what belongs into the log.
            _log.warning("local server sent no message", service=self._command.key, error=failed.sentence)
            return
        match message:
            case PostedResponse(id=int() as request_id) if request_id in self._waiting:
                self._waiting.pop(request_id).take(message, is_last=True)
            case PostedResponse():
                _log.warning("local server answered nobody", service=self._command.key)
            case Request(method="ping"):
                self.note(render_result(message.id, {}))
            case Request():
                self.note(
                    render_error(
                        message.id, RpcCode.METHOD_NOT_FOUND, f"`{message.method}` is not served here"
                    )
                )
            case Notification():
                self._noticed(message)

    def _noticed(self, message: Notification) -> None:
        """Of one process that many callers share, only progress says whose it is."""
        if message.method == LIST_CHANGED:
            self._list_changed()
        token = message.params.get("progressToken")
        if message.method == PROGRESS and isinstance(token, int) and token in self._waiting:
            self._waiting[token].take(message, is_last=False)


class StdioExchange:
    """Implements `Exchange`."""

    status = STATUS
    era = Era.LEGACY

    def __init__(
        self, server: StdioServer, service: str, request_id: int, outgoing: Outgoing, messages_max: int
    ) -> None:
        self.request_id = request_id
        self._server = server
        self._service = service
        self._timeout_s = outgoing.timeout_s
        self._ends_at_s = asyncio.get_running_loop().time() + (outgoing.within_s or outgoing.timeout_s)
        self._messages_max = messages_max
        self._messages: asyncio.Queue[MessageFromUpstream | UpstreamFailed] = asyncio.Queue()

    def take(self, message: MessageFromUpstream, *, is_last: bool) -> None:
        """Keep a message for the caller; of too many, only the last."""
        if is_last or self._messages.qsize() < self._messages_max:
            self._messages.put_nowait(message)

    def fail(self, failure: UpstreamFailed) -> None:
        """Nothing more will come."""
        self._messages.put_nowait(failure)

    async def pass_on(self, take: Take[MessageFromUpstream]) -> None:
        """See `Exchange`."""
        while not take(iter((await self._received(),))):
            continue

    async def _received(self) -> MessageFromUpstream:
        silent_until_s = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(min(silent_until_s, self._ends_at_s)):
                message = await self._messages.get()
        except TimeoutError as error:
            if self._ends_at_s < silent_until_s:
                raise overdue(self._service) from error
            raise timed_out(self._service, self._timeout_s) from error
        if isinstance(message, UpstreamFailed):
            raise message
        return message

    def refuse(self, request: Request) -> None:
        """See `Exchange`; the server's requests are answered where they are read."""

    async def respond(self, request: Request, response: PostedResponse) -> None:
        """See `Exchange`; as `refuse`."""

    def end(self, *, is_answered: bool) -> None:
        """See `Exchange`."""
        self._server.release(self.request_id)
        if not is_answered:
            self._server.note(cancellation(self.request_id))
