"""Connections that wait for their next request, and a bound on how many there are."""

import asyncio
import ssl
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from aiohappyeyeballs import AddrInfoType, start_connection

from wicket.runtime.wire.addresses import AddressPolicy, VettingResolver, vetted_sockets
from wicket.runtime.wire.connection import Connection
from wicket.runtime.wire.values import WireLimits

NAMES_CACHED_S: Final = 10
NAMES_MAX: Final = 10_000
NEXT_ADDRESS_AFTER_S: Final = 0.25
"""RFC 8305: when the next address of a name is tried beside one that does not answer."""


class Origin(NamedTuple):
    """Whom a connection leads to."""

    is_tls: bool
    host: str
    port: int


class NotConnected(Exception):
    """No connection could be made; the cause says why."""


class Room:
    """So many may be in it at once; who comes later waits for a turn, in the order of coming."""

    def __init__(self, places: int) -> None:
        self.free = places
        """Above zero only while nobody waits."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Take a place, or wait until it is handed over."""
        if self.free:
            self.free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave()  # it was handed over just now
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """Hand the place over to who has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1


@dataclass(slots=True)
class _Place:
    """The connections of one origin."""

    room: Room
    idle: deque[tuple[Connection, float]] = field(default_factory=deque)
    """Each with the instant since when; the one that was used last is used next."""


class Pool:
    """Build it, and close it, on the event loop that uses it."""

    def __init__(
        self,
        *,
        addresses: AddressPolicy,
        resolver: VettingResolver,
        limits: WireLimits,
        tls: ssl.SSLContext,
    ) -> None:
        self._resolver = resolver
        self._make_socket = vetted_sockets(addresses)
        self._limits = limits
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._places: dict[Origin, _Place] = {}
        self._room = Room(limits.connections_max)
        self._names: OrderedDict[tuple[str, int], tuple[asyncio.Task[list[AddrInfoType]], float]] = (
            OrderedDict()
        )
        self._open: set[Connection] = set()
        self._idle_count = 0
        self._sweeper: asyncio.TimerHandle | None = None

    def find_idle(self, origin: Origin) -> Connection | None:
        """A connection that is at hand, until it is given back; most calls find one."""
        place = self._places.get(origin)
        if place is None or not place.idle or not place.room.free or not self._room.free:
            return None
        connection = self._pop_idle(place)
        if connection is not None:
            place.room.free -= 1
            self._room.free -= 1
        return connection

    async def take(self, origin: Origin) -> Connection:
        """A connection that is usable, in turn, until it is given back; raises NotConnected."""
        place = self._places.get(origin)
        if place is None:
            place = self._places[origin] = _Place(Room(self._limits.connections_per_host))
        try:
            async with (
                asyncio.timeout(self._limits.connect_timeout_s),
                _entered(place.room),
                _entered(self._room),
            ):
                return self._pop_idle(place) or await self._connect(origin)
        except OSError as error:
            raise NotConnected from error
        finally:
            self._tidy(origin, place)

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Let go of a connection: kept for the next request where it is fit for one, closed otherwise."""
        place = self._places[origin]
        place.room.leave()
        self._room.leave()
        connection.forget()
        if connection.is_usable and self._idle_count < self._limits.connections_max:
            place.idle.append((connection, self._loop.time()))
            self._idle_count += 1
            if self._sweeper is None:
                self._sweep_later()
        else:
            self._close(connection)
            self._tidy(origin, place)

    async def close(self) -> None:
        """Close every connection, and let nobody wait for an answer any more."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for place in self._places.values():
            place.idle.clear()
        for connection in tuple(self._open):
            self._close(connection)
        lookups = [task for task, _ in self._names.values()]
        for task in lookups:
            task.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        self._resolver.close()

    def _close(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()

    def _tidy(self, origin: Origin, place: _Place) -> None:
        """Forget a place that nobody uses."""
        if not place.idle and place.room.free == self._limits.connections_per_host:
            self._places.pop(origin, None)

    def _pop_idle(self, place: _Place) -> Connection | None:
        while place.idle:
            connection, since_s = place.idle.pop()
            self._idle_count -= 1
            if connection.is_usable and self._is_young(since_s):
                return connection
            self._close(connection)
        return None

    def _is_young(self, since_s: float) -> bool:
        return self._loop.time() - since_s < self._limits.idle_connection_s

    def _sweep_later(self) -> None:
        self._sweeper = self._loop.call_later(self._limits.idle_connection_s, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeper = None
        for origin, place in list(self._places.items()):
            while place.idle and not self._is_young(place.idle[0][1]):
                connection, _ = place.idle.popleft()
                self._idle_count -= 1
                self._close(connection)
            self._tidy(origin, place)
        if self._idle_count:
            self._sweep_later()

    async def _connect(self, origin: Origin) -> Connection:
        connected = await start_connection(
            await self._addresses(origin.host, origin.port),
            happy_eyeballs_delay=NEXT_ADDRESS_AFTER_S,
            interleave=1,
            socket_factory=self._make_socket,
        )
        try:
            _, connection = await self._loop.create_connection(
                self._new_connection,
                sock=connected,
                ssl=self._tls if origin.is_tls else None,
                server_hostname=origin.host if origin.is_tls else None,
            )
        except BaseException:
            connected.close()
            raise
        self._open.add(connection)
        return connection

    def _new_connection(self) -> Connection:
        return Connection(self._limits.head_bytes_max)

    async def _addresses(self, host: str, port: int) -> list[AddrInfoType]:
        """Vetted addresses, looked up by one caller for all; raises OSError."""
        now_s = self._loop.time()
        known = self._names.get((host, port))
        if known is None or now_s - known[1] >= NAMES_CACHED_S or _has_failed(known[0]):
            known = (asyncio.create_task(self._resolver.resolve(host, port)), now_s)
            self._names[host, port] = known
            while len(self._names) > NAMES_MAX:
                self._names.popitem(last=False)
        return await asyncio.shield(known[0])


@asynccontextmanager
async def _entered(room: Room) -> AsyncIterator[None]:
    """Enter, to stay; leave again only where what is done there fails."""
    await room.enter()
    try:
        yield
    except BaseException:
        room.leave()
        raise


def _has_failed(task: asyncio.Task[list[AddrInfoType]]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
