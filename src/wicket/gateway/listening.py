"""Streams that clients keep open for what may happen: `subscriptions/listen`, and GET in the legacy era.

Cheap while nothing happens, and cut like a call when their caller loses the right. What the upstream says is
passed on as far as the client asked for it; where the upstream says nothing by itself, the stream is silent.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Final

import structlog

from wicket.core.errors import RpcCode, WicketError
from wicket.core.jsonrpc import (
    META_SUBSCRIPTION,
    Era,
    Notification,
    PostedResponse,
    Request,
    RequestId,
    render_notification,
    render_result,
)
from wicket.core.model import Json, JsonObject, Outcome
from wicket.core.world import World
from wicket.gateway import answers
from wicket.gateway.exchange import DecisionExpired
from wicket.gateway.flights import Cut, Flight
from wicket.gateway.http import stream_event
from wicket.gateway.legacy_sessions import LOGGED, LegacySession
from wicket.gateway.listing import LIST_BUDGET_S
from wicket.runtime.credentials import Credentials
from wicket.runtime.recorder import Ending, Recorded, Recorder
from wicket.runtime.upstream import Ask, Target, Upstream
from wicket.runtime.upstream.envelope import passed_meta
from wicket.runtime.upstream.standing import Said

ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
UPDATED: Final = "notifications/resources/updated"
TOOLS_CHANGED: Final = "notifications/tools/list_changed"
KINDS: Final = {
    "toolsListChanged": TOOLS_CHANGED,
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
"""What a client may want to hear of, and how it is told."""
ADDRESSES: Final = "resourceSubscriptions"
ADDRESSES_MAX: Final = 100
_ATTENDED: Final = frozenset({*KINDS.values(), UPDATED, LOGGED})
_OPEN: Final = b": open\n\n"
_LOG = structlog.get_logger(__name__)


def wanted_addresses(request: Request) -> list[str]:
    """The resources that a `subscriptions/listen` wants to hear of."""
    wanted = request.params.get("notifications")
    addresses = wanted.get(ADDRESSES) if isinstance(wanted, dict) else None
    said = addresses if isinstance(addresses, list) else []
    return list(dict.fromkeys(one for one in said if isinstance(one, str) and one))[:ADDRESSES_MAX]


class Listening:
    """Writes the streams."""

    def __init__(self, *, upstream: Upstream, credentials: Credentials, recorder: Recorder) -> None:
        self._upstream = upstream
        self._credentials = credentials
        self._recorder = recorder
        self._parked: set[Flight] = set()
        self._is_over = False

    def end(self) -> None:
        """End every stream, and whichever is still to begin: the process is about to stop."""
        self._is_over = True
        for flight in tuple(self._parked):
            flight.cut(None)

    @contextmanager
    def _park(self, flight: Flight) -> Iterator[None]:
        with flight:
            self._parked.add(flight)
            try:
                if self._is_over:
                    flight.cut(None)
                yield
            finally:
                self._parked.discard(flight)

    async def listen(
        self,
        request: Request,
        flight: Flight,
        world: World,
        bearer: str,
        service: str | None,
        subscribed: Sequence[Recorded],
    ) -> AsyncGenerator[bytes, None]:
        """What a `subscriptions/listen` is told; `subscribed` are its resources, each recorded as allowed.

        Behind the aggregator it is silent: which of its services said something is nowhere to be told.
        """
        meta: JsonObject = {META_SUBSCRIPTION: request.id}
        outcome = Outcome.CANCELLED
        try:
            with self._park(flight):
                async with AsyncExitStack() as stack:
                    wanted = {} if service is None else _wanted(request, subscribed)
                    target, said, honoured = None, None, wanted
                    if service is not None and wanted:
                        target = await self._target(world, flight, bearer, service, None)
                        said, honoured = await self._opened(stack, target, wanted, subscribed)
                    outcome = Outcome.OK if said is not None or not subscribed else Outcome.UPSTREAM_ERROR
                    yield _told(ACKNOWLEDGED, {"notifications": honoured if said else {}}, meta)
                    if said is None or target is None:
                        await asyncio.Event().wait()
                        return
                    async for notice in self._notices(said, target):
                        if _is_wanted(notice, honoured):
                            yield _told(notice.method, notice.params, meta)
            yield _over(request)
        except Cut as cut:
            if self._is_over and cut.reason is None:
                yield _over(request)
                return
            refused = answers.refusal(answers.cut_short(cut.reason, world), request.id)
            yield stream_event(refused.body if isinstance(refused.body, bytes) else b"")
        finally:
            for recorded in subscribed:
                self._recorder.end(recorded, Ending(outcome=outcome))

    async def attend(
        self, flight: Flight, world: World, bearer: str, session: LegacySession | None
    ) -> AsyncGenerator[bytes, None]:
        """The body of a legacy GET: what the upstream says in the client's own session; silent where it has none."""
        yield _OPEN
        with suppress(Cut), self._park(flight):
            async with AsyncExitStack() as stack:
                if session is not None and session.service is not None:
                    target = await self._target(world, flight, bearer, session.service, session)
                    said = None if target is None else await self._attended(stack, target)
                    if said is not None and target is not None:
                        async for event in self._relayed(said, target, session):
                            yield event
                        return
                await asyncio.Event().wait()

    async def _target(
        self, world: World, flight: Flight, bearer: str, service: str, session: LegacySession | None
    ) -> Target | None:
        try:
            target = await self._credentials.target(world, flight.key, service, bearer)
        except WicketError:
            return None
        return target if session is None else replace(target, declared=session.declared)

    async def _opened(
        self,
        stack: AsyncExitStack,
        target: Target | None,
        wanted: JsonObject,
        subscribed: Sequence[Recorded],
    ) -> tuple[Said | None, JsonObject]:
        """The upstream's stream and what of `wanted` it promises to tell; None where there is none to be had."""

        async def check_age() -> None:
            for recorded in subscribed:
                if not await self._recorder.is_current(recorded):
                    raise DecisionExpired

        if target is None:
            return None, {}
        try:
            async with asyncio.timeout(LIST_BUDGET_S):
                said = await stack.enter_async_context(self._upstream.listening(target, wanted, check_age))
                first = None if said is None else await anext(said, None)
        except (WicketError, DecisionExpired, TimeoutError) as failed:
            _LOG.info("upstream_not_listened_to", service=target.connector.key, error=type(failed).__name__)
            return None, {}
        if not isinstance(first, Notification) or first.method != ACKNOWLEDGED:
            return None, {}
        return said, _common(wanted, first.params.get("notifications"))

    async def _attended(self, stack: AsyncExitStack, target: Target) -> Said | None:
        try:
            async with asyncio.timeout(LIST_BUDGET_S):
                return await stack.enter_async_context(self._upstream.attending(target))
        except (WicketError, TimeoutError) as failed:
            _LOG.info("upstream_not_attended", service=target.connector.key, error=type(failed).__name__)
            return None

    async def _notices(self, said: Said, target: Target) -> AsyncGenerator[Notification, None]:
        """Until the upstream ends its stream, in whatever way; what it asks here is asked of nobody."""
        with suppress(WicketError):
            async for one in said:
                if isinstance(one, Notification):
                    self._took(one, target)
                    yield one

    async def _relayed(
        self, said: Said, target: Target, session: LegacySession
    ) -> AsyncGenerator[bytes, None]:
        asked: list[RequestId] = []
        try:
            with suppress(WicketError):
                async for one in said:
                    if isinstance(one, Ask):
                        noted = session.ask(one) if one.method in session.asks else None
                        if noted is None:
                            await one.answer(_not_served(one.method))
                            continue
                        asked.append(noted[0])
                        yield stream_event(noted[1])
                    elif one.method in _ATTENDED:
                        self._took(one, target)
                        if session.passes(one):
                            yield _told(one.method, one.params, {})
        finally:
            for asked_id in asked:
                session.forget(asked_id)

    def _took(self, notice: Notification, target: Target) -> None:
        if notice.method == TOOLS_CHANGED:
            self._upstream.forget(owner=target.owner, service=target.connector.key)


