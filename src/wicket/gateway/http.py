"""HTTP as values: what came in, what goes out. No framework, no sockets."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

Headers = tuple[tuple[str, str], ...]

JSON_HEADERS: Headers = (("content-type", "application/json"), ("cache-control", "no-store"))
STREAM_HEADERS: Headers = (
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store"),
    ("x-accel-buffering", "no"),
)


_KINDS: Final = frozenset({"text/event-stream", "application/json"})


class Chunks(Protocol):
    """A body as it comes; closed when it was read to its end, and when nobody reads it any more."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Inbound:
    """One HTTP request to the proxy."""

    method: str
    service: str | None
    """The connector of `/mcp/{service}`; None at the aggregator."""
    headers: Headers
    """Lower-case names, in order, repeated ones included."""
    body: bytes
    caller_ip: str

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Outbound:
    """One HTTP answer: a whole body, or chunks as they come."""

    status: int
    headers: Headers = JSON_HEADERS
    body: bytes | Chunks = b""


def find_bearer(inbound: Inbound) -> str | None:
    """The bearer token of the one Authorization header.

    Of two headers none counts: which of them is meant would depend on who reads.
    """
    values = [value for name, value in inbound.headers if name == "authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def accepts_stream(inbound: Inbound) -> bool:
    """Whether the client said that it reads server-sent events."""
    return any(name == "accept" and "text/event-stream" in value for name, value in inbound.headers)


def prefers_stream(inbound: Inbound) -> bool:
    """Whether the client names server-sent events before JSON: then even a whole answer comes as an event."""
    accept = next((value for name, value in inbound.headers if name == "accept"), "")
    kinds = [kind.partition(";")[0].strip().lower() for kind in accept.split(",")]
    return next((kind for kind in kinds if kind in _KINDS), None) == "text/event-stream"


def as_stream(outbound: Outbound) -> Outbound:
    """A whole answer as a stream of one event."""
    if outbound.status != 200 or not isinstance(outbound.body, bytes):  # noqa: PLR2004 - HTTP
        return outbound
    headers = tuple(pair for pair in outbound.headers if pair not in JSON_HEADERS)
    return Outbound(outbound.status, (*STREAM_HEADERS, *headers), stream_event(outbound.body))


def stream_event(body: bytes) -> bytes:
    """One JSON-RPC message as a server-sent event."""
    return b"event: message\ndata: " + body + b"\n\n"
