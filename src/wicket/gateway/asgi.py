"""The page that turns ASGI into `Inbound` and `Outbound`, and back.

It reads the body up to its limit, believes forwarded addresses from trusted proxies alone, checks Origin and
Host, and watches for the client leaving: in the modern era that cancels the call, in the legacy era it does not.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import structlog

from wicket.core.errors import Refused, RpcCode
from wicket.core.jsonrpc import MODERN_VERSIONS
from wicket.gateway import answers
from wicket.gateway.http import Chunks, Headers, Inbound, Outbound

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

KEEP_ALIVE_S: Final = 15.0
_LOG = structlog.get_logger(__name__)
_BROKEN = Refused("the proxy failed: its log says why", rpc_code=RpcCode.INTERNAL_ERROR, status=500)
_LOOPBACK_HOST: Final = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")


class Handler(Protocol):
    """What answers a request; `Gateway` does."""

    async def answer(self, inbound: Inbound) -> Outbound: ...


@dataclass(frozen=True, slots=True)
class Door:
    """What the door checks before anybody is asked."""

    body_bytes_max: int
    public_host: str
    """Host (and port, where not the default) that clients use."""
    is_loopback: bool
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()


class McpEndpoint:
    """ASGI application for `/mcp` and `/mcp/{service}`."""

    def __init__(self, handler: Handler, door: Door) -> None:
        self._handler = handler
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
        )
        try:
            check_origin_and_host(headers, self._door)
            body = await read_body(headers, receive, self._door.body_bytes_max)
        except Refused as refused:
            await _send(answers.refusal(refused, None), send)
            return
        if body is None:
            return
        service = scope["path"].removeprefix("/mcp").strip("/") or None
        inbound = Inbound(scope["method"], service, headers, body, caller_address(scope, headers, self._door))
        if inbound.method == "POST" and not closing_cancels(headers):
            await self._work(inbound, send)  # to its end, whether or not the client stays
            return
        await self._work_while_there(inbound, receive, send)

    async def _work_while_there(self, inbound: Inbound, receive: Receive, send: Send) -> None:
        """The client's leaving cancels the work."""
        work = asyncio.create_task(self._work(inbound, send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
            with suppress(asyncio.CancelledError):
                await work
        finally:
            leaving.cancel()
            work.cancel()

    async def _work(self, inbound: Inbound, send: Send) -> None:
        try:
            outbound = await self._handler.answer(inbound)
        except Exception:  # noqa: BLE001 - the top of the proxy: whatever breaks, the client gets an answer
            _LOG.exception("proxy_request_failed", path_service=inbound.service)
            outbound = answers.refusal(_BROKEN, None)
        await _send(outbound, send)


def closing_cancels(headers: Headers) -> bool:
    """Whether closing the stream is cancellation: in the modern era (MCP 2026-07-28, basic/transports)."""
    return any(name == "mcp-protocol-version" and value in MODERN_VERSIONS for name, value in headers)


def check_origin_and_host(headers: Headers, door: Door) -> None:
    """Refuse foreign pages and rebound names (403): only our own Host, and no Origin but our own."""
    hosts = [value for name, value in headers if name == "host"]
    if len(hosts) != 1 or not _is_ours(hosts[0], door):
        raise _forbidden("this Host is not served here: use the address that the operator published")
    for name, value in headers:
        if name == "origin" and not _is_our_origin(value, door):
            raise _forbidden("this Origin may not call the proxy")


def _is_ours(host: str, door: Door) -> bool:
    if host.lower() == door.public_host.lower():
        return True
    return door.is_loopback and _LOOPBACK_HOST.fullmatch(host.lower()) is not None


def _is_our_origin(origin: str, door: Door) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and _is_ours(parts.netloc, door)


def _forbidden(sentence: str) -> Refused:
    return Refused(sentence, rpc_code=RpcCode.INVALID_REQUEST, status=403)


def caller_address(scope: Scope, headers: Headers, door: Door) -> str:
    """The peer's address, or the one a trusted proxy forwards: the last that no trusted proxy has."""
    address: str = scope["client"][0] if scope.get("client") else ""
    forwarded = [
        part.strip() for name, value in headers if name == "x-forwarded-for" for part in value.split(",")
    ]
    while forwarded and _is_trusted(address, door.trusted_proxies):
        address = forwarded.pop()
    return address


def _is_trusted(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    if not networks:
        return False
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped  # how a socket for both families names an IPv4 peer
    return any(parsed in network for network in networks)


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes | None:
    """The whole body; None when the client left first. Raises Refused (413) as soon as it is too long."""
    declared = next((value for name, value in headers if name == "content-length"), "0")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_long(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_long(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_long(limit: int) -> Refused:
    return Refused(
        f"the body is longer than {limit} bytes: send less, or ask the operator to raise the limit",
        rpc_code=RpcCode.INVALID_REQUEST,
        status=413,
    )


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(outbound: Outbound, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in outbound.headers]
    if isinstance(outbound.body, bytes):
        headers.append((b"content-length", str(len(outbound.body)).encode()))
        await send({"type": "http.response.start", "status": outbound.status, "headers": headers})
        await send({"type": "http.response.body", "body": outbound.body})
        return
    async with aclosing(outbound.body) as chunks:
        await send({"type": "http.response.start", "status": outbound.status, "headers": headers})
        await _send_chunks(chunks, send)
    await send({"type": "http.response.body", "body": b""})


async def _send_chunks(chunks: Chunks, send: Send) -> None:
    turn = asyncio.Lock()
    keeper = asyncio.create_task(_keep_alive(send, turn))
    try:
        async for chunk in chunks:
            async with turn:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        keeper.cancel()


async def _keep_alive(send: Send, turn: asyncio.Lock) -> None:
    """A comment now and then, so that what stands between does not close a silent stream."""
    while True:
        await asyncio.sleep(KEEP_ALIVE_S)
        async with turn:
            await send({"type": "http.response.body", "body": b": keep-alive\n\n", "more_body": True})
