"""A look at an upstream's list after a call, for clients that call without ever listing.

Tool definitions are pinned, and a change is noticed at the next fetch. A client that never lists would never
cause one, so a call does, behind the caller's back. Lists are kept for a minute: looking more often than that
costs nothing, and notices soon after the minute is over.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from wicket.core.errors import WicketError
from wicket.core.world import MemberKey
from wicket.gateway.listing import Listing
from wicket.runtime.recorder import Recorded

EVERY_NS: Final = 5_000_000_000
PLACES_MAX: Final = 10_000
LOOKS_MAX: Final = 32


class SecondLooks:
    """Looks that are due, taken in the background."""

    def __init__(self, listing: Listing, *, monotonic_ns: Callable[[], int]) -> None:
        self._listing = listing
        self._monotonic_ns = monotonic_ns
        self._looked_at: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._looks: set[asyncio.Task[None]] = set()

    def after_call(self, recorded: Recorded, key: MemberKey, bearer: str) -> None:
        """Look again at the service that was called, when that is due."""
        call = recorded.call
        if call is None or len(self._looks) >= LOOKS_MAX:
            return
        place, now_ns = (key.id, call.service), self._monotonic_ns()
        last_ns = self._looked_at.get(place)
        if last_ns is not None and now_ns - last_ns < EVERY_NS:
            return
        self._looked_at[place] = now_ns
        self._looked_at.move_to_end(place)
        while len(self._looked_at) > PLACES_MAX:
            self._looked_at.popitem(last=False)
        look = asyncio.create_task(self._look(recorded, key, bearer, call.service))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)

    async def _look(self, recorded: Recorded, key: MemberKey, bearer: str, service: str) -> None:
        try:
            await self._listing.look_again(recorded.world, key, bearer, service)
        except WicketError:
            # What could not be seen now is seen at the next fetch; nobody was shown anything meanwhile.
            return

    async def stop(self) -> None:
        """Drop what is under way."""
        for look in tuple(self._looks):
            look.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)
