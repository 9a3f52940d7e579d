"""A Wicket with one agent, one key and one recording upstream, and the log as tests of the proxy read it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from tests.instance import PATIENT, AgentUnderTest, Answer, Instance, now
from tests.upstreams.recording import RecordingUpstream
from wicket.connectors.definitions import definition_hash
from wicket.core.model import AuthType, JsonObject, MemberStatus, Tier
from wicket.runtime.recorder import Limits
from wicket.store import keys, members, pins, tables

SERVICE = "fake"
TEST_S_MAX = 120
"""A test that hangs should say so, and not stop all the others."""


@dataclass(frozen=True)
class Entry:
    """One audit entry, with what became of it."""

    id: str
    seq: int
    denied: bool
    reason: str
    service: str
    tool: str
    member_id: str
    key_id: str
    session_id: str | None
    body: JsonObject
    outcomes: tuple[str, ...]
    count: int
    """How many requests it stands for."""
    ending: JsonObject
    """What its last outcome says."""

    @property
    def outcome(self) -> str:
        return self.outcomes[-1] if self.outcomes else ("refused" if self.denied else "pending")

    @property
    def is_over(self) -> bool:
        return self.outcome != "pending"


@dataclass
class Scene:
    wicket: Instance
    upstream: RecordingUpstream
    agent: AgentUnderTest
    key: str

    async def call(
        self,
        arguments: JsonObject | None = None,
        *,
        key: str | None = None,
        tool: str = "fake__echo",
        headers: Mapping[str, str] | None = None,
        modern: bool = False,
    ) -> Answer:
        """One call of the owner, or of whoever has `key`."""
        return await self.wicket.call(key or self.key, tool, arguments or {}, headers=headers, modern=modern)

    async def log(self) -> list[Entry]:
        """Every entry in the order of the log."""
        return await self.wicket.database.read(_read_log)

    async def ended(self, count: int = 1) -> list[Entry]:
        """The log, once it has so many entries and every call is over."""
        found: list[Entry] = []

        async def is_so() -> bool:
            found[:] = await self.log()
            return len(found) >= count and all(entry.is_over for entry in found)

        await until(is_so)
        return found

    async def pin(self, service: str, *tools: JsonObject, tier: Tier = Tier.READ) -> None:
        """Accept tools as the owner's reviews would."""

        def observe_and_review(tx: sa.Connection) -> None:
            place: dict[str, Any] = {"agent_id": self.agent.id, "service": service, "now": now()}
            seen = [pins.SeenTool(str(tool["name"]), definition_hash(tool), tool, tier) for tool in tools]
            pins.observe(tx, member_id=None, seen=seen, **place)
            for tool in tools:
                pins.review(tx, tool=str(tool["name"]), tier=tier, actor_id=None, **place)

        await self.wicket.change(observe_and_review, agents=[self.agent.id])

    async def revoke(self, member_id: str | None = None) -> None:
        await self.wicket.change(
            keys.revoke_key,
            agent_id=self.agent.id,
            member_id=member_id or self.agent.owner_member,
            actor_id=None,
            now=now(),
            agents=[self.agent.id],
        )

    async def remove(self, member_id: str) -> None:
        await self.wicket.change(
            members.remove,
            agent_id=self.agent.id,
            member_id=member_id,
            actor_id=None,
            now=now(),
            agents=[self.agent.id],
        )

    async def put_back(self, member_id: str, status: MemberStatus = MemberStatus.PENDING) -> None:
        """A membership that waits again though it has a live key: nothing of ours brings that about."""

        def store(tx: sa.Connection) -> None:
            of_member = tables.members.c.id == member_id
            tx.execute(sa.update(tables.members).where(of_member).values(status=status.value))

        await self.wicket.change(store, agents=[self.agent.id])


@asynccontextmanager
async def scene(
    directory: Path,
    *,
    auth: AuthType = AuthType.NONE,
    permit: bool = True,
    tiers: Mapping[str, Tier] | None = None,
    era: Literal["modern", "legacy"] = "modern",
    answers: Literal["json", "sse"] = "json",
    settings: Mapping[str, object] | None = None,
    limits: Limits = PATIENT,
) -> AsyncIterator[Scene]:
    """Everything `read` of service `fake` is permitted, unless `permit` is False."""
    async with (
        RecordingUpstream(era=era, answers=answers) as upstream,
        Instance.started(directory, limits=limits, **(settings or {})) as wicket,
    ):
        agent = await wicket.agent(services={SERVICE: upstream.url}, auth=auth, tiers=tiers)
        key = await agent.key()
        if permit:
            await agent.policy(service=SERVICE)
        async with asyncio.timeout(TEST_S_MAX):
            yield Scene(wicket, upstream, agent, key)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what no event tells."""
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0)


async def grown_old(age_ns: int = 260_000_000) -> None:
    """Until what is recorded now may not be sent any more without another look at the rules."""
    begun_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    async def is_old() -> bool:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - begun_ns > age_ns

    await until(is_old)


def read_gaps(tx: sa.Connection) -> int:
    """How many calls were refused because they could not be recorded."""
    events = tables.events
    bodies = tx.execute(sa.select(events.c.body).where(events.c.kind == "gap")).scalars()
    return sum(json.loads(body)["count"] for body in bodies)


def _read_log(tx: sa.Connection) -> list[Entry]:
    ends: dict[str, list[tuple[str, JsonObject]]] = {}
    outcomes = tables.outcomes.c
    for row in tx.execute(sa.select(tables.outcomes).order_by(outcomes.writer, outcomes.seq)):
        ends.setdefault(row.entry_id, []).append((row.outcome, json.loads(row.body)))
    audit, tool, service = tables.audit, tables.names.alias(), tables.names.alias()
    rows = tx.execute(
        sa.select(audit, tool.c.name.label("tool_name"), service.c.name.label("service_name"))
        .join(tool, tool.c.id == audit.c.tool)
        .join(service, service.c.id == audit.c.service)
        .order_by(audit.c.writer, audit.c.seq)
    )
    return [_entry_of(row, ends.get(row.id, [])) for row in rows]


def _entry_of(row: "sa.Row[tuple[object, ...]]", ends: list[tuple[str, JsonObject]]) -> Entry:
    ending: JsonObject = ends[-1][1] if ends else {}
    count = ending.get("count", 1)
    assert isinstance(count, int)
    return Entry(
        id=row.id,
        seq=row.seq,
        denied=row.denied,
        reason=row.reason_code,
        service=row.service_name,
        tool=row.tool_name,
        member_id=row.member_id,
        key_id=row.key_id,
        session_id=row.session_id,
        body=json.loads(row.body),
        outcomes=tuple(outcome for outcome, _ in ends),
        count=count,
        ending=ending,
    )
