"""When several refusals apply, the order of the contract decides; and refusals that come in crowds are counted."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway.scene import Scene, scene, until
from tests.instance import now
from wicket.core.model import AgentStatus, AuthType, Tier
from wicket.core.naming import exposed_name
from wicket.store import pins

ONE_CALL: dict[str, object] = {"rate_burst": 1, "rate_per_second": 0.000_001}
Spoil = Callable[[Scene], Awaitable[None]]


async def key_revoked(s: Scene) -> None:
    await s.revoke(await s.agent.member("ben@example.com"))


async def bucket_empty(s: Scene) -> None:
    """The bucket holds one token, which this takes; nothing refills it while the test lasts."""
    assert (await s.call(tool="nowhere")).status == 400


async def agent_disabled(s: Scene) -> None:
    await s.agent.status(AgentStatus.DISABLED)


async def member_pending(s: Scene) -> None:
    await s.put_back(await s.agent.member("ben@example.com"))


async def tool_held(s: Scene) -> None:
    await s.agent.review("fake", "echo", None, hold=True)


async def forbidden(s: Scene) -> None:
    await s.agent.policy(service="fake", effect="forbid", name="no")


async def nothing(s: Scene) -> None:
    """Leave it: the account that is not connected is what is left to complain about."""


@dataclass(frozen=True)
class Step:
    """One thing that is wrong, and the answer that it alone leads to."""

    spoil: Spoil
    status: int
    reason: str | None
    session: str | None = None
    tool: str = "fake__echo"


STEPS = [
    Step(key_revoked, 401, None),
    Step(bucket_empty, 429, "rate_limited"),
    Step(agent_disabled, 403, "agent_disabled"),
    Step(member_pending, 403, "member_not_approved"),
    Step(nothing, 404, "unknown_session", session="guessed"),
    Step(nothing, 200, "service_not_enabled", tool="github__get_me"),
    Step(tool_held, 200, "tool_changed"),
    Step(forbidden, 200, "forbidden_by_policy"),
    Step(nothing, 412, "no_credentials"),
]
PAIRS = [(first, second) for at, first in enumerate(STEPS) for second in STEPS[at + 1 :]]


@pytest.mark.parametrize(
    ("first", "second"), PAIRS, ids=[f"{a.status}-{a.reason}-{b.status}-{b.reason}" for a, b in PAIRS]
)
async def test_of_two_refusals_the_one_that_comes_first_is_answered(
    first: Step, second: Step, tmp_path: Path
) -> None:
    limits = ONE_CALL if bucket_empty in (first.spoil, second.spoil) else {}
    async with scene(tmp_path, auth=AuthType.BEARER, settings=limits) as s:
        s.key = await s.agent.key("ben@example.com")
        for step in sorted((first, second), key=lambda one: one.spoil is not bucket_empty):
            await step.spoil(s)
        session = first.session or second.session
        headers = {"mcp-session-id": session} if session else {}
        tool = first.tool if first.tool != "fake__echo" else second.tool
        answer = await s.call(tool=tool, headers=headers)
        last = (await s.ended())[-1]

    assert answer.status == first.status
    if first.reason is None:
        assert last.reason == "key_revoked"
    else:
        assert answer.data["reason"] == first.reason
        assert last.reason == (first.reason if first.status != 412 else "permitted")
    assert s.upstream.calls == []


async def is_counted(s: Scene, reason: str, count: int) -> None:
    """Counts are entered when their second is over."""

    async def so_many() -> bool:
        return sum(one.count for one in await s.log() if one.reason == reason) == count

    await until(so_many)


@pytest.mark.parametrize(
    ("spoil", "status", "reason"),
    [
        (bucket_empty, 429, "rate_limited"),
        (agent_disabled, 403, "agent_disabled"),
        (key_revoked, 401, "key_revoked"),
    ],
)
async def test_refusals_of_one_second_are_one_entry_with_a_count(
    spoil: Spoil, status: int, reason: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, settings=ONE_CALL if spoil is bucket_empty else {}) as s:
        s.key = await s.agent.key("ben@example.com")
        await spoil(s)
        refused = [await s.wicket.call(s.key, "fake__echo", request_id=number) for number in range(40)]
        await is_counted(s, reason, len(refused))
        found = [one for one in await s.log() if one.reason == reason]

    assert {answer.status for answer in refused} == {status}
    assert [answer.json["id"] for answer in refused] == list(range(40))
    assert len(found) < len(refused) / 2
    assert {one.outcome for one in found} == {"refused"}
    if status != 401:
        assert {answer.data["decisionId"] for answer in refused} == {one.id for one in found}
        assert {answer.data["retryable"] for answer in refused} == {status == 429}
    if status == 429:
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


async def test_a_raised_limit_holds_from_the_next_call_on(tmp_path: Path) -> None:
    async with scene(tmp_path, settings=ONE_CALL) as s:
        first, limited = await s.call(), await s.call()
        await s.agent.settings(rateBurst=50, ratePerSecond=1_000_000)
        raised = await s.call()

    assert [first.status, limited.status, raised.status] == [200, 429, 200]


async def test_calls_that_denials_make_count_against_the_limit_too(tmp_path: Path) -> None:
    async with scene(tmp_path, permit=False, settings=ONE_CALL | {"rate_burst": 3}) as s:
        statuses = [(await s.call()).status for _ in range(4)]

    assert statuses == [200, 200, 200, 429]


async def test_a_service_that_was_just_enabled_is_known_though_the_world_at_hand_is_an_old_one(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as s:
        await s.wicket.connector(s.agent, "later", s.upstream.url)
        before = await s.call(tool="later__echo")
        await s.wicket.enable(s.agent, "fake", "later")
        enabled = await s.call(tool="later__echo")
        reviewed_name = "a" * 80
        await s.wicket.change(
            pins.observe,
            agent_id=s.agent.id,
            service="fake",
            member_id=None,
            seen=[pins.SeenTool(reviewed_name, "hash", {"name": reviewed_name}, Tier.READ)],
            now=now(),
            agents=[s.agent.id],
        )
        await s.agent.review("fake", reviewed_name, Tier.WRITE)
        shortened = await s.call(tool=exposed_name("fake", reviewed_name))

    assert before.error["code"] == -32601
    assert enabled.data["reason"] == "unknown_tool"
    assert shortened.data["reason"] == "no_permit_matched"
    assert f"'{reviewed_name}'" in str(shortened.error["message"])
