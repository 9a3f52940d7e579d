"""The sums over a log, made the slow way: every entry read, and the rules of `store/audit/rollups.py` applied anew."""

import json
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from wicket.core.ids import uuid7
from wicket.store import tables
from wicket.store.audit.entry import Entry, OutcomeRow, Row

HOUR_US = 3_600_000_000
BEGIN_US = 1_793_000_000_000_000
FAILED = {"upstream_error", "timeout", "cancelled", "interrupted", "expired"}
ODD = ("plain", "\0", "\\u0000", "\ud800", '\\"\\', "\u2028")
"""Texts that not every reader of JSON can hold."""

Sums = Mapping[tuple[Any, ...], tuple[int, int]]


def kept(tx: sa.Connection) -> Sums:
    """What the table says; sums that are nothing are as good as none."""
    rows = tx.execute(sa.select(tables.audit_rollups)).all()
    return {tuple(row[:6]): (row.calls, row.failed) for row in rows if row.calls or row.failed}


def scanned(tx: sa.Connection) -> Sums:
    """What it should say."""
    agents = {row.id: row for row in tx.execute(sa.select(tables.agents))}
    endings: dict[str, list[sa.Row[Any]]] = defaultdict(list)
    for ending in tx.execute(sa.select(tables.outcomes)):
        endings[ending.entry_id].append(ending)
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    for entry in tx.execute(sa.select(tables.audit)):
        for kind, key, denied, calls, failed in _told(entry, endings[entry.id]):
            for grain, at, subject in _places(entry, agents.get(entry.agent_id), kind):
                place = sums[grain, at, subject, kind, key, denied]
                place[0] += calls
                place[1] += failed
    return {key: (calls, failed) for key, (calls, failed) in sums.items() if calls or failed}


def _places(entry: sa.Row[Any], agent: sa.Row[Any] | None, kind: str) -> Iterator[tuple[str, int, str]]:
    hour = entry.decided_at // HOUR_US * HOUR_US
    day = entry.decided_at // (24 * HOUR_US) * 24 * HOUR_US
    yield "day", day, entry.agent_id
    if kind != "time":
        yield "hour", hour, entry.agent_id
    if agent is not None:
        yield "day", day, agent.owner_id
        yield "hour", hour, agent.owner_id
    if kind == "call" or (kind == "policy" and agent is not None and agent.trust_mode == "untrusted"):
        yield "hour", hour, entry.member_id


def _told(entry: sa.Row[Any], endings: list[sa.Row[Any]]) -> Iterator[tuple[str, str, bool, int, int]]:
    """(kind, key, denied, calls, failed) that an entry adds."""
    final = [one for one in endings if one.outcome != "interrupted"] or endings
    outcome = max(final, key=lambda one: one.ended_at).outcome if final else None
    ended = json.loads(max(final, key=lambda one: one.ended_at).body) if final else {}
    body, denied = json.loads(entry.body), bool(entry.denied)
    call = f"{entry.service}:{entry.tool}:{entry.reason_code}"
    yield "call", call, denied, ended.get("count", 1), int(outcome in FAILED)
    for policy in {policy["id"] for policy in body["matchedPolicies"]}:
        yield "policy", f"{entry.service}:{policy}", denied, 1, 0
    measured = {
        "decision": body["decisionMs"],
        "record": ended.get("recordMs"),
        "upstream": ended.get("upstreamMs"),
    }
    for stage, ms in measured.items():
        if ms is not None:
            yield "time", f"{stage}:{math.floor(8 * math.log2(ms + 0.001))}", False, 1, 0


class Busy:
    """Calls of some agents and members over a few days, and how they ended, at random."""

    def __init__(self, chance: random.Random, agents: Sequence[str]) -> None:
        self._chance = chance
        self._agents = agents
        self._open: list[str] = []
        self._refused: list[str] = []
        self._interrupted: list[str] = []
        self._ended_at = 0

    def rows(self, count: int) -> list[Row]:
        """What one transaction appends."""
        return [self._next() for _ in range(count)]

    def _next(self) -> Row:
        chance = self._chance
        for waiting, odds, ending in (
            (self._open, 0.3, self._end),
            (self._interrupted, 0.05, self._end),
            (self._refused, 0.1, self._count),
        ):
            if waiting and chance.random() < odds:
                return ending(waiting.pop(chance.randrange(len(waiting))))
        return self.call()

    def call(self) -> Entry:
        """A call that was just decided."""
        chance = self._chance
        decided_at = BEGIN_US + chance.randrange(3 * 24) * HOUR_US + chance.randrange(HOUR_US)
        entry_id = uuid7(decided_at, chance.randbytes(8))
        reason = chance.choice(("permitted", "permitted", "forbidden_by_policy", "rate_limited"))
        (self._open if reason == "permitted" else self._refused).append(entry_id)
        policies = (
            [] if reason == "rate_limited" else chance.sample(("p-1", "p-2", "p-3"), k=chance.choice((1, 2)))
        )
        agent_id = chance.choice(self._agents)
        named = [{"id": policy, "name": chance.choice(ODD)} for policy in policies]
        body = {"toolArgs": {"a": chance.choice(ODD)}, "matchedPolicies": named, "decisionMs": self._ms()}
        return Entry(
            id=entry_id,
            decided_at=decided_at,
            agent_id=agent_id,
            agent_name=agent_id,
            service=chance.choice(("github", "slack")),
            tool=chance.choice(("read", "write")),
            member_id=chance.choice(("m-1", "m-2")),
            key_id="k",
            session_id=None,
            denied=reason != "permitted",
            reason_code=reason,
            caller_ip="192.0.2.7",
            resource="",
            reason="because",
            deny_message=None,
            body=json.dumps(body),
            policy_ids=tuple(policies),
        )

    def _end(self, entry_id: str) -> OutcomeRow:
        outcome = self._chance.choice(("ok", "ok", "tool_error", "timeout", "cancelled", "interrupted"))
        if outcome == "interrupted":
            self._interrupted.append(entry_id)
            return self._outcome(entry_id, outcome, {})
        return self._outcome(entry_id, outcome, {"recordMs": self._ms(), "upstreamMs": 100 * self._ms()})

    def _count(self, entry_id: str) -> OutcomeRow:
        return self._outcome(entry_id, "refused", {"count": self._chance.randrange(2, 50)})

    def _outcome(self, entry_id: str, outcome: str, body: Mapping[str, float]) -> OutcomeRow:
        self._ended_at += 1
        return OutcomeRow(entry_id, outcome, self._ended_at, json.dumps(body))

    def _ms(self) -> float:
        return round(self._chance.lognormvariate(-1, 1), 3)
