"""What the connections of a process share: what is behind them, their bounds, and the clock that watches them."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from starlette.types import ASGIApp

from wicket.front.crowd import Crowd, Guest
from wicket.front.door import Door
from wicket.front.limits import HOLDOVER_S, Limits
from wicket.front.rendering import render_date
from wicket.gateway.http import Inbound, Outbound

SWEEP_S: Final = 1.0


class Handler(Protocol):
    """What answers at `/mcp`; `Gateway` does."""

    async def answer(self, inbound: Inbound) -> Outbound:
        """The answer to one request."""

    def drain(self) -> None:
        """End the streams that wait for what may happen: the process is about to stop."""


class Watched(Guest, Protocol):
    """A connection with deadlines, by the front's clock."""

    read_by_s: float
    """By when the client must have sent what it owes."""
    write_by_s: float
    """By when the client must have read, or must hear from us."""

    def look(self, now_s: float) -> None:
        """Do what a deadline that has passed asks for."""


class Front:
    """Shared by the connections of one process; `drain_api` ends the API's streams that wait for what may happen."""

    def __init__(
        self,
        *,
        handler: Handler,
        api: ASGIApp,
        door: Door,
        limits: Limits,
        drain_api: Callable[[], None] = lambda: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.handler = handler
        self.api = api
        self.door = door
        self.limits = limits
        self._drain_api = drain_api
        self.crowd: Crowd[Watched] = Crowd(limits)
        self._monotonic_s = monotonic_s
        self._timer: asyncio.TimerHandle | None = None
        self._is_draining = False
        self.now_s = monotonic_s()
        """The clock of all deadlines: it ticks with the sweep, so that no request needs to ask the system's."""
        self.date = render_date(time.time())

    def start(self) -> None:
        """Begin to watch over deadlines."""
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._tick)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        try:
            self.sweep()
        finally:
            self.start()

    def sweep(self) -> None:
        """Look at every deadline; one pass for the whole process, instead of a timer for each request."""
        now_s = self._monotonic_s()
        late_s = now_s - self.now_s - SWEEP_S
        self.now_s = now_s
        self.date = render_date(time.time())
        self.crowd.rest()
        for connection in tuple(self.crowd.everyone):
            if late_s > HOLDOVER_S:
                connection.read_by_s += late_s
                connection.write_by_s += late_s
            if connection.read_by_s <= now_s or connection.write_by_s <= now_s:
                connection.look(now_s)

    def drain(self) -> None:
        """The process is told to stop; once is enough."""
        if not self._is_draining:
            self._is_draining = True
            self.handler.drain()
            self._drain_api()
