"""HTTP/1.1 to upstreams: no redirects, no cookies, nothing decompressed, nothing sent twice.

What is sent is a head and a body in one write, once the gate has opened; whether that was ever tried is therefore
known. Connections are kept (pool.py), and answers parsed by llhttp (connection.py).
"""

import re
import socket
import ssl
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlsplit

from wicket.core.errors import UpstreamFailed
from wicket.runtime.wire.addresses import AddressPolicy, AddressRefused, Lookup, VettingResolver
from wicket.runtime.wire.connection import Connection, Lost, Malformed
from wicket.runtime.wire.pool import NotConnected, Origin, Pool
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
_PORTS: Final = {"http": 80, "https": 443}
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~"
_UNSENDABLE: Final = re.compile(r"[\r\n\0]")


class HttpWire:
    """Implements `Wire`. Build it, and close it, on the event loop that uses it."""

    def __init__(
        self,
        *,
        addresses: AddressPolicy,
        limits: WireLimits | None = None,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self._pool = Pool(
            addresses=addresses,
            resolver=VettingResolver(addresses, lookup),
            limits=limits or WireLimits(),
            tls=tls if tls is not None else _trusting_authorities(),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def send(
        self, request: WireRequest, *, before_first_byte: BeforeFirstByte | None = None
    ) -> "HttpResponse":
        """Send at most once; see `Wire`. A connection that was closed while idle is replaced unsent."""
        origin, target, host = _address_of(request)
        message = _rendered(request, target, host)
        for _ in range(ATTEMPTS_MAX):
            connection = await self._take(origin, request)
            response = HttpResponse(self._pool, origin, connection, request)
            try:
                if before_first_byte is not None:
                    await before_first_byte()
                if connection.is_usable:
                    connection.write(message)
                    await response.begin()
                    return response
            except BaseException:
                response.drop()
                raise
            response.drop()
        raise unreachable(request.service, "it closes connections before anything is sent")

    async def _take(self, origin: Origin, request: WireRequest) -> Connection:
        try:
            return await self._pool.take(origin)
        except NotConnected as error:
            raise _not_connected(request.service, error.__cause__) from error


class HttpResponse:
    """Implements `WireResponse`, and is the iterator over its own chunks."""

    def __init__(self, pool: Pool, origin: Origin, connection: Connection, request: WireRequest) -> None:
        self._pool = pool
        self._origin = origin
        self._connection: Connection | None = connection
        self._request = request
        self._bytes_read = 0
        self.status = 0
        self.headers: dict[str, str] = {}

    async def begin(self) -> None:
        """Wait for the head; raises UpstreamFailed."""
        connection = self._connection
        if connection is None:
            return
        try:
            await connection.head(self._request.timeout_s)
        except (Lost, Malformed, TimeoutError) as error:
            raise _not_answered(error, self._request) from error
        self.status, self.headers = connection.status, connection.headers

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        request, connection = self._request, self._connection
        if connection is None:
            raise StopAsyncIteration
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise broken(request.service, "it compressed its answer although it was asked not to")
        try:
            chunk = await connection.read(request.timeout_s)
        except (Lost, Malformed, TimeoutError) as error:
            raise _not_answered(error, request) from error
        if connection.is_complete:
            self._let_go(connection)
        if not chunk:
            raise StopAsyncIteration
        self._bytes_read += len(chunk)
        if self._bytes_read > request.response_bytes_max:
            raise broken(request.service, f"its answer is longer than {request.response_bytes_max} bytes")
        return chunk

    async def aclose(self) -> None:
        self.drop()

    def drop(self) -> None:
        """Let go, whether the answer was read to its end or not."""
        if self._connection is not None:
            self._connection.forget()
            self._let_go(self._connection)

    def _let_go(self, connection: Connection) -> None:
        self._connection = None
        self._pool.give_back(self._origin, connection)


def _trusting_authorities() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _address_of(request: WireRequest) -> tuple[Origin, str, str]:
    """Whom to connect to, the request's target and its Host; raises UpstreamFailed."""
    try:
        return _parsed(request.url)
    except ValueError as error:
        raise unreachable(
            request.service, "its address is not an http or https one without a user name"
        ) from error


@lru_cache(maxsize=1_000)
def _parsed(url: str) -> tuple[Origin, str, str]:
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in _PORTS or not host or parts.username is not None:
        raise ValueError("not an http or https address without a user name")
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    port = parts.port or _PORTS[parts.scheme]
    target = quote(parts.path or "/", safe=_PATH_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_PATH_SAFE + "?")
    shown = f"[{host}]" if ":" in host else host
    is_default = port == _PORTS[parts.scheme]
    return Origin(parts.scheme == "https", host, port), target, shown if is_default else f"{shown}:{port}"


def _rendered(request: WireRequest, target: str, host: str) -> bytes:
    """The whole request; raises UpstreamFailed for a header that would be more than one."""
    headers = {"Host": host, "Accept-Encoding": "identity", **request.headers}
    if request.body or request.method == "POST":
        headers["Content-Length"] = str(len(request.body))
    for value in headers.values():
        if _UNSENDABLE.search(value):
            raise unreachable(request.service, "a header holds a line break and cannot be sent")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{request.method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + request.body


def _not_connected(service: str, cause: BaseException | None) -> UpstreamFailed:
    match cause:
        case AddressRefused():
            return unreachable(service, "its address is not allowed (setting `upstream_allow_private`)")
        case socket.gaierror():
            return unreachable(service, "its name is not known")
        case ssl.SSLError():
            return unreachable(service, "its certificate is not to be trusted or TLS failed")
        case TimeoutError():
            return unreachable(service, "no connection could be made in time")
        case _:
            return unreachable(service, "it does not accept connections")


def _not_answered(error: Lost | Malformed | TimeoutError, request: WireRequest) -> UpstreamFailed:
    match error:
        case TimeoutError():
            return timed_out(request.service, request.timeout_s)
        case Malformed():
            return broken(request.service, "what it sent is not HTTP")
        case _:
            return broken(request.service, "it closed the connection before its answer was complete")
