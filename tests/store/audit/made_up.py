"""Entries of every kind that a filter can tell apart, made up: three agents, three accounts, two writers."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import sqlalchemy as sa

from tests.databases import Location
from tests.runtime.recorder.support import ledger_at
from wicket.core.ids import uuid7
from wicket.core.model import Outcome, Reason
from wicket.store import tables
from wicket.store.audit.entry import Entry, OutcomeRow
from wicket.store.db import Database

OWNER, GUEST, STRANGER = (f"00000000-0000-4000-8000-00000000000{n}" for n in "123")
TRUSTED, UNTRUSTED, FOREIGN = (f"00000000-0000-4000-8000-0000000000a{n}" for n in "123")
OWNERS = {TRUSTED: OWNER, UNTRUSTED: OWNER, FOREIGN: STRANGER}
MEMBERS = {
    f"00000000-0000-4000-8000-0000000000{number:02}": place
    for number, place in enumerate(product(OWNERS, (OWNER, GUEST, STRANGER)))
}
"""Member id -> (agent, account)."""
POLICIES = {
    f"00000000-0000-4000-8000-000000000f{number:02}": place
    for number, place in enumerate(product(OWNERS, ("no-nights", "=all")))
}
"""Policy id -> (agent, key)."""
AGENT_NAMES = ("Helper", "École", "ÉCOLE 50%", "a_b", "\N{KELVIN SIGN}ELVIN", "straße")
TOOLS = ("get_me", "get%me", "Grüße", "GRÜSSE", "delete_file", "İstanbul", "ΣΊΣΥΦΟΣ", "back\\slash")
TEXTS = ("plain", "Été", "ÉTÉ 100%_", "under_score", "two\nlines", "ΛΌΓΟΣ", "\N{KELVIN SIGN}")
START_US = 1_780_000_000_000_000
STEP_US = 250_000


@dataclass
class MadeUp:
    """What was made, and filters that ask for it."""

    seed: int
    ids: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)

    def filters(self, each: int, together: int) -> Iterator[Mapping[str, str]]:
        """Each filter alone with so many of its values, then some of them together."""
        chance = random.Random(self.seed)
        choices = self._choices()
        yield {}
        for name, values in choices.items():
            yield from ({name: value} for value in chance.sample(values, min(each, len(values))))
        for _ in range(together):
            names = chance.sample(sorted(choices), k=chance.randrange(2, 5))
            yield {name: chance.choice(choices[name]) for name in names}

    def _choices(self) -> Mapping[str, Sequence[str]]:
        parts = ("", "e", "É", "été", "ss", "k", "\N{KELVIN SIGN}", "%", "_", "\\", "i", "ή", "ό", "nothing")
        return {
            "from": ["2026-05-28T20:26:55Z", "2026-05-28", "2027-01-01"],
            "to": ["2026-05-28T20:27:10.250000Z", "2026-05-28T20:26:40", "2026-05-27"],
            "agent": [*parts, "helper", "école"],
            "service": ["github", "slack", "git"],
            "tool": [*parts, "GET%", "grüße", "σίσυφοσ", "delete"],
            "result": ["ALLOW", "DENY"],
            "member": [*MEMBERS, *(f"{name}@Example.com" for name in ("owner", "guest", "nobody"))],
            "policy": [*POLICIES, "no-nights", "=all", "none"],
            "session": self.sessions,
            "agentId": [*OWNERS, "00000000-0000-4000-8000-0000000000ff"],
            "reason": [Reason.PERMITTED, Reason.FORBIDDEN_BY_POLICY, Reason.RATE_LIMITED],
            "outcome": [*Outcome],
            "ip": ["192.0.2.1", "2001:DB8::1", "192.0.2.200"],
            "q": [*parts, "PLAIN", "λόγοσ", "two\nlines", "100%_", "Score"],
        }


async def make_up(location: Location, database: Database, *, entries: int, seed: int = 1) -> MadeUp:
    """People, agents, policies, and a log of two writers."""
    await database.change(make_people, agents=())
    chance = random.Random(seed)
    made = MadeUp(seed, sessions=[f"ts_{number}" for number in range(3)])
    for writer in range(2):
        ledger = ledger_at(location)
        await ledger.open(START_US)
        rows: list[Entry | OutcomeRow] = []
        for number in range(writer, entries, 2):
            entry = _entry(chance, number, made.sessions)
            made.ids.append(entry.id)
            rows += [entry, *_outcomes(chance, entry)]
        async with ledger.turn([TRUSTED], []) as turn:
            await turn.commit(rows, [])
        await ledger.close(START_US)
    return made


def make_people(tx: sa.Connection) -> None:
    """Accounts, agents, members and policies."""
    for account, name in ((OWNER, "owner"), (GUEST, "guest"), (STRANGER, "stranger")):
        tx.execute(sa.insert(tables.accounts).values(id=account, email=f"{name}@example.com", created_at=1))
    for agent, owner in OWNERS.items():
        tx.execute(
            sa.insert(tables.agents).values(
                id=agent,
                owner_id=owner,
                name=agent,
                name_folded=agent,
                trust_mode="untrusted" if agent == UNTRUSTED else "trusted",
                status="active",
                tags="[]",
                settings="{}",
                revision=1,
                created_at=1,
            )
        )
    for member, (agent, account) in MEMBERS.items():
        tx.execute(
            sa.insert(tables.members).values(
                agent_id=agent, id=member, account_id=account, role="member", status="approved", created_at=1
            )
        )
    for policy, (agent, key) in POLICIES.items():
        tx.execute(
            sa.insert(tables.policies).values(
                agent_id=agent, id=policy, key=key, version=1, enabled=True, created_at=1, updated_at=1,
                member_id=next(m for m, place in MEMBERS.items() if place == (agent, GUEST)),
            )
        )  # fmt: skip


def _entry(chance: random.Random, number: int, sessions: Sequence[str]) -> Entry:
    at = START_US + number * STEP_US
    member = chance.choice(sorted(MEMBERS))
    agent = MEMBERS[member][0]
    denied = chance.random() < 0.5
    cited = [one for one, place in POLICIES.items() if place[0] == agent and chance.random() < 0.5]
    policies = [
        {"id": one, "key": POLICIES[one][1], "name": "P", "version": 1, "effect": "forbid"} for one in cited
    ]
    body = {
        "memberName": "somebody",
        "toolArgs": {"n": number},
        "decisionMs": 0.1,
        "requestBytes": 1,
        "clientName": "",
        "clientVersion": "",
        "protocolVersion": "",
        "matchedPolicies": policies,
        "reasonWithheld": "for a reason",
    }
    return Entry(
        id=uuid7(at, chance.randbytes(8)),
        decided_at=at,
        agent_id=agent,
        agent_name=chance.choice(AGENT_NAMES),
        service=chance.choice(("github", "slack")),
        tool=chance.choice(TOOLS),
        member_id=member,
        key_id="k",
        session_id=chance.choice([None, *sessions]),
        denied=denied,
        reason_code=chance.choice((Reason.FORBIDDEN_BY_POLICY, Reason.RATE_LIMITED))
        if denied
        else "permitted",
        caller_ip=chance.choice(("192.0.2.1", "2001:db8::1")),
        resource=chance.choice(TEXTS),
        reason=chance.choice(TEXTS),
        deny_message=chance.choice((None, *TEXTS)) if denied else None,
        body=json.dumps(body, ensure_ascii=False),
        policy_ids=tuple(cited),
    )


def _outcomes(chance: random.Random, entry: Entry) -> list[OutcomeRow]:
    at = entry.decided_at + 1
    if entry.denied:
        ends = [OutcomeRow(entry.id, Outcome.REFUSED, at, '{"count":3}')]
        return ends if chance.random() < 0.2 else []
    first = chance.choice([Outcome.OK, Outcome.TOOL_ERROR, Outcome.TIMEOUT, Outcome.INTERRUPTED, None])
    ends = [] if first is None else [OutcomeRow(entry.id, first, at, '{"durationMs":1.5}')]
    if first is Outcome.INTERRUPTED and chance.random() < 0.5:
        ends.append(OutcomeRow(entry.id, Outcome.OK, at + 1, '{"durationMs":2.5}'))
    return ends
