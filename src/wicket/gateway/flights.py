"""Calls in the air, and who may end them: the client that cancels, and the operator who disables or removes.

A flight wraps the work of one call, like `asyncio.timeout` does: cutting it cancels the task that runs it, and
the cancellation comes out as `Cut`, with the reason. Cutting after the landing does nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from wicket.core.errors import Unavailable
from wicket.core.model import Reason
from wicket.core.world import MemberKey, World

REVIEW_AGAIN_S: Final = 0.25
"""After a review that the database did not allow."""
_LOG = structlog.get_logger(__name__)


class Cut(Exception):
    """A flight was ended from outside: `reason` says why, or None when its own client cancelled."""

    def __init__(self, reason: Reason | None) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FlightId:
    """What a client can name a call by: two calls may share one id, and a cancellation then means both."""

    key_id: str
    slot: str
    request_id: str | int


class Flight:
    """The work of one call, while it lasts."""

    def __init__(self, registry: "Flights", world: World, key: MemberKey, name: FlightId) -> None:
        self._registry = registry
        self.agent_id = world.agent_id
        self.revision = world.revision
        self.key = key
        self.name = name
        self._task: asyncio.Task[object] | None = None
        self._was_cut = False
        self._reason: Reason | None = None

    def cut(self, reason: Reason | None) -> None:
        if self._task is not None and not self._was_cut:
            self._was_cut, self._reason = True, reason
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._registry.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._registry.remove(self)
        task, self._task = self._task, None
        if self._was_cut and task is not None and kind is asyncio.CancelledError and task.uncancel() == 0:
            raise Cut(self._reason) from error


class Watch(Protocol):
    """Has somebody told that an agent's revision is no longer `revision`; gives back what ends it."""

    def __call__(
        self, agent_id: str, moved: Callable[[int | None], None], *, revision: int | None
    ) -> Callable[[], None]: ...


class Flights:
    """Every call in the air in this process."""

    def __init__(self, *, watch: Watch, current: Callable[[str], Awaitable[World | None]]) -> None:
        self._watch = watch
        self._current = current
        self._by_agent: dict[str, dict[Flight, Callable[[], None]]] = {}
        self._reviews: dict[str, asyncio.Task[None]] = {}
        self._unreviewed: set[str] = set()
        """Agents whose rules moved after the last look at them began."""

    def open(self, world: World, key: MemberKey, slot: str, request_id: str | int) -> Flight:
        return Flight(self, world, key, FlightId(key.id, slot, request_id))

    def add(self, flight: Flight) -> None:
        """Begin to watch over a flight, from the revision that it was admitted under."""
        moved = partial(self._moved, flight.agent_id)
        unwatch = self._watch(flight.agent_id, moved, revision=flight.revision)
        self._by_agent.setdefault(flight.agent_id, {})[flight] = unwatch

    def remove(self, flight: Flight) -> None:
        flights = self._by_agent[flight.agent_id]
        flights.pop(flight)()
        if not flights:
            del self._by_agent[flight.agent_id]

    def cancel(self, name: FlightId, agent_id: str) -> None:
        """A client's own cancellation."""
        for flight in tuple(self._by_agent.get(agent_id, ())):
            if flight.name == name:
                flight.cut(None)

    def _moved(self, agent_id: str, _revision: int | None) -> None:
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
        for flight in tuple(self._by_agent.get(agent_id, ())):
            key = None if world is None else world.keys.get(flight.key.digest)
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
        """Drop reviews that are under way."""
        reviews = tuple(self._reviews.values())
        for review in reviews:
            review.cancel()
        await asyncio.gather(*reviews, return_exceptions=True)
