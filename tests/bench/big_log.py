"""A big log in a database of its own, made fast: the rows that the recorder would have written, chains and all.

Ninety days of two hundred agents, some busy and most not, by day more than by night; a few starts of two processes.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from uuid import UUID

import sqlalchemy as sa

from wicket.connectors.services import catalog
from wicket.core.ids import uuid7
from wicket.core.model import JsonObject
from wicket.core.policy.document import digest_of, parse_policy, render_policy
from wicket.store import tables
from wicket.store.audit.entry import Entry, OutcomeRow, Row
from wicket.store.instants import to_us

DAYS, AGENTS, MEMBERS, TOOLS, POLICIES, PEOPLE = 90, 200, 2_000, 300, 500, 400
FOREIGN_AGENTS = 10
"""Agents of other owners, so that the one who asks does not see everything anyway."""
BATCH_ROWS = 2_000
HOUR_US = 3_600_000_000
BY_HOUR = [1, 1, 1, 1, 1, 2, 3, 6, 10, 12, 12, 11, 9, 11, 12, 12, 11, 9, 6, 4, 3, 2, 2, 1]
"""How busy each hour of a day is."""


@dataclass(frozen=True)
class Member:
    id: str
    account_id: str
    email: str
    key_id: str


@dataclass(frozen=True)
class Policy:
    id: str
    key: str
    effect: str
    service: str
    document: str
    cited: str
    """As entries have it."""


@dataclass(frozen=True)
class Agent:
    id: str
    owner_id: str
    name: str
    members: Sequence[Member]
    services: Sequence[str]
    policies: Sequence[Policy]
    tools: Sequence[tuple[str, str]]
    """(service, tool)."""
    tool_weights: Sequence[float]

    def policy_of(self, service: str, effect: str) -> Policy:
        """One that decides calls of a service; where it has none of its own, one of those for all."""
        alike = [policy for policy in self.policies if policy.effect == effect]
        return next((policy for policy in alike if policy.service == service), alike[0])


@dataclass
class World:
    """Who there is. Everything comes from one seed."""

    chance: random.Random
    owner_id: str = ""
    accounts: dict[str, str] = field(default_factory=dict)
    agents: list[Agent] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    """How busy each agent is, summed up."""

    def new_id(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))


def weights(count: int, power: float = 1.0) -> list[float]:
    """A few that are frequent and many that are rare, summed up."""
    return list(accumulate(1 / (rank + 3) ** power for rank in range(count)))


def make_world(seed: int) -> World:
    world = World(random.Random(seed))
    world.accounts = {world.new_id(): f"person{number}@example.com" for number in range(PEOPLE)}
    world.owner_id = next(iter(world.accounts))
    services = sorted(catalog())
    tools = _tools(services)
    for number in range(AGENTS):
        world.agents.append(_make_agent(world, number, services, tools))
    world.weights = weights(AGENTS)
    return world


def _tools(services: Sequence[str]) -> dict[str, list[str]]:
    """So many names over all services; where a catalog has fewer, some that look like them."""
    each = TOOLS // len(services) + 1
    named = {key: sorted(catalog()[key].tools) for key in services}
    return {key: [*names, *(f"{key}_tool_{n}" for n in range(each))][:each] for key, names in named.items()}


def _make_agent(world: World, number: int, services: Sequence[str], tools: dict[str, list[str]]) -> Agent:
    chance = world.chance
    agent_id = world.new_id()
    people = chance.sample(sorted(world.accounts), k=MEMBERS // AGENTS)
    owner_id = world.owner_id if number >= FOREIGN_AGENTS else people[0]
    people = [owner_id, *(one for one in people if one != owner_id)][: MEMBERS // AGENTS]
    enabled = chance.sample(services, k=chance.randrange(2, 6))
    offered = [(service, tool) for service in enabled for tool in tools[service]]
    count = POLICIES // AGENTS + (number % 2)
    return Agent(
        id=agent_id,
        owner_id=owner_id,
        name=f"{chance.choice(('build', 'support', 'sales', 'data', 'release'))} agent {number}",
        members=[Member(world.new_id(), one, world.accounts[one], world.new_id()) for one in people],
        services=enabled,
        policies=[_make_policy(world, index, enabled) for index in range(count)],
        tools=chance.sample(offered, k=len(offered)),
        tool_weights=weights(len(offered)),
    )


def _make_policy(world: World, index: int, services: Sequence[str]) -> Policy:
    effect = "forbid" if index % 2 else "permit"
    service = services[index % len(services)]
    name = f"{effect} {index} of {service}"
    given: JsonObject = {
        "name": name,
        "service": service,
        "effect": effect,
        "tools": ["tier:read", "tier:write"],
    }
    document = parse_policy(given)
    policy_id, key = world.new_id(), name.replace(" ", "-")
    cited = {
        "id": policy_id,
        "key": key,
        "name": name,
        "version": 1,
        "effect": effect,
        "digest": digest_of(document, 1),
    }
    rendered = json.dumps(render_policy(document))
    return Policy(policy_id, key, effect, service, rendered, json.dumps(cited, separators=(",", ":")))


def insert_world(tx: sa.Connection, world: World, begin_us: int) -> None:
    """The people's side of it."""
    tx.execute(
        sa.insert(tables.accounts),
        [{"id": one, "email": email, "created_at": begin_us} for one, email in world.accounts.items()],
    )
    agents, members, policies, versions = [], [], [], []
    for agent in world.agents:
        agents.append(
            {
                "id": agent.id,
                "owner_id": agent.owner_id,
                "name": agent.name,
                "name_folded": agent.name,
                "trust_mode": "trusted",
                "status": "active",
                "tags": "[]",
                "settings": "{}",
                "revision": 1,
                "created_at": begin_us,
            }
        )
        for member in agent.members:
            role = "owner" if member.account_id == agent.owner_id else "member"
            place = {"agent_id": agent.id, "id": member.id, "account_id": member.account_id}
            members.append({**place, "role": role, "status": "approved", "created_at": begin_us})
        for policy in agent.policies:
            policies.append(
                {
                    "agent_id": agent.id,
                    "id": policy.id,
                    "key": policy.key,
                    "version": 1,
                    "enabled": True,
                    "created_at": begin_us,
                    "updated_at": begin_us,
                }
            )
            versions.append(
                {
                    "agent_id": agent.id,
                    "policy_id": policy.id,
                    "version": 1,
                    "document": policy.document,
                    "digest": json.loads(policy.cited)["digest"],
                    "saved_at": begin_us,
                }
            )
    for table, rows in (
        (tables.agents, agents),
        (tables.members, members),
        (tables.policies, policies),
        (tables.policy_versions, versions),
    ):
        tx.execute(sa.insert(table), rows)


