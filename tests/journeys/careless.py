"""A server that takes every decision for current: what the recorder's check of revisions is there to prevent.

Only for showing that a test would notice. Started as any other: `uvicorn --factory tests.journeys.careless:create`.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from wicket.app import Application, ledger_of
from wicket.core.entities import EntityKey
from wicket.core.model import Connector
from wicket.core.world import World
from wicket.settings import Settings, load_settings
from wicket.store.audit.entry import Row
from wicket.store.audit.ledger import Ledger, SessionFacts, SessionRow, SessionSeed, Turn
from wicket.store.lookups import Found


class AnyRevision(int):
    """Equal to whatever revision a decision was taken under."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, int)

    def __hash__(self) -> int:
        return 0


class CarelessTurn:
    """A turn of a real ledger, but for the revisions."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    @property
    def revisions(self) -> Mapping[str, int]:
        return dict.fromkeys(self._turn.revisions, AnyRevision())

    @property
    def sessions(self) -> Mapping[str, SessionRow]:
        return self._turn.sessions

    async def load_world(self, agent_id: str) -> World | None:
        return await self._turn.load_world(agent_id)

    async def load_entities(self, agent_id: str, keys: Collection[EntityKey]) -> Found:
        return await self._turn.load_entities(agent_id, keys)

    async def commit(self, rows: Sequence[Row], sessions: Sequence[SessionFacts]) -> None:
        await self._turn.commit(rows, sessions)


class CarelessLedger:
    """A real ledger whose turns are careless."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def writer(self) -> int:
        return self._ledger.writer

    async def open(self, now_us: int) -> None:
        await self._ledger.open(now_us)

    @asynccontextmanager
    async def turn(
        self, agents: Collection[str], seeds: Collection[SessionSeed]
    ) -> AsyncIterator[CarelessTurn]:
        async with self._ledger.turn(agents, seeds) as turn:
            yield CarelessTurn(turn)

    async def sweep(self, now_us: int) -> bool:
        return await self._ledger.sweep(now_us)

    async def find_entries(self, entry_ids: Collection[str]) -> set[str]:
        return await self._ledger.find_entries(entry_ids)

    async def close(self, stopped_at_us: int | None) -> None:
        await self._ledger.close(stopped_at_us)


def careless_ledger(settings: Settings, local: Mapping[str, Connector]) -> Ledger:
    return CarelessLedger(ledger_of(settings, local))


def create() -> Application:
    """For uvicorn's `factory`."""
    return Application(load_settings(), make_ledger=careless_ledger)
