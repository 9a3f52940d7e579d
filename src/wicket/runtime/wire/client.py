"""HTTP/1.1 to upstreams: no redirects, no cookies, nothing decompressed, nothing sent twice.

What is sent is a head and a body in one write, once the gate has opened; whether that was ever tried is therefore
known. The rest of a long body follows in pieces, between which others have their turn. Connections are kept
(pool.py), and answers parsed by llhttp (connection.py).
"""

import asyncio
import socket
import ssl
from functools import lru_cache
from math import inf
from typing import Final
from urllib.parse import quote, urlsplit

from wicket.core.errors import UpstreamFailed
from wicket.runtime.wire.addresses import AddressPolicy, AddressRefused, Lookup, VettingResolver
from wicket.runtime.wire.connection import Connection, Lost, Malformed
from wicket.runtime.wire.pool import NotConnected, Origin, Pool
from wicket.runtime.wire.values import (
    BeforeFirstByte,
    Heard,
    WireLimits,
    WireRequest,
    broken,
    header_lines,
    overdue,
    timed_out,
    unreachable,
)

ATTEMPTS_MAX: Final = 3
"""Connections that may turn out to be closed before anything was sent on them."""
PIECE_BYTES: Final = 256 * 1024
"""Encrypted and sent at once."""
_PORTS: Final = {"http": 80, "https": 443}
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~"


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
        origin, opening = _opening_of(request)
        if len(request.body) > PIECE_BYTES:
            await asyncio.sleep(0)  # it took a while to be written
        for _ in range(ATTEMPTS_MAX):
            connection = self._pool.find_idle(origin) or await self._connected(origin, request)
            try:
                if before_first_byte is not None:
                    await before_first_byte()
                if connection.is_usable:
                    connection.write(_rendered(opening, request))
                    try:
                        if len(request.body) > PIECE_BYTES:
                            await _send_rest(connection, request.body)
                        while not connection.has_head:
                            await connection.news(request.timeout_s)
                    except (Lost, Malformed, TimeoutError) as error:
                        raise _not_answered(error, request) from error
                    return HttpResponse(self._pool, origin, connection, request)
            except BaseException:
                self._pool.give_back(origin, connection)
                raise
            self._pool.give_back(origin, connection)
        raise unreachable(request.service, "it closes connections before anything is sent")

    async def _connected(self, origin: Origin, request: WireRequest) -> Connection:
        try:
            return await self._pool.take(origin)
        except NotConnected as error:
            raise _not_connected(request.service, error.__cause__) from error


class HttpResponse:
    """Implements `WireResponse`."""

    def __init__(self, pool: Pool, origin: Origin, connection: Connection, request: WireRequest) -> None:
        self.status = connection.status
        self.headers = connection.headers
        self.is_over = False
        self.ends_at_s = inf
        self._pool = pool
        self._origin = origin
        self._connection: Connection | None = connection
        self._request = request
        self._is_encoded = (
            b"content-encoding" in self.headers and self.headers[b"content-encoding"].lower() != b"identity"
        )
        self._bytes_max = request.response_bytes_max
        self._bytes_read = 0

    async def hear(self, heard: Heard) -> None:
        """See `WireResponse`."""
        connection, request = self._connection, self._request
        if connection is None:
            return
        if self._is_encoded:
            raise broken(request.service, "it compressed its answer although it was asked not to")
        try:
            await connection.hear(request.timeout_s, self.ends_at_s, heard)
        except (Lost, Malformed, TimeoutError) as error:
            if isinstance(error, TimeoutError) and asyncio.get_running_loop().time() >= self.ends_at_s:
                raise overdue(request.service) from error
            raise _not_answered(error, request) from error

    def take(self) -> bytes:
        """See `WireResponse`."""
        connection = self._connection
        if connection is None:
            return b""
        body = connection.take()
        if connection.is_complete:
            self.close()
        self._bytes_read += len(body)
        if self._bytes_read > self._bytes_max:
            raise broken(self._request.service, f"its answer is longer than {self._bytes_max} bytes")
        return body

    async def receive(self) -> bytes:
        """See `WireResponse`."""
        body = b""

        def heard() -> bool:
            nonlocal body
            body = self.take()
            return True

        await self.hear(heard)
        return body

    async def read(self, bytes_max: int | None = None) -> bytes:
        """See `WireResponse`."""
        self._bytes_max = bytes_max or self._bytes_max
        connection = self._connection
        if connection is not None and connection.is_complete and not self._is_encoded:
            return self.take()  # most answers are short, and there with their heads
        pieces: list[bytes] = []

        def heard() -> bool:
            pieces.append(self.take())
            return self.is_over

        await self.hear(heard)
        return b"".join(pieces)

    def close(self) -> None:
        """See `WireResponse`."""
        self.is_over = True
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(self._origin, connection)


def _trusting_authorities() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _opening_of(request: WireRequest) -> tuple[Origin, bytes]:
    """Whom to connect to, and how the request begins; raises UpstreamFailed."""
    try:
        return _opening(request.method, request.url)
    except ValueError as error:
        raise unreachable(
            request.service, "its address is not an http or https one without a user name"
        ) from error


@lru_cache(maxsize=1_000)
def _opening(method: str, url: str) -> tuple[Origin, bytes]:
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
    if port != _PORTS[parts.scheme]:
        shown += f":{port}"
    headers = header_lines({"Host": shown, "Accept-Encoding": "identity"})
    return Origin(parts.scheme == "https", host, port), f"{method} {target} HTTP/1.1\r\n".encode() + headers


def _rendered(opening: bytes, request: WireRequest) -> bytes:
    """The request, of a long one the beginning; what has no body, and none to expect, says nothing of its length."""
    body = request.body
    length = b"Content-Length: %d\r\n" % len(body) if body or request.method == "POST" else b""
    return b"%b%b%b\r\n%b" % (opening, request.headers, length, body[:PIECE_BYTES])


async def _send_rest(connection: Connection, body: bytes) -> None:
    view = memoryview(body)
    for begin in range(PIECE_BYTES, len(body), PIECE_BYTES):
        await asyncio.sleep(0)
        if not connection.write_more(view[begin : begin + PIECE_BYTES]):
            return


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
