"""Complete mediation: whatever is sent, what reaches an upstream is exactly what was decided ALLOW and recorded."""

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import get_args

import pytest
import sqlalchemy as sa
import uvloop

from tests.evidence import SEED, asked, note
from tests.gateway.messages import Messages, Sent
from tests.gateway.scene import Entry, Scene, read_gaps
from tests.instance import AgentUnderTest, Instance
from tests.replay import Replayed, note_replayed, replay
from tests.upstreams.recording import ECHO, AnsweredIn, RecordingUpstream, Seen
from wicket.core.errors import Refused
from wicket.core.jsonrpc import Request, parse_message
from wicket.core.model import AgentStatus, AuthType, JsonObject, Tier, TrustMode
from wicket.core.redaction import Redactor
from wicket.gateway.targets import DECIDED, is_decided
from wicket.store import tables

MESSAGES = asked("WICKET_TEST_MESSAGES", 5_000)
UNREST = max(0.005, min(0.02, 50 / MESSAGES))
"""How often a message is followed by changes: a change costs more than many messages."""
AT_A_TIME = 32
WHOLE_S = 60
TIERS = {"echo": Tier.READ, "write_note": Tier.WRITE, "wipe": Tier.DESTRUCTIVE}
TOOLS: list[JsonObject] = [ECHO, {"name": "write_note"}, {"name": "wipe"}]
OUR_OWN = {
    "server/discover",
    "initialize",
    "notifications/initialized",
    "tools/list",
    "notifications/cancelled",
}


@dataclass(frozen=True)
class Person:
    key: str
    member_id: str


@dataclass
class Town:
    """Two agents, their people, and two upstreams that each want every member's own token."""

    wicket: Instance
    upstreams: dict[str, RecordingUpstream]
    agents: list[AgentUnderTest]
    people: list[Person]
    tokens: dict[tuple[str, str], str]
    """(service, token) -> member id."""
    toggled: list[tuple[AgentUnderTest, str]]
    disablings: int = 0


async def built(wicket: Instance, upstreams: dict[str, RecordingUpstream]) -> Town:
    town = Town(wicket, upstreams, [], [], {}, [])
    urls = {service: upstream.url for service, upstream in upstreams.items()}
    for name, mode in (("trusting", TrustMode.TRUSTED), ("wary", TrustMode.UNTRUSTED)):
        agent = await wicket.agent(name, services=urls, auth=AuthType.BEARER, trust_mode=mode, tiers=TIERS)
        town.agents.append(agent)
        for email in ("ann@example.com", "ben@example.com", "cyd@example.com"):
            await _move_in(town, agent, email)
        await _legislate(town, agent, mode)
    await town.agents[0].key("ben@example.com", current_key=_key_of(town, 1))  # his old one is still in use
    return town


async def _move_in(town: Town, agent: AgentUnderTest, email: str) -> None:
    key, member_id = await agent.key(email), await agent.member(email)
    town.people.append(Person(key, member_id))
    for service in town.upstreams:
        if email.startswith("cyd") and service == "two":
            continue  # one account is missing
        token = f"token-{agent.id}-{member_id}-{service}"
        await agent.connect(service, token, email)
        town.tokens[(service, token)] = member_id


async def _legislate(town: Town, agent: AgentUnderTest, mode: TrustMode) -> None:
    owners: list[str | None] = [None]
    if mode is TrustMode.UNTRUSTED:
        owners = [agent.member_ids[email] for email in sorted(agent.member_ids)]
    for owner in owners:
        whose: JsonObject = {} if owner is None else {"memberId": owner}
        for service in town.upstreams:
            for number, rule in enumerate(RULES):
                saved = await agent.policy(**{"service": service, "name": f"rule {number}"} | rule | whose)
                if number == 0:
                    town.toggled.append((agent, saved.id))


RULES: list[JsonObject] = [
    {"tools": ["tier:read"]},
    {"tools": ["write_note"], "session": [{"type": "callCount", "operator": "<", "value": 40}]},
    {"tools": ["wipe"], "effect": "forbid", "denyMessage": "never"},
]


def _key_of(town: Town, place: int) -> str:
    return town.people[place].key


