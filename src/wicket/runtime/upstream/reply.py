"""What comes back of a call: at once, or message by message as the upstream sends them."""

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Final, Self, assert_never

from wicket.core.jsonrpc import Era, Notification, PostedResponse, Request, RequestId
from wicket.runtime.upstream.envelope import passed_meta
from wicket.runtime.upstream.values import Answer, Ask, Exchange, Notice
from wicket.runtime.wire import broken

PROGRESS: Final = "notifications/progress"
PASSED: Final = frozenset({PROGRESS, "notifications/message"})
LIST_CHANGED: Final = "notifications/tools/list_changed"


class UpstreamReply:
    """Iterate to get each `Notice` and `Ask` and, last, the `Answer`.

    Where the answer came first it is in `answer` already, and nothing streams. Close it, whatever happens: a reply
    that is closed before its answer is a cancelled call.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        service: str,
        progress_token: RequestId | None = None,
        list_changed: Callable[[], None] | None = None,
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
        self._list_changed = list_changed
        self._asks = asks
        self._first: Notice | Ask | Answer | None = None
        self._is_over = False

    @property
    def streams(self) -> bool:
        """Whether something comes before the answer."""
        return self.answer is None

    async def begin(self) -> None:
        """Wait for the first message that is passed on; raises UpstreamFailed."""
        first = await self.next()
        self._first = first
        if isinstance(first, Answer):
            self.answer = first

    async def next(self) -> Notice | Ask | Answer:
        """The next message that is passed on; raises UpstreamFailed, and the call is cancelled then."""
        if (first := self._first) is not None:
            self._first = None
            return first
        try:
            passed: Notice | Ask | Answer | None = None
            while passed is None:
                message = await self._exchange.receive()
                passed = self._noticed(message) if isinstance(message, Notification) else self._taken(message)
        except BaseException:
            self.close()
            raise
        return passed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notice | Ask | Answer:
        if self._is_over and self._first is None:
            raise StopAsyncIteration
        return await self.next()

    def close(self) -> None:
        """Cancel the call at the upstream, unless its answer is there."""
        if not self._is_over:
            self._is_over = True
            self._exchange.end(is_answered=False)

    def _taken(self, message: PostedResponse | Request) -> Ask | Answer | None:
        match message:
            case PostedResponse():
                if message.id != self._exchange.request_id:
                    raise broken(self._service, "it answered a request that is not the one it was sent")
                self._is_over = True
                self._exchange.end(is_answered=True)
                return Answer(message.result, message.error)
            case Request() if message.method in self._asks:
                return ask_of(message, partial(self._exchange.respond, message))
            case Request():
                self._exchange.refuse(message)
                return None
            case _:
                assert_never(message)

    def _noticed(self, message: Notification) -> Notice | None:
        """Progress gets the caller's own token back; what is not about this call stays here."""
        if message.method == LIST_CHANGED and self._list_changed is not None:
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


async def answer_of(exchange: Exchange, *, service: str) -> Answer:
    """The answer alone, whatever is said before it; raises UpstreamFailed."""
    reply = UpstreamReply(exchange, service=service)
    while not isinstance(message := await reply.next(), Answer):
        continue
    return message
