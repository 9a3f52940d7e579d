"""HTTP as values: what came in, what goes out. No framework, no sockets."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

Headers = tuple[tuple[str, str], ...]

JSON_HEADERS: Headers = (("content-type", "application/json"), ("cache-control", "no-store"))
STREAM_HEADERS: Headers = (
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store"),
    ("x-accel-buffering", "no"),
)


_KINDS: Final = frozenset({"text/event-stream", "application/json"})


class Reader(Protocol):
    """Who reads a body that comes in parts."""

    def send(self, part: bytes) -> bool:
        """Send a part; True when `drained` must be awaited before the next."""

    async def drained(self) -> None:
        """Wait until the reader has read, or has left."""


class Stream(Protocol):
    """A body that comes in parts; closed when it has come to its end, and when nobody reads it any more."""

    async def tell(self, reader: Reader) -> None:
        """Send the reader everything, as it comes, and no more than they read."""

    async def aclose(self) -> None: ...


class Parts:
    """A `Stream` of what is made part by part, behind a first that is there already."""

    def __init__(self, parts: AsyncGenerator[bytes, None], *, first: bytes) -> None:
        self._parts = parts
        self._first = first

    async def tell(self, reader: Reader) -> None:
        """See `Stream`."""
        if reader.send(self._first):
            await reader.drained()
        async for part in self._parts:
            if reader.send(part):
                await reader.drained()

    async def aclose(self) -> None:
        """See `Stream`."""
        await self._parts.aclose()


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
    first: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """The first value of each header, made once; from the headers, unless whoever read them has it."""

    def __post_init__(self) -> None:
        if not self.first:
            object.__setattr__(self, "first", first_values(self.headers))

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return self.first.get(name)

    def values(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        if len(self.first) == len(self.headers):
            return [self.first[name]] if name in self.first else []
        return [value for key, value in self.headers if key == name]


def first_values(headers: Headers) -> Mapping[str, str]:
    """Of headers that are repeated, the first counts."""
    return dict(reversed(headers))


@dataclass(frozen=True, slots=True)
class Outbound:
    """One HTTP answer: a whole body, or parts as they come."""

    status: int
    headers: Headers = JSON_HEADERS
    body: bytes | Stream = b""


def find_bearer(inbound: Inbound) -> str | None:
    """The bearer token of the one Authorization header.

    Of two headers none counts: which of them is meant would depend on who reads.
    """
    values = inbound.values("authorization")
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def accepts_stream(inbound: Inbound) -> bool:
    """Whether the client said that it reads server-sent events."""
    return any("text/event-stream" in value for value in inbound.values("accept"))


def prefers_stream(inbound: Inbound) -> bool:
    """Whether the client names server-sent events before JSON: then even a whole answer comes as an event."""
    return _prefers_stream(inbound.header("accept") or "")


@lru_cache(maxsize=64)
def _prefers_stream(accept: str) -> bool:
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