class Calls:
    """Entries and how they ended, in the order of time."""

    def __init__(self, world: World, begin: datetime, rows: int, *, hours: int = 24 * DAYS) -> None:
        self._world = world
        self._chance = random.Random(world.chance.random())
        self._begin_us = to_us(begin)
        self._rows = rows
        self._hours = hours
        self.at_us = self._begin_us
        """When the batch began that came last."""

    def batches(self) -> Iterator[list[Row]]:
        """Entries of a stretch of time, then their outcomes."""
        entries: list[Entry] = []
        for instant_us in self._instants():
            entries.append(self._entry(instant_us))
            if len(entries) == BATCH_ROWS:
                yield self._batch(entries)
                entries = []
        yield self._batch(entries)

    def at(self, instant_us: int) -> list[Row]:
        """One call of this instant, and how it ended."""
        entry = self._entry(instant_us)
        return [entry, *self._outcomes([entry])]

    def _batch(self, entries: list[Entry]) -> list[Row]:
        self.at_us = entries[0].decided_at if entries else self.at_us
        return [*entries, *self._outcomes(entries)]

    def _instants(self) -> Iterator[int]:
        """So many within the days, each hour as busy as it is."""
        first = self._begin_us // HOUR_US
        busy = [BY_HOUR[(first + hour) % 24] for hour in range(self._hours)]
        made, due = 0, 0.0
        for hour, share in enumerate(busy):
            due += self._rows * share / sum(busy)
            count = round(due) - made
            made += count
            start_us = self._begin_us + hour * HOUR_US
            yield from sorted(start_us + int(self._chance.random() * HOUR_US) for _ in range(count))

    def _entry(self, instant_us: int) -> Entry:
        chance = self._chance
        agent = chance.choices(self._world.agents, cum_weights=self._world.weights)[0]
        member = agent.members[int(chance.random() ** 2 * len(agent.members))]
        service, tool = chance.choices(agent.tools, cum_weights=agent.tool_weights)[0]
        draw = chance.random()
        if draw < 0.85:
            reason, policy = "permitted", agent.policy_of(service, "permit")
        elif draw < 0.93:
            reason, policy = "no_permit_matched", None
        elif draw < 0.98:
            reason, policy = "forbidden_by_policy", agent.policy_of(service, "forbid")
        else:
            reason, policy = "rate_limited", None
        matched = "" if policy is None else policy.cited
        number = int(chance.random() * 1_000)
        return Entry(
            id=uuid7(instant_us, chance.randbytes(8)),
            decided_at=instant_us,
            agent_id=agent.id,
            agent_name=agent.name,
            service=service,
            tool=tool,
            member_id=member.id,
            key_id=member.key_id,
            session_id=f"ts_{instant_us // HOUR_US:x}{member.id[:14].replace('-', '')}",
            denied=draw >= 0.85,
            reason_code=reason,
            caller_ip=f"198.51.100.{number % 250}",
            resource=f'GitHubMCP::Repository::"my-org/repository-{number}"',
            reason=f"{reason}: `{service}__{tool}` for agent `{agent.name}`",
            deny_message="This waits for a person." if draw >= 0.97 else None,
            body=self._body(member, service, tool, matched, number),
            policy_ids=() if policy is None else (policy.id,),
        )

    def _body(self, member: Member, service: str, tool: str, matched: str, number: int) -> str:
        """As long as they usually are, with the request as it was put to Cedar."""
        decision_ms = round(0.05 + self._chance.random() ** 4, 3)
        resource = f'{{"type":"GitHubMCP::Repository","id":"my-org/repository-{number}"}}'
        return (
            f'{{"method":"tools/call","memberName":"{member.email}","revision":1,'
            f'"toolArgs":{{"owner":"my-org","repo":"repository-{number}","path":"src/module_{number % 37}.py"}},'
            f'"decisionMs":{decision_ms},"requestBytes":{300 + number},"clientName":"claude-code",'
            f'"clientVersion":"2.1.{number % 9}","protocolVersion":"2026-07-28","matchedPolicies":[{matched}],'
            f'"principal":"GitHubMCP::User::\\"{member.account_id}\\"","action":"GitHubMCP::Action::\\"{tool}\\"",'
            f'"resources":["GitHubMCP::Repository::\\"my-org/repository-{number}\\""],'
            f'"request":{{"principal":{{"type":"GitHubMCP::User","id":"{member.account_id}"}},'
            f'"action":{{"type":"GitHubMCP::Action","id":"{tool}"}},"resource":{resource},'
            f'"context":{{"time":{{"hour":{number % 24},"dayOfWeek":1,"date":"2026-01-10"}},"service":"{service}"}},'
            f'"entities":[{{"uid":{resource},"attrs":{{}},"parents":[{{"type":"GitHubMCP::Owner","id":"my-org"}}]}}]}}}}'
        )

    def _outcomes(self, entries: Sequence[Entry]) -> Iterator[OutcomeRow]:
        chance = self._chance
        for entry in entries:
            if entry.reason_code == "rate_limited":
                yield OutcomeRow(
                    entry.id, "refused", entry.decided_at + 10**6, f'{{"count":{2 + len(entry.tool)}}}'
                )
            elif not entry.denied:
                draw, upstream_ms = chance.random(), round(20 + 400 * chance.random() ** 3, 3)
                if draw < 0.002:
                    yield OutcomeRow(entry.id, "interrupted", entry.decided_at + 10**7)
                if draw > 0.001:
                    outcome = "ok" if draw < 0.96 else "tool_error" if draw < 0.98 else "upstream_error"
                    record_ms = round(0.4 + 3 * chance.random() ** 4, 3)
                    body = (
                        f'{{"durationMs":{upstream_ms + record_ms:.3f},"upstreamMs":{upstream_ms},"upstreamStatus":200,'
                        f'"responseBytes":{int(upstream_ms * 9)},"recordMs":{record_ms}}}'
                    )
                    yield OutcomeRow(entry.id, outcome, entry.decided_at + int(upstream_ms * 1_000), body)
