"""Streams that stand open for what may happen: `subscriptions/listen`, and the GET stream of a legacy session.

Each holds one of the connections that its host has, so there are only so many of them.
"""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import Final, TypeAlias

from wicket.core.jsonrpc import Era, Notification, PostedResponse, Request, parse_response
from wicket.core.model import ConnectorKind, JsonObject
from wicket.runtime.upstream.envelope import Link, response_body
from wicket.runtime.upstream.http import HttpTransport
from wicket.runtime.upstream.links import Links
from wicket.runtime.upstream.reply import ask_of, next_of
from wicket.runtime.upstream.sse import EventReader, EventTooLong
from wicket.runtime.upstream.values import Ask, Exchange, Outgoing, Target, UpstreamLimits
from wicket.runtime.wire import BeforeFirstByte, WireResponse, broken

LISTEN: Final = "subscriptions/listen"
Said: TypeAlias = AsyncGenerator[Notification | Ask, None]


class Standing:
    """Opens them."""

    def __init__(self, transport: HttpTransport, links: Links, limits: UpstreamLimits) -> None:
        self._transport = transport
        self._links = links
        self._limits = limits
        self._open: Counter[str] = Counter()
        """Service -> how many stand."""

    @asynccontextmanager
    async def listening(
        self, target: Target, wanted: JsonObject, before_first_byte: BeforeFirstByte | None
    ) -> AsyncIterator[Said | None]:
        """What a modern upstream says about what is `wanted`, its acknowledgement first.

        None where it does not listen, or too many do.
        """
        async with self._place(target) as has_place:
            link = await self._links.of(target) if has_place else None
            if link is None or link.era is Era.LEGACY:
                yield None
                return
            outgoing = Outgoing(
                LISTEN,
                {"notifications": wanted},
                self._limits.standing_timeout_s,
                within_s=inf,
                before_first_byte=before_first_byte,
            )
            exchange = await self._transport.open(target, link, outgoing)
            try:
                yield _listened(exchange)
            finally:
                exchange.end(is_answered=False)

    @asynccontextmanager
    async def attending(self, target: Target) -> AsyncIterator[Said | None]:
        """What a legacy upstream says in its session of its own accord; None where it does not, or too many do."""
        async with self._place(target) as has_place:
            link = await self._links.of(target) if has_place else None
            response = None
            if link is not None and link.era is Era.LEGACY:
                response = await self._transport.attend(target, link)
            if link is None or response is None:
                yield None
                return
            try:
                yield self._attended(target, link, response)
            finally:
                response.close()

    @asynccontextmanager
    async def _place(self, target: Target) -> AsyncIterator[bool]:
        service = target.connector.key
        if target.connector.kind is ConnectorKind.STDIO or self._open[service] >= self._limits.standing_max:
            yield False
            return
        self._open[service] += 1
        try:
            yield True
        finally:
            self._open[service] -= 1

    async def _attended(self, target: Target, link: Link, response: WireResponse) -> Said:
        async for event in _events(response, target.connector.key, self._limits.event_bytes_max):
            match parse_response(event):
                case Notification() as notice:
                    yield notice
                case Request() as request:
                    yield ask_of(request, partial(self._respond, target, link, request))
                case PostedResponse():
                    continue

    async def _respond(self, target: Target, link: Link, request: Request, response: PostedResponse) -> None:
        await self._transport.post(target, link, response_body(request, response))


async def _listened(exchange: Exchange) -> Said:
    while True:
        match await next_of(exchange.pass_on):
            case Notification() as notice:
                yield notice
            case PostedResponse():
                return
            case Request() as request:
                exchange.refuse(request)


async def _events(response: WireResponse, service: str, bytes_max: int) -> AsyncGenerator[bytes, None]:
    reader = EventReader(bytes_max)
    while not response.is_over:
        chunk = await response.receive()
        try:
            events = reader.feed(chunk)
        except EventTooLong as error:
            raise broken(service, f"an event is longer than {bytes_max} bytes") from error
        for event in events:
            yield event
