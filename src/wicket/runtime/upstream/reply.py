"""What comes back of a call: at once, or message by message as the upstream sends them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial
from types import TracebackType
from typing import Final, Self, assert_never

from wicket.core.jsonrpc import Era, MessageFromUpstream, Notification, PostedResponse, Request, RequestId
from wicket.runtime.upstream.envelope import passed_meta
from wicket.runtime.upstream.values import Answer, Ask, Exchange, Notice
from wicket.runtime.wire import broken, timed_out

PROGRESS: Final = "notifications/progress"
PASSED: Final = frozenset({PROGRESS, "notifications/message"})
LIST_CHANGED: Final = "notifications/tools/list_changed"


class UpstreamReply:
    """Iterate to get each `Notice` and `Ask` and, last, the `Answer`.

    Where that came first it is in `answer` already, and nothing streams. Close it, whatever happens: a reply that
    is closed before its answer is a cancelled call.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        service: str,
        progress_token: RequestId | None,
        within_s: float,
        list_changed: Callable[[], None],
        asks: Collection[str] = (),
    ) -> None:
        """`asks` are the requests of the upstream that are passed on; any other is refused."""
        self.answer: Answer | None = None
        self.status: int = exchange.status
        """The HTTP status of the upstream; 200 for local servers."""
        self.era: Era = exchange.era
        self._exchange = exchange
        self._service = service
        self._progress_token = progress_token
        self._within_s = within_s
        self._deadline = asyncio.get_running_loop().time() + within_s
        self._list_changed = list_changed
        self._asks = asks
        self._first: Notice | Ask | Answer | None = None
        self._is_over = False

    @property
    def streams(self) -> bool:
        """Whether something comes before the answer."""
        return self.answer is None

    async def begin(self) -> None:
        """Wait for the first message that is passed on."""
        self._first = await self._next()
        if isinstance(self._first, Answer):
            self.answer = self._first

    def __aiter__(self) -> AsyncIterator[Notice | Ask | Answer]:
        return self

    async def __anext__(self) -> Notice | Ask | Answer:
        if (first := self._first) is not None:
            self._first = None
            return first
        if self._is_over:
            raise StopAsyncIteration
        return await self._next()

    async def aclose(self) -> None:
        """Cancel the call at the upstream, unless its answer is there."""
        if not self._is_over:
            self._is_over = True
            await self._exchange.end(is_answered=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _next(self) -> Notice | Ask | Answer:
        patience = asyncio.timeout_at(self._deadline)
        try:
            async with patience:
                passed = None
                while passed is None:
                    passed = await self._taken(await self._exchange.receive())
        except BaseException as error:
            await self.aclose()
            if isinstance(error, TimeoutError) and patience.expired():
                raise timed_out(self._service, self._within_s) from error
            raise
        if isinstance(passed, Answer):
            self._is_over = True
            await self._exchange.end(is_answered=True)
        return passed

    async def _taken(self, message: MessageFromUpstream) -> Notice | Ask | Answer | None:
        match message:
            case PostedResponse():
                if message.id != self._exchange.request_id:
                    raise broken(self._service, "it answered a request that is not the one it was sent")
                return Answer(message.result, message.error)
            case Notification():
                return self._noticed(message)
            case Request() if message.method in self._asks:
                return ask_of(message, partial(self._exchange.respond, message))
            case Request():
                await self._exchange.refuse(message)
                return None
            case _:
                assert_never(message)

    def _noticed(self, message: Notification) -> Notice | None:
        """Progress gets the caller's own token back; what is not about this call stays here."""
        if message.method == LIST_CHANGED:
            self._list_changed()
        if message.method not in PASSED:
            return None
        if message.method != PROGRESS:
            return Notice(message.method, message.params)
        if self._progress_token is None or message.params.get("progressToken") != self._exchange.request_id:
            return None
        return Notice(message.method, {**message.params, "progressToken": self._progress_token})


def ask_of(request: Request, answer: Callable[[PostedResponse], Awaitable[None]]) -> Ask:
    """A request of the upstream as the client gets it: without what is only said between the two of us."""
    meta = passed_meta(request.meta, Era.LEGACY)
    params = {key: value for key, value in request.params.items() if key != "_meta"}
    return Ask(request.method, params | {"_meta": meta} if meta else params, answer)


async def answer_of(
    exchange: Exchange, *, service: str, within_s: float, list_changed: Callable[[], None] = lambda: None
) -> Answer:
    """The answer alone, whatever is said before it."""
    reply = UpstreamReply(
        exchange, service=service, progress_token=None, within_s=within_s, list_changed=list_changed
    )
    async with reply:
        async for message in reply:
            if isinstance(message, Answer):
                return message
    raise broken(service, "it ended without an answer")
