"""One transaction: what is still true is written down, what is not is decided again or sent back.

Under the lock nothing about the agents can change, so a decision taken under the revision read here is valid as
of this commit. Sessions' facts are read here too: what was judged with other facts is judged again, in turn, so
that each call sees the ones before it.
"""

import json

from wicket.core.errors import WicketError
from wicket.core.jsonrpc import render_json_text
from wicket.core.session import Facts, facts_from_json, facts_to_json
from wicket.core.world import World
from wicket.runtime.recorder.entries import GONE, build_entry, facts_after, judge_safely, storable
from wicket.runtime.recorder.values import Attempt, Judged
from wicket.runtime.recorder.work import FactsCache, KnownFacts, State, Work
from wicket.store.audit.entry import Entry
from wicket.store.audit.ledger import SessionFacts, SessionSeed, Turn
from wicket.store.lookups import ROUNDS_MAX

UNREADABLE = (WicketError, KeyError, TypeError, ValueError)
"""What a world or a session's facts raise that somebody else has damaged."""


def seeds_of(works: list[Work]) -> list[SessionSeed]:
    """The sessions to lock: of calls that count, or may turn out to."""
    seeds: dict[str, SessionSeed] = {}
    for work in works:
        attempt = work.attempt
        if (work.judged.counts or work.final) and attempt.slot not in seeds:
            external_id, client_name, client_version = storable(
                attempt.external_session_id, attempt.client_name, attempt.client_version
            )
            seeds[attempt.slot] = SessionSeed(
                slot=attempt.slot,
                agent_id=attempt.agent_id,
                member_id=attempt.member_id,
                key_id=attempt.key_id,
                external_id=external_id,
                client_name=client_name,
                client_version=client_version,
                now_us=attempt.decided_us,
            )
    return list(seeds.values())


class Docket:
    """The calls of one transaction, settled one after the other."""

    def __init__(self, turn: Turn, cache: FactsCache) -> None:
        self._turn = turn
        self._cache = cache
        self._worlds: dict[str, World | None] = {}
        self._facts: dict[str, Facts] = {}
        self._active_at: dict[str, int] = {}
        """Slot -> last activity, of the sessions that counted a call."""
        self.entries: list[Entry] = []
        self.settled: list[Work] = []

    async def settle(self, works: list[Work]) -> None:
        """Write each call's entry, or send it back."""
        revisions = self._turn.revisions
        for work in works:
            try:
                if work.abandoned:
                    work.state = State.FAILED
                elif not self._is_entered(work, revisions.get(work.attempt.agent_id)):
                    if work.final:
                        await self._settle_here(work)
                    else:
                        work.state = State.STALE
            except UNREADABLE:
                work.state = State.FAILED

    def _is_entered(self, work: Work, revision: int | None) -> bool:
        """Enter it as it was judged, where its world is still the present one."""
        return revision == work.world.revision and self._enter(work, work.world, work.judged)

    async def _settle_here(self, work: Work) -> None:
        """Its last try: judge it in the world as this transaction sees it."""
        agent_id = work.attempt.agent_id
        if agent_id not in self._worlds:
            self._worlds[agent_id] = await self._turn.load_world(agent_id)
        world = self._worlds[agent_id]
        if world is None:
            self._enter(work, work.world, GONE)
            return
        work.world, work.facts = world, self._facts_of(work.attempt.slot)
        judged = judge_safely(work.attempt, world, work.facts)
        for _ in range(ROUNDS_MAX):
            if not judged.lacks:
                break
            world.entities.keep(await self._turn.load_entities(agent_id, judged.lacks))
            judged = judge_safely(work.attempt, world, work.facts)
        if not self._enter(work, world, judged):
            work.state = State.FAILED

    def _enter(self, work: Work, world: World, judged: Judged) -> bool:
        """False: something would have to be looked up, so nothing is decided."""
        attempt, session_id = work.attempt, None
        if judged.counts:
            before = self._facts_of(attempt.slot)
            if judged.reads_facts and before != work.facts:
                judged = judge_safely(attempt, world, before)
            if judged.lacks:
                return False
            if judged.counts:
                session_id = self._count(attempt, before, judged)
        work.judged, work.session_id = judged, session_id
        self.entries.append(
            build_entry(attempt, world, judged, session_id=session_id, decision_ms=work.decision_ms)
        )
        self.settled.append(work)
        return True

    def _count(self, attempt: Attempt, before: Facts, judged: Judged) -> str:
        """Count the call in its session, whose id this is."""
        slot = attempt.slot
        row = self._turn.sessions[slot]
        self._facts[slot] = facts_after(before, judged)
        self._active_at[slot] = max(self._active_at.get(slot, row.last_activity_at), attempt.decided_us)
        return row.id

    def _facts_of(self, slot: str) -> Facts:
        if (facts := self._facts.get(slot)) is not None:
            return facts
        row = self._turn.sessions[slot]
        return self._cache.find(slot, row.id, row.version) or facts_from_json(json.loads(row.facts))

    def sessions(self) -> list[SessionFacts]:
        """The rows of the sessions that counted a call, as they are to be stored."""
        rows = self._turn.sessions
        return [
            SessionFacts(rows[slot], render_json_text(facts_to_json(self._facts[slot])), active_at)
            for slot, active_at in self._active_at.items()
        ]

    def committed(self, boottime_ns: int) -> None:
        """It is durable: the calls are recorded, and the facts are known."""
        for work in self.settled:
            work.state = State.DONE
            work.committed_boottime_ns = boottime_ns
        for slot in self._active_at:
            row = self._turn.sessions[slot]
            self._cache.keep(slot, KnownFacts(row.id, row.version + 1, self._facts[slot]))