def _wanted(request: Request, subscribed: Sequence[Recorded]) -> JsonObject:
    """What is asked of the upstream: kinds that are known, and resources that were decided."""
    asked = request.params.get("notifications")
    kinds: JsonObject = {kind: True for kind in KINDS if isinstance(asked, dict) and asked.get(kind) is True}
    addresses: list[Json] = [one.call.arguments["uri"] for one in subscribed if one.call is not None]
    return kinds | {ADDRESSES: addresses} if addresses else kinds


def _common(wanted: JsonObject, promised: Json) -> JsonObject:
    if not isinstance(promised, dict):
        return {}
    common: JsonObject = {kind: True for kind in KINDS if kind in wanted and promised.get(kind) is True}
    ours, theirs = wanted.get(ADDRESSES), promised.get(ADDRESSES)
    if isinstance(ours, list) and isinstance(theirs, list):
        common[ADDRESSES] = [address for address in ours if address in theirs]
    return common


def _is_wanted(notice: Notification, honoured: JsonObject) -> bool:
    if notice.method == UPDATED:
        addresses = honoured.get(ADDRESSES)
        return isinstance(addresses, list) and notice.params.get("uri") in addresses
    return any(notice.method == method and kind in honoured for kind, method in KINDS.items())


def _told(method: str, params: JsonObject, meta: JsonObject) -> bytes:
    """A notification with the subscription that it belongs to; of its own `_meta` what is no protocol's."""
    said = params.get("_meta")
    kept = passed_meta(said, Era.LEGACY) if isinstance(said, dict) else {}
    tagged = {key: value for key, value in params.items() if key != "_meta"}
    if kept or meta:
        tagged["_meta"] = kept | meta
    return stream_event(render_notification(method, tagged))


def _over(request: Request) -> bytes:
    result: JsonObject = {"resultType": "complete", "_meta": {META_SUBSCRIPTION: request.id}}
    return stream_event(render_result(request.id, result))


def _not_served(method: str) -> PostedResponse:
    error: JsonObject = {"code": int(RpcCode.METHOD_NOT_FOUND), "message": f"`{method}` is not served here"}
    return PostedResponse(None, error=error)
