"""What goes over a wire and comes back, and how it fails. Knows no HTTP library.

UpstreamFailed is made by
- `unreachable` (502, `upstream_unreachable`): no connection, so nothing was sent,
- `broken` (502, `upstream_broken`): it answered, but not with what was asked for, or it hung up,
- `timed_out` (504, `upstream_timeout`): it was silent for too long.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from wicket.core.errors import UpstreamFailed
from wicket.core.model import Json

BeforeFirstByte: TypeAlias = Callable[[], Awaitable[None]]
"""Awaited once the connection is there and nothing has been sent; when it raises, nothing is."""

UNREACHABLE: Final = "upstream_unreachable"
BROKEN: Final = "upstream_broken"
TIMEOUT: Final = "upstream_timeout"


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Bounds of a wire, each with its unit."""

    connect_timeout_s: float = 10.0
    """For a name, a place among the host's connections, and the connection itself."""
    connections_per_host: int = 100
    """So that a host that hangs holds up its own callers alone."""
    connections_max: int = 1_000
    idle_connection_s: float = 4.0
    """Shorter than the five seconds after which common servers close an idle connection: a call that is sent
    into a closing connection is lost, because it is never sent twice."""
    head_bytes_max: int = 64 * 1024
    """Of an answer: its status line and all of its headers."""


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One request, a POST unless it says otherwise."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    timeout_s: float
    """Until the head of the answer is there, and then between any two chunks of it."""
    service: str
    """Named in what people read when it fails."""
    response_bytes_max: int = 16 * 1024 * 1024
    method: str = "POST"


class WireResponse(Protocol):
    """An answer whose body has not been read yet."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name; of a repeated one, the last."""

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; raises UpstreamFailed where it is cut, too long or silent."""

    async def aclose(self) -> None:
        """Give the connection back when the body was read to its end, and close it otherwise."""


class Wire(Protocol):
    """Sends each request at most once."""

    async def send(
        self, request: WireRequest, *, before_first_byte: BeforeFirstByte | None = None
    ) -> WireResponse:
        """Send, and return when the head of the answer is there; raises UpstreamFailed."""


def unreachable(service: str, why: str, **facts: Json) -> UpstreamFailed:
    """No connection, so nothing was sent."""
    sentence = f"`{service}` cannot be reached: {why}; try again, and check its address if that does not help"
    return UpstreamFailed(sentence, code=UNREACHABLE, status=502, service=service, **facts)


def broken(service: str, why: str, **facts: Json) -> UpstreamFailed:
    """The upstream did something that cannot be passed on."""
    sentence = f"`{service}` did not answer properly: {why}; whether it did what was asked is not known"
    return UpstreamFailed(sentence, code=BROKEN, status=502, service=service, **facts)


def timed_out(service: str, after_s: float) -> UpstreamFailed:
    """The upstream was silent."""
    sentence = f"`{service}` was silent for {after_s:g} seconds; whether it did what was asked is not known"
    return UpstreamFailed(sentence, code=TIMEOUT, status=504, service=service)
