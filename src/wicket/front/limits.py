"""What a client may take of this process, in bytes, seconds and numbers."""

from dataclasses import dataclass
from typing import Final

PIPELINED_MAX: Final = 8
"""Requests of one connection that wait for their turn before nothing more is read of it."""
SLICE_BYTES: Final = 16 * 1024
"""Parsed at a time, so that a burst of tiny requests stops soon after `PIPELINED_MAX`."""
READ_BYTES: Final = 128 * 1024
"""After a longer read of one connection, the next of it is for the next turn."""
FRAMING_BYTES_MAX: Final = 64 * 1024
FRAMING_SHARE_MAX: Final = 8
"""What a body in chunks may take beside itself: a chunk of one byte takes six."""
RETRY_AFTER_S: Final = 1
HOLDOVER_S: Final = 5.0
"""A look at the clocks that comes so late finds a process that was stopped: no client is to blame."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of the front; the defaults are those of `wicket serve`."""

    body_bytes_max: int = 4 * 1024 * 1024
    """Of a request to the proxy."""
    api_body_bytes_max: int = 1024 * 1024
    """Of any other request."""
    target_bytes_max: int = 8 * 1024
    """The request line's path and query; longer: 414."""
    head_bytes_max: int = 32 * 1024
    """All headers together; longer: 431."""
    headers_max: int = 100
    head_s: float = 10.0
    """From the first byte, or from the connection's beginning, to the end of the headers; later: 408."""
    body_s: float = 30.0
    """From the headers to the end of the body; a body that comes at `body_bytes_per_s_min` has longer."""
    body_bytes_per_s_min: int = 16 * 1024
    keep_alive_s: float = 75.0
    """An idle connection stays open so long."""
    silence_s: float = 15.0
    """After it a stream of events gets a comment, so that nobody on the way takes it for dead."""
    unread_s: float = 60.0
    """A client that has read less than `unread_bytes_min` of what waits for it in this time is cut."""
    unread_bytes_min: int = 16 * 1024
    linger_s: float = 2.0
    """After a refusal the rest of the request is read and dropped so long: a reset would take the answer along."""
    connections_max: int = 4096
    half_open_max: int = 1024
    """Connections whose request is not complete; beyond it the oldest of them is dropped."""
    half_open_of_address_max: int = 256
    """The same, of one address."""
    half_open_bytes_max: int = 256 * 1024 * 1024
    """What incomplete requests hold together; what goes beyond it is refused: 503."""