async def _send(town: Town, sent: Sent) -> int:
    headers = [*sent.headers, ("content-type", "application/json")]
    if sent.key is not None:
        headers.append(("authorization", f"Bearer {sent.key}"))
    url = town.wicket.url + sent.path
    async with town.wicket.http.post(url, data=sent.body, headers=headers) as response:
        if b"subscriptions/listen" in sent.body and response.content_type == "text/event-stream":
            await response.content.readline()  # it stands open until we leave
        else:
            await response.read()
        return response.status


async def _unrest(town: Town, random: Random) -> None:
    """Rules that come and go while calls are under way."""
    agent, policy_id = random.choice(town.toggled)
    await agent.toggle(policy_id, enabled=False)
    await agent.toggle(policy_id, enabled=True)
    if random.random() < 0.2:
        town.disablings += 1
        await agent.status(AgentStatus.DISABLED)
        await agent.status(AgentStatus.ACTIVE)


async def _send_all(town: Town, sent: list[Sent], random: Random) -> Counter[int]:
    statuses = Counter[int]()
    waiting = iter(sent)

    async def one_after_another() -> None:
        for one in waiting:
            statuses[await _send(town, one)] += 1
            if random.random() < UNREST:
                await _unrest(town, random)

    await asyncio.gather(*(one_after_another() for _ in range(AT_A_TIME)))
    return statuses


def _is_to_be_entered(sent: Sent, known_keys: Collection[str | None]) -> bool:
    """A call, or what is decided like one, of a key that resolves; its envelope parses, and it came past the door."""
    names = [name for name, _ in sent.headers]
    if "authorization" in names or "origin" in names or sent.key not in known_keys:
        return False
    try:
        message = parse_message(sent.body, sent.headers)
    except Refused:
        return False
    service = sent.path.removeprefix("/mcp").strip("/") or None
    return isinstance(message, Request) and is_decided(message, service)


def _of_upstream(town: Town, service: str, seen: Seen, redactor: Redactor) -> tuple[str, ...]:
    """A call as it arrived, in the terms of the log."""
    is_call = seen.rpc == "tools/call"
    arguments = (
        seen.params["arguments"] if is_call else {k: v for k, v in seen.params.items() if k != "_meta"}
    )
    assert isinstance(arguments, dict)
    token = seen.headers["authorization"].removeprefix("Bearer ")
    redacted = json.dumps(redactor.redact(arguments), sort_keys=True)
    tool = str(seen.params["name"]) if is_call else seen.rpc
    return seen.rpc, service, tool, redacted, town.tokens[(service, token)]


def _of_log(entry: Entry) -> tuple[str, ...]:
    arguments = json.dumps(entry.body["toolArgs"], sort_keys=True)
    return str(entry.body["method"]), entry.service, entry.tool, arguments, entry.member_id


@dataclass
class Findings:
    """Both sides of every message, and the log between them."""

    sent: int
    statuses: Counter[int]
    expected: int
    """Messages that must be in the log, or among those that its gaps count."""
    missed: int
    log: list[Entry]
    allowed: Counter[tuple[str, ...]]
    """Those that the log has as answered."""
    cut: Counter[tuple[str, ...]]
    """Those that were under way when their agent was disabled: they arrived, or they did not."""
    arrived: Counter[tuple[str, ...]]
    disablings: int
    others: set[str]
    """Methods of what arrived without being decided."""
    replayed: Replayed

    @property
    def unaccounted(self) -> int:
        return sum(entry.count for entry in self.log) + self.missed - self.expected


SENT = {"ok", "tool_error"}
CUT = "cancelled"


