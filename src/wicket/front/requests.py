"""Bytes of a connection to requests: parsed once, strictly, bounded in everything.

The parser is llhttp in its strict mode, which refuses bare line feeds, folded headers, spaces before a colon and
lengths that contradict each other. What it lets pass and HTTP leaves to two readings is refused here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from wicket.core.errors import Refused, RpcCode
from wicket.front.door import Door, caller_address, check_origin_and_host, is_host
from wicket.front.limits import FRAMING_BYTES_MAX, FRAMING_SHARE_MAX, SLICE_BYTES, Limits
from wicket.front.targets import Target, is_below_mcp, parse_target
from wicket.gateway.http import Inbound, first_values

_METHODS: Final = {
    method.encode(): method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}
_COMMON_NAMES: Final = (
    *("host", "authorization", "content-type", "content-length", "accept", "accept-encoding", "user-agent"),
    *("connection", "mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name", "origin", "cookie"),
    *("x-claude-code-session-id", "x-forwarded-for", "x-forwarded-proto", "accept-language", "traceparent"),
    *("transfer-encoding", "last-event-id", "sec-fetch-mode", "cache-control", "expect"),
)
_NAMES: Final = {
    spelled.encode(): name for name in _COMMON_NAMES for spelled in (name, name.title(), name.upper())
}
_ONCE: Final = frozenset({"host", "content-length", "transfer-encoding", "expect"})
NO_HOST: Final = "\0"
_CONTINUE: Final = "100-continue"


class Phase(IntEnum):
    """Where in a request its reader is."""

    BETWEEN = 0
    HEAD = 1
    BODY = 2


# Reading a member off its class costs more than all else that is done for a header.
BETWEEN, HEAD, BODY = Phase


@dataclass(slots=True)
class Request:
    """One complete request."""

    inbound: Inbound
    target: Target
    persists: bool
    """Whether the connection goes on after the answer."""
    takes_chunks: bool
    """Whether an answer of unknown length may come in chunks (HTTP/1.1)."""


class RequestReader:
    """Feeds on what a connection receives; complete requests gather in `complete`.

    Nothing completes after `feed` has raised Refused, nor after a request that does not persist.
    """

    def __init__(self, door: Door, limits: Limits, peer: str) -> None:
        self._door = door
        self._limits = limits
        self._peer = peer
        self._is_over = False
        self._is_proxied = door.trusts(peer)
        self._parser = HttpRequestParser(self)
        self._head_held_max = limits.head_bytes_max + limits.target_bytes_max + SLICE_BYTES
        self._host: str | None = NO_HOST
        """The last Host that was found to be ours."""
        self.complete: list[Request] = []
        self.phase = BETWEEN
        self.awaits_continue = False
        self.held_bytes = 0
        """What the incomplete request has sent so far, about."""
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._parts: list[bytes] = []
        self._body_bytes = 0

    @property
    def is_for_mcp(self) -> bool:
        """Whether the request that is being read asks the proxy."""
        return is_below_mcp(self._url)

    def feed(self, data: bytes | memoryview) -> None:
        """Take what was received; raises Refused (400, 404, 413, 414, 417, 431, 501, 505)."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise _cause(error) from error
        if self.phase is BETWEEN:
            return
        # Of the bytes that a request began in, an unknown share is its own: all of them are counted.
        self.held_bytes += len(data)
        if self.phase is HEAD and self.held_bytes > self._head_held_max:
            raise _too_many_headers(self._limits)
        if self.held_bytes > self._head_held_max + FRAMING_BYTES_MAX + FRAMING_SHARE_MAX * self._body_bytes:
            raise _malformed("the body's chunks have more around them than in them")

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._is_over:
            raise _malformed("there is more after the last request")
        self.phase = HEAD
        self.held_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.target_bytes_max:
            raise _refused("the path and query are too long: send less of them", 414)

    def on_header(self, name: bytes, value: bytes) -> None:
        known = _NAMES.get(name)
        if known is None:
            if b"_" in name:
                return  # what stands before us may take it for a hyphen: it is nobody's header
            known = name.decode("latin-1").lower()
        self._headers.append((known, value.decode("latin-1").rstrip(" \t")))

    def on_headers_complete(self) -> None:
        limits, headers = self._limits, self._headers
        # A head that came in one slice is shorter than the bound.
        if len(headers) > limits.headers_max or (self.held_bytes and _size(headers) > limits.head_bytes_max):
            raise _too_many_headers(limits)
        first: Mapping[str, str] = dict(headers)
        if len(first) != len(headers):
            _check_repeated(headers)
            first = first_values(tuple(headers))
        persists = self._parser.should_keep_alive()
        # Who says nothing of it, and whose connection goes on, speaks 1.1.
        version = "1.1" if persists and "connection" not in first else self._parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise _refused("speak HTTP/1.1", 505)
        method = _METHODS.get(self._parser.get_method())
        if method is None:
            raise _refused("this method is not served here", 501)
        target = parse_target(self._url)
        if first.get("host") != self._host or "origin" in first or not target.is_mcp:
            self._check_host(first, target, version)
        self._check_framing(first, target, version)
        self._method, self._target = method, target
        self._takes_chunks = version == "1.1"
        self._persists = self._takes_chunks and persists
        self._head, self._first = tuple(headers), first
        self.phase = BODY

    def on_body(self, part: bytes) -> None:
        self._body_bytes += len(part)
        limit = self._body_max(self._target)
        if self._body_bytes > limit:
            raise _too_long(limit)
        self._parts.append(part)

    def on_message_complete(self) -> None:
        parts, head, target = self._parts, self._head, self._target
        if len(head) != len(self._headers):
            raise _malformed("headers after the body are not taken")
        inbound = Inbound(
            self._method,
            target.service,
            head,
            parts[0] if len(parts) == 1 else b"".join(parts),
            caller_address(self._peer, head, self._door) if self._is_proxied else self._peer,
            self._first,
        )
        self.complete.append(Request(inbound, target, self._persists, self._takes_chunks))
        self._is_over = not self._persists
        self.phase = BETWEEN
        self.awaits_continue = False
        self._begin()

    # What is checked once the headers are there.

    def _check_host(self, first: Mapping[str, str], target: Target, version: str) -> None:
        host = first.get("host")
        if host is None and (version == "1.1" or target.is_mcp):
            raise _malformed("there is no Host header")
        if host is None:
            return
        if not is_host(host):
            raise _malformed("the Host header names no host")
        if target.is_mcp:
            check_origin_and_host(tuple(self._headers), self._door)
            self._host = host

    def _check_framing(self, first: Mapping[str, str], target: Target, version: str) -> None:
        if "upgrade" in first:
            raise _malformed("only HTTP/1.1 is spoken here, and nothing is upgraded")
        coding = first.get("transfer-encoding")
        if coding is not None and version != "1.1":
            raise _malformed("HTTP/1.0 knows no Transfer-Encoding")
        if coding is not None and coding.lower() != "chunked":
            raise _refused("a body comes plain, or in chunks: no other Transfer-Encoding is taken", 501)
        length = first.get("content-length")
        limit = self._body_max(target)
        if length is not None and int(length) > limit:
            raise _too_long(limit)
        expected = first.get("expect")
        if expected is not None and version == "1.1":
            if expected.lower() != _CONTINUE:
                raise _refused("the only expectation that can be met is `100-continue`", 417)
            self.awaits_continue = coding is not None or length not in {None, "0"}

    def _body_max(self, target: Target) -> int:
        return self._limits.body_bytes_max if target.is_mcp else self._limits.api_body_bytes_max


def _size(headers: list[tuple[str, str]]) -> int:
    return sum(len(name) + len(value) + len(": \r\n") for name, value in headers)


def _check_repeated(headers: list[tuple[str, str]]) -> None:
    seen: set[str] = set()
    for name, _ in headers:
        if name in seen and name in _ONCE:
            raise _malformed(f"there are two `{name}` headers")
        seen.add(name)


def _cause(error: BaseException) -> Refused:
    """What a callback refused, or that the parser did not understand."""
    refused = error.__context__
    return refused if isinstance(refused, Refused) else _malformed("this is not HTTP/1.1 as it is written")


def _refused(sentence: str, status: int) -> Refused:
    return Refused(sentence, rpc_code=RpcCode.INVALID_REQUEST, status=status)


def _malformed(sentence: str) -> Refused:
    return _refused(sentence, 400)


def _too_many_headers(limits: Limits) -> Refused:
    return _refused(
        f"more than {limits.headers_max} headers, or more than {limits.head_bytes_max} bytes of them", 431
    )


def _too_long(limit: int) -> Refused:
    return _refused(
        f"the body is longer than {limit} bytes: send less, or ask the operator to raise the limit", 413
    )
