"""Answers as bytes: status line, headers, body, chunks."""

import json
import re
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from wicket.core.errors import Refused
from wicket.gateway import answers
from wicket.gateway.http import JSON_HEADERS, STREAM_HEADERS, Headers, Outbound

LAST_CHUNK: Final = b"0\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE: Final = b"connection: close\r\n"
PROBLEM_HEADERS: Headers = (
    ("content-type", "application/problem+json"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
)
BODILESS: Final = frozenset({204, 304})
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_HEADER: Final = re.compile(r"[a-z0-9-]+: [ -~\t\x80-\xff]*")
_CODES: Final = {
    404: "not_found",
    408: "request_timeout",
    413: "body_too_large",
    500: "internal_error",
    503: "unavailable",
}


def render_headers(headers: Headers) -> bytes:
    """A header block. Raises ValueError for what would be another header, or an answer of its own."""
    lines = [f"{name}: {value}" for name, value in headers]
    for line in lines:
        if _HEADER.fullmatch(line) is None:
            raise ValueError("an answer's header is none")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


_JSON: Final = render_headers(JSON_HEADERS)
_STREAM: Final = render_headers(STREAM_HEADERS)


def render_date(at_s: float) -> bytes:
    """The `date` header; an answer takes the one of its second."""
    return b"date: %b\r\n" % formatdate(at_s, usegmt=True).encode()


def render_start(status: int, headers: Headers, date: bytes) -> bytes:
    """Everything before the headers that say how long the answer is."""
    if headers is JSON_HEADERS:
        block = _JSON
    elif headers is STREAM_HEADERS:
        block = _STREAM
    else:
        block = render_headers(headers)
    return (_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status) + date + block


def render_whole(outbound: Outbound, body: bytes, date: bytes, *, persists: bool, has_body: bool) -> bytes:
    """A whole answer; without its body for HEAD."""
    start = render_start(outbound.status, outbound.headers, date)
    if not persists:
        start += CLOSE
    if outbound.status in BODILESS:
        return start + b"\r\n"
    return b"%bcontent-length: %d\r\n\r\n%b" % (start, len(body), body if has_body else b"")


def render_chunk(chunk: bytes) -> bytes:
    """A part of an answer of unknown length (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(chunk), chunk)


def is_event_stream(headers: Headers) -> bool:
    """Whether comments may stand between the chunks."""
    return any(
        name == "content-type" and value.partition(";")[0] == "text/event-stream" for name, value in headers
    )


def refusal(refused: Refused, *, for_mcp: bool) -> Outbound:
    """A refusal in the language of who asked: JSON-RPC at the proxy, a problem (RFC 9457) elsewhere."""
    if for_mcp:
        return answers.refusal(refused, None)
    status = refused.status
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": _CODES.get(status, "bad_request"),
        "detail": refused.sentence,
    }
    headers = PROBLEM_HEADERS
    if refused.retry_after_s is not None:
        headers = (*headers, ("retry-after", str(refused.retry_after_s)))
    return Outbound(status, headers, json.dumps(problem).encode())
