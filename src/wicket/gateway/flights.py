"""Calls in the air, and who may end them: the client that cancels, and the operator who disables or removes.

A flight wraps the work of one call, like `asyncio.timeout` does: cutting it cancels the task that runs it, and
the cancellation comes out as `Cut`, with the reason. Cutting after the landing does nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

import structlog

from wicket.core.errors import Unavailable
from wicket.core.model import Reason
from wicket.core.world import MemberKey, World

REVIEW_AGAIN_S: Final = 0.25
"""After a review that the database did not allow."""
LINGER_S: Final = 1.0
"""How long an agent is watched whose last call has landed."""
_LOG = structlog.get_logger(__name__)


class Cut(Exception):
    """A flight was ended from outside: `reason` says why, or None when its own client cancelled."""

    def __init__(self, reason: Reason | None) -> None:
        super().__init__(reason)
        self.reason = reason


class FlightId(NamedTuple):
    """What a client can name a call by: two calls may share one id, and a cancellation then means both."""

    key_id: str
    slot: str
    request_id: str | int


class Flight:
    """The work of one call: from `take_off`, in the task that does it, to `land`, there or in what it has called."""

    def __init__(
        self, registry: "Flights", world: World, key: MemberKey, slot: str, request_id: str | int
    ) -> None:
        self._registry = registry
        self.agent_id = world.agent_id
        self.revision = world.revision
        self.key = key
        self._slot = slot
        self._request_id = request_id
        self._task: asyncio.Task[object] | None = None
        self._was_cut = False
        self._reason: Reason | None = None

    @property
    def name(self) -> FlightId:
        return FlightId(self.key.id, self._slot, self._request_id)

    def cut(self, reason: Reason | None) -> None:
        if self._task is not None and not self._was_cut:
            self._was_cut, self._reason = True, reason
            self._task.cancel()

    def take_off(self) -> None:
        self._task = asyncio.current_task()
        self._registry.add(self)

    def land(self, error: BaseException | None = None) -> BaseException | None:
        """End it, for what was raised; answers the Cut that it stands for, or else what was given."""
        task, self._task = self._task, None
        if task is None:
            return error
        self._registry.remove(self)
        if self._was_cut and isinstance(error, asyncio.CancelledError) and task.uncancel() == 0:
            return Cut(self._reason)
        return error

    def __enter__(self) -> Self:
        self.take_off()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(landed := self.land(error), Cut):
            raise landed from error


class Watch(Protocol):
    """Has somebody told that an agent's revision is no longer `revision`; gives back what ends it."""

    def __call__(
        self, agent_id: str, moved: Callable[[int | None], None], *, revision: int | None
    ) -> Callable[[], None]: ...


@dataclass(slots=True)
class _Airspace:
    """The flights of one agent, which are watched together."""

    revision: int | None
    """Of the agent, as far as is known here."""
    unwatch: Callable[[], None]
    flights: set[Flight] = field(default_factory=set)
    closing: asyncio.TimerHandle | None = None


class Flights:
    """Every call in the air in this process."""

    def __init__(
        self,
        *,
        watch: Watch,
        current: Callable[[str], Awaitable[World | None]],
        linger_s: float = LINGER_S,
    ) -> None:
        self._watch = watch
        self._current = current
        self._linger_s = linger_s
        self._spaces: dict[str, _Airspace] = {}
        self._reviews: dict[str, asyncio.Task[None]] = {}
        self._unreviewed: set[str] = set()
        """Agents whose rules moved after the last look at them began."""

    def open(self, world: World, key: MemberKey, slot: str, request_id: str | int) -> Flight:
        return Flight(self, world, key, slot, request_id)

    def add(self, flight: Flight) -> None:
        """Begin to watch over a flight, from the revision that it was admitted under."""
        space = self._spaces.get(flight.agent_id)
        if space is None:
            space = self._spaces[flight.agent_id] = self._watched(flight.agent_id, flight.revision)
        space.flights.add(flight)
        if flight.revision != space.revision:
            # Somebody here has heard of a change before the tail did, or too late for it to tell.
            space.revision = max(flight.revision, space.revision or 0)
            self._look_again(flight.agent_id)

    def remove(self, flight: Flight) -> None:
        space = self._spaces.get(flight.agent_id)
        if space is None:
            return
        space.flights.discard(flight)
        if not space.flights and space.closing is None:
            # The next call is rarely far, and to watch anew costs more than to go on for a moment.
            loop = asyncio.get_running_loop()
            space.closing = loop.call_later(self._linger_s, self._close, flight.agent_id, space)

    def _watched(self, agent_id: str, revision: int) -> _Airspace:
        unwatch = self._watch(agent_id, partial(self._moved, agent_id), revision=revision)
        return _Airspace(revision, unwatch)

    def _close(self, agent_id: str, space: _Airspace) -> None:
        space.closing = None
        if not space.flights:
            space.unwatch()
            del self._spaces[agent_id]

    def cancel(self, name: FlightId, agent_id: str) -> None:
        """A client's own cancellation."""
        for flight in self._in_the_air(agent_id):
            if flight.name == name:
                flight.cut(None)

    def _in_the_air(self, agent_id: str) -> tuple[Flight, ...]:
        space = self._spaces.get(agent_id)
        return () if space is None else tuple(space.flights)

    def _moved(self, agent_id: str, revision: int | None) -> None:
        if (space := self._spaces.get(agent_id)) is not None:
            space.revision = revision
        self._look_again(agent_id)

    def _look_again(self, agent_id: str) -> None:
        # We are told of a revision once: a move that comes while its agent is being reviewed asks for another look.
        self._unreviewed.add(agent_id)
        if agent_id not in self._reviews:
            self._reviews[agent_id] = asyncio.create_task(self._review_until_still(agent_id))

    async def _review_until_still(self, agent_id: str) -> None:
        while agent_id in self._unreviewed:
            self._unreviewed.discard(agent_id)
            await self._review(agent_id)
        del self._reviews[agent_id]

    async def _review(self, agent_id: str) -> None:
        """End the calls whose caller the agent's present world no longer admits."""
        world = await self._world(agent_id)
        for flight in self._in_the_air(agent_id):
            key = None if world is None else world.present(flight.key)
            reason = Reason.KEY_REVOKED if world is None or key is None else world.refusal(key)
            if reason is not None:
                flight.cut(reason)

    async def _world(self, agent_id: str) -> World | None:
        while True:
            try:
                return await self._current(agent_id)
            except Exception as error:  # noqa: BLE001 - the top of the task: without it the calls would not be cut
                is_expected = isinstance(error, Unavailable)
                _LOG.warning("flights_not_reviewed", agent_id=agent_id, exc_info=not is_expected)
                await asyncio.sleep(REVIEW_AGAIN_S)

    async def stop(self) -> None:
        """Drop reviews that are under way, and watch no more."""
        for space in self._spaces.values():
            space.unwatch()
            if space.closing is not None:
                space.closing.cancel()
        self._spaces.clear()
        reviews = tuple(self._reviews.values())
        for review in reviews:
            review.cancel()
        await asyncio.gather(*reviews, return_exceptions=True)
