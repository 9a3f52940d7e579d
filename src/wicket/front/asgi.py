"""The bridge to everything that is not the proxy: one request, its body read, to an ASGI application."""

from typing import Any

import structlog
from starlette.types import Message

from wicket.core.errors import Refused, RpcCode
from wicket.front.exchange import COMMENT, Client, length_unknown
from wicket.front.front import Front
from wicket.front.rendering import (
    LAST_CHUNK,
    is_event_stream,
    refusal,
    render_chunk,
    render_start,
    render_whole,
)
from wicket.front.requests import Request
from wicket.gateway.http import Headers, Outbound

_BROKEN = Refused(
    "something went wrong here: try again, or ask who runs this instance",
    rpc_code=RpcCode.INTERNAL_ERROR,
    status=500,
)
_LOG = structlog.get_logger(__name__)


async def answer(client: Client, front: Front, request: Request) -> None:
    """Have the application answer one request; it goes on when the client leaves, and may find that out."""
    exchange = _Exchange(client, front, request)
    try:
        await front.api(_scope(request), exchange.receive, exchange.send)
    except Exception:  # noqa: BLE001 - the top of the process: whatever breaks, the client gets an answer
        _LOG.exception("request_failed", path=request.target.path)
    finally:
        exchange.end()


def _scope(request: Request) -> dict[str, Any]:
    target, inbound = request.target, request.inbound
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1" if request.takes_chunks else "1.0",
        "method": inbound.method,
        "scheme": "http",
        "path": target.path,
        "raw_path": target.raw_path,
        "query_string": target.query,
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in inbound.headers],
        "client": (inbound.caller_ip, 0),
        "server": None,
    }


class _Exchange:
    """What an ASGI application is given to read with and to answer by."""

    def __init__(self, client: Client, front: Front, request: Request) -> None:
        self._client = client
        self._front = front
        self._request = request
        self._is_read = False
        self._start: tuple[int, Headers] | None = None
        self._is_streaming = False
        self._is_complete = False

    async def receive(self) -> Message:
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": self._request.inbound.body, "more_body": False}
        if not self._is_complete:
            await self._client.left()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message["status"], _headers_of(message)
            return
        if self._start is None or self._is_complete:
            raise RuntimeError("a body comes after its start, and once")
        body, is_last = message.get("body", b""), not message.get("more_body", False)
        if is_last and not self._is_streaming:
            self._whole(*self._start, body)
        else:
            await self._part(*self._start, body, is_last=is_last)
        self._is_complete = is_last

    def _whole(self, status: int, headers: Headers, body: bytes) -> None:
        request = self._request
        outbound = Outbound(status, headers, body)
        has_body = request.inbound.method != "HEAD"
        self._client.write(
            render_whole(outbound, body, self._front.date, persists=request.persists, has_body=has_body)
        )

    async def _part(self, status: int, headers: Headers, body: bytes, *, is_last: bool) -> None:
        request = self._request
        if not self._is_streaming:
            self._is_streaming = True
            start = render_start(status, headers, self._front.date) + length_unknown(request)
            comment = COMMENT if is_event_stream(headers) else None
            chunked = render_chunk(comment) if comment and request.takes_chunks else comment
            self._client.begin_stream(start, chunked)
        if request.inbound.method == "HEAD":
            return
        part = render_chunk(body) if body and request.takes_chunks else body
        if is_last and request.takes_chunks:
            part += LAST_CHUNK
        if part and self._client.send_part(part):
            await self._client.drained()

    def end(self) -> None:
        """Whatever the application has left open."""
        if self._start is None:
            broken = refusal(_BROKEN, for_mcp=False)
            self._whole(broken.status, broken.headers, broken.body if isinstance(broken.body, bytes) else b"")
            self._is_complete = True
        if self._is_complete:
            self._client.answered(self._request)
        else:
            self._client.broken()


def _headers_of(message: Message) -> Headers:
    """The application's headers, but for those by which an answer is delimited: they are the front's."""
    return tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in message.get("headers", ())
        if name.lower() not in {b"content-length", b"transfer-encoding", b"connection", b"date"}
    )
