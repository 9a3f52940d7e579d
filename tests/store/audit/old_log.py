"""A log with a past: what was recorded weeks ago, by writers that ended and one that lives."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.databases import Location
from tests.runtime.recorder.support import AGENT, allow, attempt, create_agent, deny, ledger_at, load_world
from wicket.core.checkpoints import Signer
from wicket.core.model import Outcome
from wicket.core.session import FRESH
from wicket.core.world import World
from wicket.runtime.recorder.entries import build_entry
from wicket.store.audit.attested import Trust
from wicket.store.audit.entry import Entry, OutcomeRow, Row
from wicket.store.audit.ledger import Ledger
from wicket.store.audit.partitions import ensure_partitions
from wicket.store.db import Database
from wicket.store.instants import to_us

SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(b"r" * 32))
KNOWN = Trust(frozenset({SIGNER.public_key}))
DAYS = 30
NOW = datetime(2025, 4, 1, 15, tzinfo=UTC)
"""With 30 days, what is older than 2 March goes."""


def day(month: int, of_month: int, hour: int = 12) -> datetime:
    return datetime(2025, month, of_month, hour, tzinfo=UTC)


@dataclass
class Past:
    """One writer, and the rows it appends."""

    ledger: Ledger
    world: World

    async def calls(
        self, at: datetime, *, allowed: int = 1, denied: int = 0, ended: bool = True
    ) -> list[str]:
        """Calls decided and, unless they are left open, ended at an instant."""
        judges = [allow] * allowed + [deny] * denied
        entries = [
            build_entry(
                attempt(one, at=at), self.world, one(self.world, FRESH), session_id=None, decision_ms=0.1
            )
            for one in judges
        ]
        await self._append(entries)
        if ended:
            await self.end([entry.id for entry in entries if not entry.denied], at)
        return [entry.id for entry in entries]

    async def end(self, entry_ids: Sequence[str], at: datetime) -> None:
        await self._append([OutcomeRow(one, Outcome.OK, to_us(at)) for one in entry_ids])

    async def _append(self, rows: Sequence[Entry] | Sequence[Row]) -> None:
        async with self.ledger.turn({AGENT}, []) as turn:
            await turn.commit(rows, [])


@dataclass
class OldLog:
    """Who wrote it. 1 ended in January; 2 ended in March; 3 lives, and has not seen the end of `open`."""

    living: Past
    gone: list[str]
    """Entries that are to be pruned."""
    kept: list[str]
    open: str


@asynccontextmanager
async def old_log(location: Location, database: Database) -> AsyncIterator[OldLog]:
    await database.change(create_agent, agents=[])
    await database.change(ensure_partitions, now=day(1, 1), agents=())
    world = await database.read(load_world, AGENT)
    assert world is not None
    async with AsyncExitStack() as stack:
        pasts = []
        for at in (day(1, 5), day(1, 20), day(2, 10)):
            past = Past(ledger_at(location), world)
            await past.ledger.open(to_us(at))
            pasts.append(past)
        first, second, third = pasts
        stack.push_async_callback(third.ledger.close, None)
        gone = await first.calls(day(1, 6), allowed=3, denied=2)
        await first.ledger.close(to_us(day(1, 7)))
        gone += await second.calls(day(1, 25), allowed=2)
        late = await second.calls(day(2, 28), allowed=1, ended=False)
        gone += late
        kept = await second.calls(day(3, 10), allowed=2, denied=1)
        await second.end(late, day(3, 11))
        kept += await second.calls(day(2, 27), denied=1)  # its clock stood wrong
        await second.ledger.close(to_us(day(3, 12)))
        gone += await third.calls(day(2, 11), denied=2)
        (open_,) = await third.calls(day(2, 12), ended=False)
        kept += [open_, *await third.calls(day(2, 13), denied=1)]
        yield OldLog(third, gone, kept, open_)
