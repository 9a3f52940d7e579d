"""Who is connected, and who makes room when there are too many.

Whoever has begun a request and not finished it gives way first, the oldest of its address before others; then
whoever is idle. A client that waits for an answer and asks nothing more never does.
"""

from typing import Final, Generic, Protocol, TypeVar

from wicket.front.limits import Limits

ROOM_SHARE: Final = 16
"""Of those connected, one in so many is let go at once when idle ones must make room."""


class Guest(Protocol):
    """A connection, as far as it matters here."""

    peer: str

    @property
    def idle_until_s(self) -> float | None:
        """How long it may stay when nothing is under way; None while something is."""

    def drop(self) -> None:
        """Close at once."""


G = TypeVar("G", bound=Guest)


class Crowd(Generic[G]):
    """The connections of this process."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._half_open: dict[G, int] = {}
        """What each holds of an incomplete request, in bytes; the oldest first."""
        self._by_address: dict[str, dict[G, None]] = {}
        self._is_crammed = False
        self.everyone: set[G] = set()
        self.held_bytes = 0

    @property
    def half_open(self) -> int:
        """How many have not finished their request."""
        return len(self._half_open)

    def join(self, guest: G) -> bool:
        """Take in a new connection, unless there is no room to be had."""
        if len(self.everyone) >= self._limits.connections_max and not self._make_room():
            return False
        self.everyone.add(guest)
        self.begin(guest)
        return True

    def leave(self, guest: G) -> None:
        """A connection is gone."""
        self.everyone.discard(guest)
        self.finish(guest)

    def begin(self, guest: G) -> None:
        """A request has begun to come in, and is not complete."""
        limits = self._limits
        of_address = self._by_address.setdefault(guest.peer, {})
        crowded = len(of_address) >= limits.half_open_of_address_max
        oldest = next(iter(of_address)) if crowded else None
        if oldest is None and len(self._half_open) >= limits.half_open_max:
            oldest = next(iter(self._half_open))
        self._half_open[guest] = 0
        of_address[guest] = None
        if oldest is not None:
            self.finish(oldest)
            oldest.drop()

    def hold(self, guest: G, held_bytes: int) -> bool:
        """Count what an incomplete request holds; False when that is too much for the process."""
        self.held_bytes += held_bytes - self._half_open[guest]
        self._half_open[guest] = held_bytes
        return self.held_bytes <= self._limits.half_open_bytes_max

    def finish(self, guest: G) -> None:
        """The request is complete, or will never be."""
        held_bytes = self._half_open.pop(guest, None)
        if held_bytes is None:
            return
        self.held_bytes -= held_bytes
        of_address = self._by_address[guest.peer]
        del of_address[guest]
        if not of_address:
            del self._by_address[guest.peer]

    def rest(self) -> None:
        """Once a second: whoever is idle by now may make room again."""
        self._is_crammed = False

    def _make_room(self) -> bool:
        """Close the connections that have been idle longest; looks through all of them once a second at most."""
        if self._half_open:
            oldest = next(iter(self._half_open))
            self.leave(oldest)
            oldest.drop()
            return True
        if self._is_crammed:
            return False
        idle = [(until_s, guest) for guest in self.everyone if (until_s := guest.idle_until_s) is not None]
        idle.sort(key=lambda pair: pair[0])
        for _, guest in idle[: max(1, len(self.everyone) // ROOM_SHARE)]:
            self.leave(guest)
            guest.drop()
        self._is_crammed = not idle
        return bool(idle)
