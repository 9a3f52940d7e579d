"""The wire on aiohttp: one session, no redirects, no cookies, nothing decompressed, nothing sent twice."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp import ClientRequest, ClientResponse
from aiohttp.connector import Connection

from wicket.core.errors import UpstreamFailed
from wicket.runtime.wire.addresses import (
    AddressPolicy,
    AddressRefused,
    Lookup,
    VettingResolver,
    vetted_sockets,
)
from wicket.runtime.wire.values import (
    BeforeFirstByte,
    WireLimits,
    WireRequest,
    broken,
    timed_out,
    unreachable,
)

ATTEMPTS_MAX: Final = 3
"""Connections that may turn out to be closed before anything was sent on them."""
NAMES_CACHED_S: Final = 10


class _UnsentError(Exception):
    """The connection was gone, or had unread bytes on it, before the first byte of ours."""


class _GatedRequest(ClientRequest):
    """Asks before its first byte.

    aiohttp awaits `send` with the connection in hand and closes that connection when it raises; its trace hooks
    would leak it.
    """

    gate: Callable[[], Awaitable[None]] | None = None

    async def send(self, conn: Connection) -> ClientResponse:
        if self.gate is not None:
            await self.gate()
        protocol = conn.protocol
        # Bytes that nobody asked for would be read as the answer to this request.
        if protocol is None or not protocol.is_connected() or protocol.should_close:
            raise _UnsentError
        return await super().send(conn)


class AiohttpWire:
    """Implements `Wire`. Build it, and close it, on the event loop that uses it."""

    def __init__(
        self,
        *,
        addresses: AddressPolicy,
        limits: WireLimits | None = None,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self._limits = limits or WireLimits()
        self._resolver = VettingResolver(addresses, lookup)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver,
                socket_factory=vetted_sockets(addresses),
                limit=self._limits.connections_max,
                limit_per_host=self._limits.connections_per_host,
                keepalive_timeout=self._limits.idle_connection_s,
                ttl_dns_cache=NAMES_CACHED_S,
                ssl=tls if tls is not None else True,
            ),
            request_class=_GatedRequest,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=self._limits.header_bytes_max,
            max_field_size=self._limits.header_bytes_max,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()
        await self._resolver.close()

    async def send(
        self, request: WireRequest, *, before_first_byte: BeforeFirstByte | None = None
    ) -> "AiohttpResponse":
        """Send at most once; see `Wire`. A connection that was closed while idle is replaced unsent."""
        _check_address(request)
        for _ in range(ATTEMPTS_MAX):
            try:
                response = await self._attempt(request, before_first_byte)
            except _UnsentError:
                continue
            except (aiohttp.ClientError, TimeoutError) as error:
                raise _named(error, request) from error
            return AiohttpResponse(response, request)
        raise unreachable(request.service, "it closes connections before anything is sent")

    async def _attempt(self, request: WireRequest, before: BeforeFirstByte | None) -> ClientResponse:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as patience:

            async def gate() -> None:
                if before is not None:
                    await before()
                patience.reschedule(loop.time() + request.timeout_s)

            async def gated(
                sent: ClientRequest, forward: Callable[[ClientRequest], Awaitable[ClientResponse]]
            ) -> ClientResponse:
                if isinstance(sent, _GatedRequest):
                    sent.gate = gate
                return await forward(sent)

            return await self._session.request(
                request.method,
                request.url,
                data=request.body or None,
                headers={"Accept-Encoding": "identity", **request.headers},
                allow_redirects=False,
                middlewares=(gated,),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=self._limits.connect_timeout_s, sock_read=request.timeout_s
                ),
            )


class AiohttpResponse:
    """Implements `WireResponse`, and is the iterator over its own chunks."""

    def __init__(self, response: ClientResponse, request: WireRequest) -> None:
        self._response = response
        self._request = request
        self._bytes_read = 0
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        service = self._request.service
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise broken(service, "it compressed its answer although it was asked not to")
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _named(error, self._request) from error
        if not chunk:
            raise StopAsyncIteration
        self._bytes_read += len(chunk)
        if self._bytes_read > self._request.response_bytes_max:
            raise broken(service, f"its answer is longer than {self._request.response_bytes_max} bytes")
        return chunk

    async def aclose(self) -> None:
        # aiohttp has given the connection back by itself where the body was read to its end.
        self._response.close()


def _check_address(request: WireRequest) -> None:
    try:
        parts = urlsplit(request.url)
        is_proper = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        is_proper = False
    if not is_proper:
        raise unreachable(request.service, "its address is not an http or https one without a user name")


def _named(error: aiohttp.ClientError | TimeoutError, request: WireRequest) -> UpstreamFailed:
    service = request.service
    match error:
        case aiohttp.ConnectionTimeoutError():
            return unreachable(service, "no connection could be made in time")
        case aiohttp.ClientConnectorError(os_error=AddressRefused()):
            return unreachable(service, "its address is not allowed (setting `upstream_allow_private`)")
        case aiohttp.ClientConnectorDNSError():
            return unreachable(service, "its name is not known")
        case aiohttp.ClientSSLError():
            return unreachable(service, "its certificate is not to be trusted or TLS failed")
        case aiohttp.ClientConnectorError():
            return unreachable(service, "it does not accept connections")
        case TimeoutError():
            return timed_out(service, request.timeout_s)
        case aiohttp.InvalidURL():
            return unreachable(service, "its address is not a proper one")
        case aiohttp.ClientResponseError():
            return broken(service, "what it sent is not HTTP")
        case _:
            return broken(service, "it closed the connection before its answer was complete")
