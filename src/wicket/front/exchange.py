"""A request to the proxy and its answer, whole or as a stream."""

import asyncio
from contextlib import aclosing
from typing import Final, Protocol

import structlog

from wicket.core.errors import Refused, RpcCode
from wicket.front.front import Front
from wicket.front.rendering import (
    CLOSE,
    LAST_CHUNK,
    is_event_stream,
    render_chunk,
    render_start,
    render_whole,
)
from wicket.front.requests import Request
from wicket.gateway import answers
from wicket.gateway.http import Outbound, Stream

PIECE_BYTES: Final = 256 * 1024
"""Of an answer, written at once."""
COMMENT: Final = b": keep-alive\n\n"
_BROKEN: Final = answers.refusal(
    Refused("the proxy failed: its log says why", rpc_code=RpcCode.INTERNAL_ERROR, status=500), None
)
_LOG = structlog.get_logger(__name__)


class Client(Protocol):
    """Where the answer goes."""

    def write(self, data: bytes) -> None:
        """Send, or drop it when nobody is there any more."""

    def begin_stream(self, start: bytes, comment: bytes | None) -> None:
        """An answer that comes in parts; `comment` is sent when it is silent for long."""

    def send_part(self, data: bytes | memoryview) -> bool:
        """Send a part of a stream; True when `drained` must be awaited before the next."""

    async def drained(self) -> None:
        """Wait until the client has read, or has left."""

    async def left(self) -> None:
        """Wait until the client has left."""

    def answered(self, request: Request) -> None:
        """The answer is out."""

    def broken(self) -> None:
        """The answer cannot be brought to its end."""


async def answer(client: Client, front: Front, request: Request) -> None:
    """Have the proxy answer one request, to the end."""
    is_over = False
    try:
        try:
            outbound = await front.handler.answer(request.inbound)
        except Exception:  # noqa: BLE001 - the top of the proxy: whatever breaks, the client gets an answer
            _LOG.exception("proxy_request_failed", path_service=request.target.service)
            outbound = _BROKEN
        body, has_body = outbound.body, request.inbound.method != "HEAD"
        if isinstance(body, bytes) and len(body) > PIECE_BYTES and has_body:
            await _pieces(client, front, request, outbound, body)
            is_over = True
        elif isinstance(body, bytes):
            client.write(
                render_whole(outbound, body, front.date, persists=request.persists, has_body=has_body)
            )
            is_over = True
        else:
            is_over = await _stream(client, front, request, outbound, body)
    finally:
        if is_over:
            client.answered(request)
        else:
            client.broken()


async def _pieces(client: Client, front: Front, request: Request, outbound: Outbound, body: bytes) -> None:
    """Send a long answer a piece at a time, and no more than the client reads; others have their turn between."""
    start = render_whole(outbound, body, front.date, persists=request.persists, has_body=False)
    client.begin_stream(start, None)
    view = memoryview(body)
    for begin in range(0, len(body), PIECE_BYTES):
        if client.send_part(view[begin : begin + PIECE_BYTES]):
            await client.drained()
        else:
            await asyncio.sleep(0)


async def _stream(client: Client, front: Front, request: Request, outbound: Outbound, body: Stream) -> bool:
    """Send chunks as they come, and no more than the client reads; False when they broke off.

    Whoever has left is sent nothing, but a call that outlives its client is brought to its end.
    """
    is_chunked = request.takes_chunks
    comment = COMMENT if is_event_stream(outbound.headers) else None
    async with aclosing(body):
        client.begin_stream(
            render_start(outbound.status, outbound.headers, front.date) + length_unknown(request),
            render_chunk(comment) if is_chunked and comment else comment,
        )
        try:
            await body.tell(_Reader(client, is_chunked=is_chunked))
        except Exception:  # noqa: BLE001 - the top of the proxy: the client sees a stream that breaks off
            _LOG.exception("proxy_stream_failed", path_service=request.target.service)
            return False
    if is_chunked:
        client.write(LAST_CHUNK)
    return True


class _Reader:
    """Implements `Reader`: the client, with each part as a chunk for those who take chunks."""

    def __init__(self, client: Client, *, is_chunked: bool) -> None:
        self._client = client
        self._is_chunked = is_chunked

    def send(self, part: bytes) -> bool:
        if not part:
            return False  # in chunks it would be the end
        return self._client.send_part(render_chunk(part) if self._is_chunked else part)

    async def drained(self) -> None:
        await self._client.drained()


def length_unknown(request: Request) -> bytes:
    """The end of the headers of an answer whose length nobody knows (RFC 9112 section 6.3)."""
    if not request.takes_chunks:
        return CLOSE + b"\r\n"
    return b"transfer-encoding: chunked\r\n" + (b"" if request.persists else CLOSE) + b"\r\n"
