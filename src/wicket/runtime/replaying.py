"""An agent's past calls put to a draft: read in batches, decided in a thread, told as it goes on."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wicket.core.errors import Invalid
from wicket.core.model import Effect, JsonObject
from wicket.core.policy.replay import Replay, render_again
from wicket.store.audit.render import render_instant
from wicket.store.audit.replays import count_entries, past_of, read_earlier, read_entries
from wicket.store.db import Database

ENTRIES_MAX: Final = 100_000


@dataclass(slots=True)
class Sums:
    """What a replay has come to so far."""

    total: int
    """Entries in the stretch."""
    done: int = 0
    before: Counter[Effect] = field(default_factory=Counter)
    """As recorded, all of them."""
    after: Counter[Effect] = field(default_factory=Counter)
    """Under the draft, those that can be decided again."""
    changed: int = 0
    unmatched: int = 0

    def render(self) -> JsonObject:
        """The sums as they stand on the wire."""
        return {
            "total": self.total,
            "before": {"allowed": self.before[Effect.ALLOW], "denied": self.before[Effect.DENY]},
            "after": {"allowed": self.after[Effect.ALLOW], "denied": self.after[Effect.DENY]},
            "changed": self.changed,
            "unmatched": self.unmatched,
        }


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which entries of which agent: ids, both inclusive."""

    agent_id: str
    from_id: str
    to_id: str


async def begin(database: Database, stretch: Stretch) -> Sums:
    """Count what a replay will take; raises Invalid where that is too much for one."""
    total = await database.read(
        count_entries,
        agent_id=stretch.agent_id,
        from_id=stretch.from_id,
        to_id=stretch.to_id,
        most=ENTRIES_MAX,
    )
    if total > ENTRIES_MAX:
        raise Invalid(
            f"the window holds more than {ENTRIES_MAX} entries: choose a later `from` or an earlier `to`",
            field="from",
        )
    return Sums(total)


async def run(
    database: Database, replay: Replay, sums: Sums, stretch: Stretch, *, needs_facts: bool
) -> AsyncGenerator[list[JsonObject]]:
    """The rows of the stretch, oldest first, a batch at a time; `sums` goes along.

    Facts of sessions that began before are taken from what they did then, where `needs_facts`.
    """
    agent_id, after = stretch.agent_id, stretch.from_id
    while rows := await database.read(read_entries, agent_id=agent_id, after_id=after, to_id=stretch.to_id):
        earlier: Sequence[Sequence[Any]] = ()
        new = {row[10] for row in rows if row[10] and not replay.knows(row[10])} if needs_facts else set()
        if new:
            earlier = await database.read(
                read_earlier, agent_id=agent_id, sessions=new, before_id=stretch.from_id
            )
        yield await asyncio.to_thread(_take, replay, sums, new, earlier, rows)
        after = rows[-1][0]


def _take(
    replay: Replay,
    sums: Sums,
    new: Collection[str],
    earlier: Sequence[Sequence[Any]],
    rows: Sequence[Sequence[Any]],
) -> list[JsonObject]:
    for session_id in new:
        replay.begin(session_id)
    for row in earlier:
        replay.remember(past_of(row))
    rendered = []
    for row in rows:
        again = replay.take(past_of(row))
        sums.done += 1
        sums.before[again.past.effect] += 1
        sums.changed += again.changed
        if again.draft is None:
            sums.unmatched += 1
        else:
            sums.after[again.draft.effect] += 1
        rendered.append(render_again(again, timestamp=render_instant(again.past.decided_us)))
    return rendered
