"""The log for readers who stay: written out whole, and as it grows."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.types import Receive, Scope, Send

from wicket.api.audit import FilterQuery, filter_of
from wicket.api.guards import Guard, by
from wicket.api.http import Caller, Parts, Text, guarded_router, still_asks
from wicket.core.errors import Unavailable
from wicket.runtime.reading import Told, View, export
from wicket.store.audit.fields import ExportFormat
from wicket.store.audit.query import LIMIT_MAX, OFFSET_MAX
from wicket.store.audit.render import render_line

LOOK_EVERY_S: Final = 2.0
"""How long a live view may go on after its reader has lost the right to it."""
MEDIA_TYPES: Final[Mapping[ExportFormat, str]] = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.JSONL: "application/x-ndjson",
}
EVENT_STREAM: Final = "text/event-stream"


class ExportQuery(FilterQuery):
    format: ExportFormat = Field(ExportFormat.CSV, description="a line an entry, either way")
    limit: int | None = Field(None, ge=1, le=LIMIT_MAX, description="a page; all that match without it")
    offset: int | None = Field(None, ge=0, le=OFFSET_MAX, description="of a page")


class Streamed(StreamingResponse):
    """An answer that comes bit by bit; however it ends, its source is closed."""

    def __init__(
        self, chunks: AsyncGenerator[bytes], close: Callable[[], None], media_type: str, **headers: str
    ) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(chunks, headers=named, media_type=media_type)
        self._chunks = chunks
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, until it is over or the client has left."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()
            await self._chunks.aclose()


def _described(*media_types: str) -> dict[int | str, dict[str, Any]]:
    text = {"schema": {"type": "string"}}
    return {200: {"content": {media_type.partition(";")[0]: text for media_type in media_types}}}


def routes() -> APIRouter:
    """`/api/audit/export` and `/api/audit/stream`."""
    router = guarded_router("audit")
    # FastAPI would look for the status in the signature of the response's class.
    streamed: dict[str, Any] = {"response_class": Streamed, "status_code": 200}
    guard = by(Guard.ACCOUNT, "too_many_readers")
    router.get("/api/audit/export", responses=_described(*MEDIA_TYPES.values()), **streamed, **guard)(
        export_entries
    )
    router.get("/api/audit/stream", responses=_described(EVENT_STREAM), **streamed, **guard)(stream_entries)
    return router


async def export_entries(
    query: Annotated[ExportQuery, Query()], caller: Caller, parts: Parts
) -> StreamingResponse:
    r"""Calls that match, newest first, as the log stands now. Without `limit` and `offset`, all of them.

    In CSV no cell can be taken for a formula, objects are JSON, and what would break a line is written `\\n`. An export
    that cannot be brought to its end breaks off, and does not end well.
    """
    is_page = query.limit is not None or query.offset is not None
    wanted = filter_of(query)
    leave = parts.readers.exports.take(caller.account_id)
    chunks = export(
        parts.db,
        account_id=caller.account_id,
        wanted=wanted,
        form=query.format,
        offset=query.offset or 0,
        most=(query.limit or LIMIT_MAX) if is_page else None,
    )
    name = f"wicket-audit-{parts.now():%Y%m%dT%H%M%SZ}.{query.format}"
    return Streamed(
        chunks, leave, MEDIA_TYPES[query.format], content_disposition=f'attachment; filename="{name}"'
    )


async def stream_entries(
    request: Request,
    query: Annotated[FilterQuery, Query()],
    caller: Caller,
    parts: Parts,
    last_event_id: Annotated[
        Text | None, Header(alias="Last-Event-ID", description="where another stream was left")
    ] = None,
) -> StreamingResponse:
    """Calls that match, as they are decided: `event: entry`, then `event: outcome` when one has ended.

    Each event's `data` is a line of JSON, its `id` a position to go on from, so that a stream taken up again misses and
    repeats nothing. With the filter `outcome`, an entry comes when it has ended so. The stream ends when its reader
    has lost a right to see what it shows.
    """
    view = await parts.readers.view(
        account_id=caller.account_id, wanted=filter_of(query), position=last_event_id or None
    )
    events = _events(view, lambda: still_asks(request))
    return Streamed(events, view.close, EVENT_STREAM, x_accel_buffering="no")


async def _events(view: View, may_go_on: Callable[[], Awaitable[bool]]) -> AsyncGenerator[bytes]:
    clock = asyncio.get_running_loop().time
    look_at, place = clock() + LOOK_EVERY_S, view.position
    yield _mark(place)
    try:
        while (told := await view.next(within_s=LOOK_EVERY_S)) is not None:
            if clock() >= look_at:
                if not await may_go_on():
                    return
                look_at = clock() + LOOK_EVERY_S
            if told:
                yield b"".join(map(_event, told))
            elif view.position != place:
                yield _mark(view.position)
            place = view.position
    except Unavailable:
        return  # the client comes back, and says from where


def _mark(position: str) -> bytes:
    """No event, but where to go on from."""
    return b": \nid: %b\n\n" % position.encode()


def _event(told: Told) -> bytes:
    line = render_line(told.body)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (told.position.encode(), told.event.encode(), line)
