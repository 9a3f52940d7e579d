"""What goes over a wire and comes back, and how it fails. Knows no HTTP library.

UpstreamFailed is made by
- `unreachable` (502, `upstream_unreachable`): no connection, so nothing was sent,
- `broken` (502, `upstream_broken`): it answered, but not with what was asked for, or it hung up,
- `timed_out` (504, `upstream_timeout`): it was silent for too long,
- `overdue` (504, `upstream_timeout`): it was not silent, and did not end either.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NewType, Protocol, TypeAlias

from wicket.core.errors import Invalid, UpstreamFailed
from wicket.core.model import Json

BeforeFirstByte: TypeAlias = Callable[[], Awaitable[None]]
"""Awaited once the connection is there and nothing has been sent; when it raises, nothing is."""

Heard: TypeAlias = Callable[[], bool]
"""Called when there is something to take; True where that is enough, and whoever waits is to go on."""

UNREACHABLE: Final = "upstream_unreachable"
BROKEN: Final = "upstream_broken"
TIMEOUT: Final = "upstream_timeout"
_UNSENDABLE: Final = re.compile(r"[\r\n\0]")


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


HeaderLines = NewType("HeaderLines", bytes)
"""Headers as they are sent, each of them one line: `header_lines` makes them."""
NO_LINES: Final = HeaderLines(b"")


def header_lines(headers: Mapping[str, str]) -> HeaderLines:
    """Render; raises Invalid for a header that would be more than one."""
    lines = b""
    for name, value in headers.items():
        line = f"{name}: {value}"
        if _UNSENDABLE.search(line):
            raise Invalid("a header holds a line break and cannot be sent: leave it out", field=name)
        lines += line.encode() + b"\r\n"
    return HeaderLines(lines)


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One request, a POST unless it says otherwise."""

    url: str
    headers: HeaderLines = field(repr=False)
    """Without those that are the wire's: Host, Accept-Encoding, Content-Length."""
    body: bytes = field(repr=False)
    timeout_s: float
    """Until the head of the answer is there, and then between any two chunks of it."""
    service: str
    """Named in what people read when it fails."""
    response_bytes_max: int = 16 * 1024 * 1024
    method: str = "POST"


class WireResponse(Protocol):
    """An answer whose head is there. Close it, whatever happens."""

    ends_at_s: float
    """By the event loop's clock: when the answer is given up, however busy it is. Never, unless it is set."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """By lower-case name; of a repeated one, the last."""

    @property
    def is_over(self) -> bool:
        """Whether the body was received to its end, or nobody wants the rest: nothing more will come."""

    async def hear(self, heard: Heard) -> None:
        """Call `heard` when there is something to `take`, until it answers True or the body is over.

        It is called from the event loop, too: what comes wakes no task until there is need of one. Raises
        UpstreamFailed where the body is cut or silent, and what `heard` raises.
        """

    def take(self) -> bytes:
        """What has come of the body since the last time; raises UpstreamFailed where it is too long."""

    async def receive(self) -> bytes:
        """What has come of the body since the last time, else what comes next; nothing at its end.

        Raises UpstreamFailed.
        """

    async def read(self, bytes_max: int | None = None) -> bytes:
        """All of the body that was not received yet; raises UpstreamFailed."""

    def close(self) -> None:
        """Give the connection back when the body was received to its end, and close it otherwise."""


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


def overdue(service: str) -> UpstreamFailed:
    """The upstream did not come to an end."""
    sentence = f"`{service}` did not end its answer in time; whether it did what was asked is not known"
    return UpstreamFailed(sentence, code=TIMEOUT, status=504, service=service)