async def _mediated(directory: Path, answers: AnsweredIn, random: Random, messages: int) -> Findings:
    async with (
        RecordingUpstream(era="modern", answers=answers, tools=TOOLS) as one,
        RecordingUpstream(era="legacy", answers=answers, tools=TOOLS) as two,
        Instance.started(directory) as wicket,
    ):
        town = await built(wicket, {"one": one, "two": two})
        keys = [person.key for person in town.people]
        tools = [f"{service}__{tool}" for service in town.upstreams for tool in TIERS]
        made = Messages(random, keys=keys, tools=tools)
        sent = [made.make() for _ in range(messages)]
        gc.freeze()  # or each collection looks at all of them
        statuses = await _send_all(town, sent, random)
        gc.unfreeze()
        expected = sum(_is_to_be_entered(one, [*keys]) for one in sent)
        log, missed = await _whole_log(town, expected)
        replayed = await wicket.database.read(replay)
        redactor = Redactor(wicket.parts.keys.redaction_key)
    arrived = Counter(
        _of_upstream(town, service, seen, redactor)
        for service, upstream in town.upstreams.items()
        for seen in upstream.seen
        if seen.rpc in DECIDED
    )
    return Findings(
        len(sent),
        statuses,
        expected,
        missed,
        log,
        allowed=Counter(_of_log(entry) for entry in log if not entry.denied and entry.outcome in SENT),
        cut=Counter(_of_log(entry) for entry in log if entry.outcome == CUT),
        arrived=arrived,
        disablings=town.disablings,
        others={seen.rpc for upstream in town.upstreams.values() for seen in upstream.seen} - DECIDED,
        replayed=replayed,
    )


def _note(found: Findings) -> None:
    note(
        "messages",
        found.sent,
        wrong={
            "requests upstream without an ALLOW that equals them": (
                found.arrived - found.allowed - found.cut
            ).total(),
            "ALLOWs on record as sent that did not arrive": (found.allowed - found.arrived).total(),
            "unrecorded, or recorded twice": abs(found.unaccounted),
            "answers 500": found.statuses[500],
        },
        arrived=found.arrived.total(),
        cut=found.cut.total(),
        entries=len(found.log),
        refused_unrecorded=found.missed,
    )
    note_replayed(found.replayed)


@pytest.mark.promise("P1")
@pytest.mark.promise("P5")
@pytest.mark.promise("P8")
@pytest.mark.parametrize("answers", get_args(AnsweredIn))
def test_every_call_that_reaches_an_upstream_was_decided_and_recorded_exactly_so(
    answers: AnsweredIn, tmp_path: Path
) -> None:
    random = Random(f"{asked(SEED, 20261123)}-{answers}")
    found = uvloop.run(_mediated(tmp_path, answers, random, MESSAGES // 2))
    _note(found)
    assert found.statuses.total() == found.sent
    assert found.statuses[500] == 0
    assert found.unaccounted == 0  # 0 unrecorded, and none twice
    assert found.missed < found.sent / 100
    # 0 without ALLOW, 0 different in method, tool, arguments or owner of the credential
    assert found.allowed <= found.arrived <= found.allowed + found.cut
    assert found.arrived.total() > found.sent / 10
    assert {entry.outcome for entry in found.log} <= SENT | {"refused", "expired", CUT}
    assert found.cut.total() <= AT_A_TIME * found.disablings
    assert found.others <= OUR_OWN
    assert found.replayed.different == []
    assert found.replayed.same > found.sent / 10


def _entered(tx: sa.Connection) -> tuple[int, int]:
    """For how many messages the log has entries, and how many allowed calls are not over."""
    audit, outcomes = tables.audit.c, tables.outcomes.c
    entries = tx.execute(sa.select(sa.func.count()).select_from(tables.audit)).scalar_one()
    counts = tx.execute(sa.select(outcomes.body).where(outcomes.body.contains('"count"'))).scalars()
    ended = sa.select(outcomes.entry_id).where(outcomes.entry_id == audit.id)
    is_open = sa.select(sa.func.count()).where(audit.denied.is_(False), ~ended.exists())
    more = sum(int(json.loads(body)["count"]) - 1 for body in counts)
    return entries + more, tx.execute(is_open.select_from(tables.audit)).scalar_one()


async def _whole_log(town: Town, expected: int) -> tuple[list[Entry], int]:
    """All entries, and how many calls were refused unrecorded, each of which the log's gaps count.

    Counts of coalesced refusals come when their second is over.
    """
    reader = Scene(town.wicket, town.upstreams["one"], town.agents[0], "")
    database = town.wicket.database
    async with asyncio.timeout(WHOLE_S):
        while True:
            missed = await database.read(read_gaps)
            entered, still_open = await database.read(_entered)
            if entered + missed >= expected and not still_open:
                return await reader.log(), missed
