"""What comes back of a call: at once, or message by message as the upstream sends them."""

from collections.abc import Awaitable, Callable, Collection, Iterator
from functools import partial
from itertools import islice
from typing import Final, assert_never

from wicket.core.errors import RpcCode
from wicket.core.jsonrpc import (
    Era,
    MessageFromUpstream,
    Notification,
    PostedResponse,
    Request,
    RequestId,
)
from wicket.runtime.upstream.envelope import passed_meta
from wicket.runtime.upstream.values import Answer, Ask, Exchange, M, Take
from wicket.runtime.wire import broken

PROGRESS: Final = "notifications/progress"
PASSED: Final = frozenset({PROGRESS, "notifications/message"})
LIST_CHANGED: Final = "notifications/tools/list_changed"


class UpstreamReply:
    """Passes on each `Notification` and `Ask` and, last, the `Answer`.

    Close it, whatever happens: a reply that is closed before its answer is a cancelled call.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        service: str,
        progress_token: RequestId | None = None,
        outdated: Callable[[], None] | None = None,
        asks: Collection[str] = (),
    ) -> None:
        """`asks` are the requests of the upstream that are passed on; any other is refused.

        `outdated` is called when the upstream says that its tools are not those of the list at hand.
        """
        self.status: int = exchange.status
        """The HTTP status of the upstream; 200 for local servers."""
        self._exchange = exchange
        self._service = service
        self._progress_token = progress_token
        self._outdated = outdated
        self._asks = asks
        self._is_over = False

    async def pass_on(self, take: Take[Notification | Ask | Answer]) -> None:
        """Have them taken as they come, like `Exchange` does, until `take` answers True or has the answer.

        Raises UpstreamFailed, and the call is cancelled then.
        """
        try:
            await self._exchange.pass_on(lambda messages: take(self._passed(messages)) or self._is_over)
        except BaseException:
            self.close()
            raise

    def _passed(self, messages: Iterator[MessageFromUpstream]) -> Iterator[Notification | Ask | Answer]:
        for message in messages:
            passed = self._noticed(message) if isinstance(message, Notification) else self._taken(message)
            if passed is not None:
                yield passed
            if self._is_over:
                return

    def close(self) -> None:
        """Cancel the call at the upstream, unless its answer is there."""
        if not self._is_over:
            self._is_over = True
            self._exchange.end(is_answered=False)

    def _forget_list(self) -> None:
        if self._outdated is not None:
            self._outdated()

    def _taken(self, message: PostedResponse | Request) -> Ask | Answer | None:
        match message:
            case PostedResponse():
                if message.id != self._exchange.request_id:
                    raise broken(self._service, "it answered a request that is not the one it was sent")
                self._is_over = True
                self._exchange.end(is_answered=True)
                if message.error is not None and message.error.get("code") == RpcCode.HEADER_MISMATCH:
                    self._forget_list()  # the tool's schema has changed since
                return Answer(message.result, message.error)
            case Request() if message.method in self._asks:
                return ask_of(message, partial(self._exchange.respond, message))
            case Request():
                self._exchange.refuse(message)
                return None
            case _:
                assert_never(message)

    def _noticed(self, message: Notification) -> Notification | None:
        """Progress gets the caller's own token back; what is not about this call stays here."""
        if message.method == LIST_CHANGED:
            self._forget_list()
        if message.method not in PASSED:
            return None
        if message.method != PROGRESS:
            return message
        if self._progress_token is None or message.params.get("progressToken") != self._exchange.request_id:
            return None
        return message._replace(params={**message.params, "progressToken": self._progress_token})


def ask_of(request: Request, answer: Callable[[PostedResponse], Awaitable[None]]) -> Ask:
    """A request of the upstream as the client gets it: without what is only said between the two of us."""
    meta = passed_meta(request.meta, Era.LEGACY)
    params = {key: value for key, value in request.params.items() if key != "_meta"}
    return Ask(request.method, params | {"_meta": meta} if meta else params, answer)


async def next_of(pass_on: Callable[[Take[M]], Awaitable[None]]) -> M:
    """The next that is passed on, alone."""
    taken: list[M] = []

    def take(at_hand: Iterator[M]) -> bool:
        taken.extend(islice(at_hand, 1))
        return bool(taken)

    await pass_on(take)
    return taken[0]


async def answer_of(exchange: Exchange, *, service: str) -> Answer:
    """The answer alone, whatever is said before it; raises UpstreamFailed."""
    reply = UpstreamReply(exchange, service=service)
    while not isinstance(message := await next_of(reply.pass_on), Answer):
        continue
    return message
