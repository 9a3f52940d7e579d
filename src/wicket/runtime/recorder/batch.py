"""One transaction: what is still true is written down, what is not is decided again or sent back.

Under the lock nothing about the agents can change, so a decision taken under the revision read here is valid as
of this commit. Sessions' facts are read here too: what was judged with other facts is judged again, in turn, so
that each call sees the ones before it.
"""

import json

from wicket.core.errors import WicketError
from wicket.core.session import Facts, facts_from_json, facts_to_json
from wicket.core.world import World
from wicket.runtime.recorder.entries import GONE, build_entry, facts_after, judge_safely, storable, to_json
from wicket.runtime.recorder.values import Judged
from wicket.runtime.recorder.work import FactsCache, KnownFacts, State, Work
from wicket.store.audit.entry import Entry
from wicket.store.audit.ledger import SessionFacts, SessionSeed, Turn

UNREADABLE = (WicketError, KeyError, TypeError, ValueError)
"""What a world or a session's facts raise that somebody else has damaged."""


def seeds_of(works: list[Work]) -> list[SessionSeed]:
    """The sessions to lock: of calls that count, or may turn out to."""
    seeds: dict[str, SessionSeed] = {}
    for work in works:
        if work.judged.counts or work.final:
            attempt = work.attempt
            seeds[attempt.slot] = SessionSeed(
                slot=attempt.slot,
                agent_id=attempt.agent_id,
                member_id=attempt.member_id,
                key_id=attempt.key_id,
                external_id=storable(attempt.external_session_id),
                client_name=storable(attempt.client_name),
                client_version=storable(attempt.client_version),
                now_us=work.at_us,
            )
    return list(seeds.values())


class Docket:
    """The calls of one transaction, settled one after the other."""

    def __init__(self, turn: Turn, cache: FactsCache) -> None:
        self._turn = turn
        self._cache = cache
        self._worlds: dict[str, World | None] = {}
        self._facts: dict[str, Facts] = {}
        self._changed: dict[str, SessionFacts] = {}
        self.entries: list[Entry] = []
        self.settled: list[Work] = []

    async def settle(self, work: Work) -> None:
        """Write the call's entry, or send it back."""
        try:
            world = await self._world(work)
            if world is None:
                work.state = State.STALE
                return
            judged = work.judged if world is work.world else self._judge_again(work, world)
            self._enter(work, world, judged)
        except UNREADABLE:
            work.state = State.FAILED

    async def _world(self, work: Work) -> World | None:
        """The world to decide in; None: it has changed and there is time to load it outside."""
        agent_id = work.attempt.agent_id
        if self._turn.revisions.get(agent_id) == work.world.revision:
            return work.world
        if not work.final:
            return None
        if agent_id not in self._worlds:
            self._worlds[agent_id] = await self._turn.load_world(agent_id)
        world = self._worlds[agent_id]
        if world is None:
            work.judged = GONE
            return work.world
        return world

    def _judge_again(self, work: Work, world: World) -> Judged:
        work.world, work.facts = world, self._facts_of(work.attempt.slot)
        return judge_safely(work.attempt, world, work.facts)

    def _enter(self, work: Work, world: World, judged: Judged) -> None:
        slot = work.attempt.slot
        if judged.counts:
            before = self._facts_of(slot)
            if judged.reads_facts and before != work.facts:
                judged = judge_safely(work.attempt, world, before)
        work.judged = judged
        work.session_id = self._turn.sessions[slot].id if judged.counts else None
        self.entries.append(
            build_entry(work.attempt, world, judged, session_id=work.session_id, decision_ms=work.decision_ms)
        )
        if judged.counts:
            self._count(work, judged)
        self.settled.append(work)

    def _facts_of(self, slot: str) -> Facts:
        if (facts := self._facts.get(slot)) is not None:
            return facts
        row = self._turn.sessions[slot]
        return self._cache.find(slot, row.id, row.version) or facts_from_json(json.loads(row.facts))

    def _count(self, work: Work, judged: Judged) -> None:
        slot = work.attempt.slot
        self._facts[slot] = facts_after(self._facts_of(slot), judged)
        row = self._turn.sessions[slot]
        last = self._changed[slot].last_activity_at if slot in self._changed else row.last_activity_at
        self._changed[slot] = SessionFacts(row, "", max(last, work.at_us))

    def sessions(self) -> list[SessionFacts]:
        """The rows of the sessions that counted a call, as they are to be stored."""
        return [
            SessionFacts(changed.row, to_json(facts_to_json(self._facts[slot])), changed.last_activity_at)
            for slot, changed in self._changed.items()
        ]

    def committed(self, boottime_ns: int) -> None:
        """It is durable: the calls are recorded, and the facts are known."""
        for work in self.settled:
            work.state = State.DONE
            work.committed_boottime_ns = boottime_ns
        for slot, changed in self._changed.items():
            self._cache.keep(slot, KnownFacts(changed.row.id, changed.row.version + 1, self._facts[slot]))
