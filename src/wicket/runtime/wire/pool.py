"""Connections that wait for their next request, and a bound on how many there are."""

import asyncio
import ssl
from collections import OrderedDict, deque
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


@dataclass(slots=True)
class _Place:
    """The connections of one origin."""

    free: asyncio.Semaphore
    idle: deque[tuple[Connection, float]] = field(default_factory=deque)
    """Each with the instant since when; the one that was used last is used next."""
    users: int = 0
    """In use, or waiting to be."""


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
        self._places: dict[Origin, _Place] = {}
        self._free = asyncio.Semaphore(limits.connections_max)
        self._names: OrderedDict[tuple[str, int], tuple[asyncio.Task[list[AddrInfoType]], float]] = (
            OrderedDict()
        )
        self._in_use: set[Connection] = set()
        self._idle_count = 0
        self._sweeper: asyncio.TimerHandle | None = None

    async def take(self, origin: Origin) -> Connection:
        """A connection that is usable, until it is given back; raises NotConnected."""
        place = self._places.get(origin)
        if place is None:
            place = self._places[origin] = _Place(asyncio.Semaphore(self._limits.connections_per_host))
        place.users += 1
        try:
            # Most calls find an idle connection: no timer for them, since nothing here makes them wait.
            if not place.free.locked() and not self._free.locked() and (idle := self._find_idle(place)):
                await place.free.acquire()
                await self._free.acquire()
                taken = idle
            else:
                async with asyncio.timeout(self._limits.connect_timeout_s):
                    taken = await self._take_in_turn(origin, place)
        except BaseException as error:
            self._leave(origin, place)
            if isinstance(error, OSError):
                raise NotConnected from error
            raise
        self._in_use.add(taken)
        return taken

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Let go of a connection: kept for the next request where it is fit for one, closed otherwise."""
        place = self._places[origin]
        place.free.release()
        self._free.release()
        self._in_use.discard(connection)
        if connection.is_usable and self._idle_count < self._limits.connections_max:
            place.idle.append((connection, asyncio.get_running_loop().time()))
            self._idle_count += 1
            self._sweep_later()
        else:
            connection.close()
        self._leave(origin, place)

    async def close(self) -> None:
        """Close every connection, and let nobody wait for an answer any more."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for place in self._places.values():
            for connection, _ in place.idle:
                connection.close()
            place.idle.clear()
        for connection in self._in_use:
            connection.close()
        lookups = [task for task, _ in self._names.values()]
        for task in lookups:
            task.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        self._resolver.close()

    async def _take_in_turn(self, origin: Origin, place: _Place) -> Connection:
        await place.free.acquire()
        try:
            await self._free.acquire()
            try:
                return self._find_idle(place) or await self._connect(origin)
            except BaseException:
                self._free.release()
                raise
        except BaseException:
            place.free.release()
            raise

    def _leave(self, origin: Origin, place: _Place) -> None:
        place.users -= 1
        if not place.users and not place.idle:
            del self._places[origin]

    def _find_idle(self, place: _Place) -> Connection | None:
        while place.idle:
            connection, since_s = place.idle.pop()
            self._idle_count -= 1
            if connection.is_usable and self._is_young(since_s):
                return connection
            connection.close()
        return None

    def _is_young(self, since_s: float) -> bool:
        return asyncio.get_running_loop().time() - since_s < self._limits.idle_connection_s

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(self._limits.idle_connection_s, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeper = None
        for origin, place in list(self._places.items()):
            while place.idle and not self._is_young(place.idle[0][1]):
                connection, _ = place.idle.popleft()
                self._idle_count -= 1
                connection.close()
            if not place.users and not place.idle:
                del self._places[origin]
        if self._idle_count:
            self._sweep_later()

    async def _connect(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        connected = await start_connection(
            await self._addresses(origin.host, origin.port),
            happy_eyeballs_delay=NEXT_ADDRESS_AFTER_S,
            interleave=1,
            socket_factory=self._make_socket,
        )
        try:
            _, connection = await loop.create_connection(
                self._new_connection,
                sock=connected,
                ssl=self._tls if origin.is_tls else None,
                server_hostname=origin.host if origin.is_tls else None,
            )
        except BaseException:
            connected.close()
            raise
        return connection

    def _new_connection(self) -> Connection:
        return Connection(self._limits.head_bytes_max)

    async def _addresses(self, host: str, port: int) -> list[AddrInfoType]:
        """Vetted addresses, looked up by one caller for all; raises OSError."""
        now_s = asyncio.get_running_loop().time()
        known = self._names.get((host, port))
        if known is None or now_s - known[1] >= NAMES_CACHED_S or _has_failed(known[0]):
            known = (asyncio.create_task(self._resolver.resolve(host, port)), now_s)
            self._names[host, port] = known
            while len(self._names) > NAMES_MAX:
                self._names.popitem(last=False)
        return await asyncio.shield(known[0])


def _has_failed(task: asyncio.Task[list[AddrInfoType]]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
