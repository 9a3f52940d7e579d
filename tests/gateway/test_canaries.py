"""A canary token for each member and service: each call carries the one that is meant, and a denied call none."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa
import uvloop

from tests.evidence import SEED, asked, note
from tests.instance import AgentUnderTest, Instance
from tests.upstreams.recording import RecordingUpstream
from wicket.core.model import AuthType, Tier
from wicket.store import tables

CALLS = asked("WICKET_TEST_CANARIES", 1_000)
AT_A_TIME = 16
SERVICES = ("one", "two")
PEOPLE = ("ann@example.com", "ben@example.com", "cyd@example.com")
DENIED = "eve@example.com"
"""Calls only what nothing permits, and her seals do not open: whoever tries to open one of them says so."""
TIERS = {"echo": Tier.READ, "drop": Tier.WRITE}


@dataclass
class Aviary:
    wicket: Instance
    agent: AgentUnderTest
    keys: dict[str, str] = field(default_factory=dict)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def settle(self, email: str) -> None:
        self.keys[email] = await self.agent.key(email)
        for service in SERVICES:
            await self.agent.connect(service, token_of(email, service), email)

    async def call(self, email: str, service: str, *, modern: bool) -> None:
        tool = "drop" if email == DENIED else "echo"
        answer = await self.wicket.call(
            self.keys[email], f"{service}__{tool}", {"text": token_of(email, service)}, modern=modern
        )
        reason = "" if "result" in answer.json else str(answer.data.get("reason", answer.status))
        self.answers[email, reason] += 1


def token_of(email: str, service: str) -> str:
    return f"canary-of-{email}-at-{service}"


def _break_seals(tx: sa.Connection, member_id: str) -> None:
    of_member = tables.connections.c.member_id == member_id
    tx.execute(sa.update(tables.connections).where(of_member).values(sealed=b"\x01nothing that opens"))


async def _sung(directory: Path, random: Random, calls: int) -> tuple[Aviary, list[tuple[str, str]]]:
    """Many calls at a time, of everybody; and the pairs of (expected, carried) that upstreams have seen."""
    async with (
        RecordingUpstream(era="modern") as one,
        RecordingUpstream(era="legacy", answers="sse") as two,
        Instance.started(directory) as wicket,
    ):
        upstreams = dict(zip(SERVICES, (one, two), strict=True))
        urls = {service: upstream.url for service, upstream in upstreams.items()}
        aviary = Aviary(wicket, await wicket.agent(services=urls, auth=AuthType.BEARER, tiers=TIERS))
        for service in SERVICES:
            await aviary.agent.policy(service=service)
        for email in (*PEOPLE, DENIED):
            await aviary.settle(email)
        denied = await aviary.agent.member(DENIED)
        await wicket.change(_break_seals, denied, agents=[aviary.agent.id])
        waiting = iter([(random.choice([*PEOPLE, DENIED]), random.choice(SERVICES)) for _ in range(calls)])

        async def one_after_another() -> None:
            for email, service in waiting:
                await aviary.call(email, service, modern=random.random() < 0.5)
                if email != DENIED and random.random() < 0.02:
                    # What is open in memory is dropped: the agent has changed.
                    await aviary.agent.connect(service, token_of(email, service), email)

        await asyncio.gather(*(one_after_another() for _ in range(AT_A_TIME)))
        carried = [
            (f"Bearer {arguments['text']}", seen.headers["authorization"])
            for upstream in upstreams.values()
            for seen in upstream.calls
            if isinstance(arguments := seen.params["arguments"], dict)
        ]
    return aviary, carried


@pytest.mark.promise("P8")
def test_a_call_carries_the_token_of_its_member_and_service_and_a_denied_one_opens_none(
    tmp_path: Path,
) -> None:
    aviary, carried = uvloop.run(_sung(tmp_path, Random(asked(SEED, 7)), CALLS))
    crossed = [(expected, found) for expected, found in carried if expected != found]
    wrong = {
        answer: count
        for answer, count in aviary.answers.items()
        if answer[1] != ("no_permit_matched" if answer[0] == DENIED else "")
    }
    denied = sum(count for (email, _), count in aviary.answers.items() if email == DENIED)
    note(
        "canaries",
        aviary.answers.total(),
        wrong={
            "tokens of somebody else, or for something else": len(crossed),
            "denied calls that opened something, or got out": sum(
                count for (email, _), count in wrong.items() if email == DENIED
            ),
        },
        carried=len(carried),
        denied=denied,
    )
    assert crossed == []
    assert wrong == {}
    assert aviary.answers.total() == CALLS
    assert len(carried) == CALLS - denied
    assert denied > CALLS / 10
