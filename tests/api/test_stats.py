"""The log in numbers: what owners and members see of it, over which range."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from tests.api.calls import Calls, recording
from tests.api.people import PERMIT, Instance, Person
from tests.databases import Location
from wicket.runtime.rollups import Rollups

FORBID = {"name": "No deletions", "service": "github", "effect": "forbid", "tools": ["delete_file"]}


STAGES = {"decision", "record", "upstream"}


@dataclass
class Scene:
    """Two agents of one owner, a member of the first, and what they have called, counted."""

    owner: Person
    member: Person
    agent_id: str
    other_id: str
    members_id: str
    forbid: dict[str, Any]


async def make_calls(
    calls: Calls, agent_id: str, other_id: str, owner: str, others: str, member: str
) -> None:
    await calls.make(agent_id, owner, "github__get_me")
    await calls.make(agent_id, owner, "github__get_me")
    await calls.make(agent_id, owner, "github__delete_file", {"owner": "a", "repo": "b"})
    await calls.make(agent_id, member, "github__get_me", ip="198.51.100.9", session="two")
    await calls.make(agent_id, member, "github__delete_file")
    await calls.make(agent_id, owner, "slack__nothing")
    await calls.make(other_id, others, "github__get_me")


@pytest.fixture
async def scene(wicket: Instance, location: Location) -> Scene:
    owner, member = await wicket.person("owner"), await wicket.person("member")
    agent_id, other_id = await owner.make_agent("helper"), await owner.make_agent("Deployer")
    for one in (agent_id, other_id):
        await owner.put(f"/api/agents/{one}/services", {"services": ["github"]})
    path = f"/api/agents/{agent_id}/policies"
    for seeded in (await owner.get(path))["items"]:
        await owner.delete(f"{path}/{seeded['id']}")
    await owner.post(path, {**PERMIT}, expect=201)
    forbid = await owner.post(path, FORBID, expect=201)
    ids = [await owner.membership(agent_id), await owner.membership(other_id)]
    ids.append(await wicket.admit(member, agent_id))
    async with recording(wicket.database, location) as calls:
        await make_calls(calls, agent_id, other_id, *ids)
    await Rollups(wicket.database).catch_up()
    return Scene(owner, member, agent_id, other_id, ids[2], forbid)


async def test_the_owner_sees_all_agents_in_numbers(scene: Scene) -> None:
    stats = await scene.owner.get("/api/dashboard/stats")
    policy = {
        "id": scene.forbid["id"],
        "key": "no-deletions",
        "name": "No deletions",
        "agentId": scene.agent_id,
        "count": 2,
    }
    tools = [
        {"service": "github", "tool": "get_me", "allowed": 4, "denied": 0, "failed": 0},
        {"service": "github", "tool": "delete_file", "allowed": 0, "denied": 2, "failed": 0},
        {"service": "slack", "tool": "nothing", "allowed": 0, "denied": 1, "failed": 0},
    ]
    assert stats["totals"] == {"calls": 7, "allowed": 4, "denied": 3, "failed": 0, "allowRatio": 4 / 7}
    assert stats["topTools"] == tools
    assert stats["topDenyingPolicies"] == [policy]
    assert stats["services"] == [
        {
            "service": "github",
            "allowed": 4,
            "denied": 2,
            "failed": 0,
            "topTools": tools[:2],
            "topDenyingPolicies": [policy],
        },
        {
            "service": "slack",
            "allowed": 0,
            "denied": 1,
            "failed": 0,
            "topTools": tools[2:],
            "topDenyingPolicies": [],
        },
    ]
    assert stats["reasons"] == [
        {"reason": "permitted", "count": 4},
        {"reason": "forbidden_by_policy", "count": 2},
        {"reason": "service_not_enabled", "count": 1},
    ]
    assert set(stats["latency"]) == STAGES
    assert 0 < stats["latency"]["decision"]["p50"] <= stats["latency"]["decision"]["p99"]
    assert stats["latency"]["record"]["p50"] > 0
    assert stats["latency"]["upstream"] == {"p50": None, "p99": None}
    assert stats["lagS"] == 0


async def test_a_series_has_every_hour_or_day_of_its_range(scene: Scene) -> None:
    stats = await scene.owner.get("/api/dashboard/stats")
    assert stats["range"] == {"from": "2026-11-22T12:00:00Z", "to": "2026-11-23T13:00:00Z", "grain": "hour"}
    assert [one["at"][11:13] for one in stats["series"]] == [f"{(12 + hour) % 24:02}" for hour in range(25)]
    assert stats["series"][-1] == {"at": "2026-11-23T12:00:00Z", "allowed": 4, "denied": 3, "failed": 0}
    assert {one["allowed"] + one["denied"] for one in stats["series"][:-1]} == {0}
    month = await scene.owner.query("/api/dashboard/stats", {"from": "2026-10-25", "to": "2026-11-23"})
    assert month["range"] == {"from": "2026-10-25T00:00:00Z", "to": "2026-11-24T00:00:00Z", "grain": "day"}
    assert len(month["series"]) == 30
    for part in ("totals", "topTools", "services", "topDenyingPolicies", "reasons", "latency"):
        assert month[part] == stats[part]
    week = await scene.owner.query(
        "/api/dashboard/stats", {"from": "2026-11-20T18:30:00Z", "to": "2026-11-26"}
    )
    assert (week["range"]["grain"], len(week["series"])) == ("hour", 6 + 6 * 24)
    assert (week["totals"], week["topTools"]) == (stats["totals"], stats["topTools"])
    before = await scene.owner.query("/api/dashboard/stats", {"to": "2026-11-22"})
    assert before["totals"] == {"calls": 0, "allowed": 0, "denied": 0, "failed": 0, "allowRatio": None}


async def test_a_member_sees_own_calls_without_the_policies_of_a_trusted_agent(scene: Scene) -> None:
    everything = await scene.member.get("/api/dashboard/stats")
    of_agent = await scene.member.get("/api/dashboard/stats", agentId=scene.agent_id)
    assert everything == of_agent
    assert everything["totals"] == {"calls": 2, "allowed": 1, "denied": 1, "failed": 0, "allowRatio": 0.5}
    assert everything["topDenyingPolicies"] == []
    assert "no-deletions" not in str(everything)
    assert everything["latency"] == {stage: {"p50": None, "p99": None} for stage in STAGES}
    month = await scene.member.query("/api/dashboard/stats", {"from": "2026-10-25", "to": "2026-11-23"})
    assert month["series"][-1] == {"at": "2026-11-23T00:00:00Z", "allowed": 1, "denied": 1, "failed": 0}


async def test_a_member_of_an_untrusted_agent_sees_which_own_policies_deny(
    wicket: Instance, location: Location
) -> None:
    owner, member = await wicket.person("owner"), await wicket.person("member")
    agent_id = await owner.make_agent(trustMode="untrusted")
    await owner.put(f"/api/agents/{agent_id}/services", {"services": ["github"]})
    members_id = await wicket.admit(member, agent_id)
    await owner.post(f"/api/agents/{agent_id}/policies", {**FORBID, "memberId": members_id}, expect=201)
    async with recording(wicket.database, location) as calls:
        await calls.make(agent_id, members_id, "github__delete_file")
    await Rollups(wicket.database).catch_up()
    (policy,) = (await member.get("/api/dashboard/stats"))["topDenyingPolicies"]
    assert (policy["key"], policy["count"]) == ("no-deletions", 1)


async def test_one_agent_is_counted_alone_and_foreign_ones_do_not_exist(
    wicket: Instance, scene: Scene
) -> None:
    other = await scene.owner.get("/api/dashboard/stats", agentId=scene.other_id)
    assert other["totals"]["calls"] == 1
    assert 0 < other["latency"]["decision"]["p50"] == other["latency"]["decision"]["p99"]
    eve = await wicket.person("eve")
    await eve.make_agent()
    assert (await eve.get("/api/dashboard/stats"))["totals"]["calls"] == 0
    for person, agent_id in ((eve, scene.agent_id), (scene.member, scene.other_id)):
        await person.get("/api/dashboard/stats", agentId=agent_id, expect=404)
        assert total(await person.get("/api/audit/histogram", agentId=agent_id)) == (0, 0)


async def test_what_was_removed_stays_counted_for_the_owner(scene: Scene) -> None:
    path = f"/api/agents/{scene.agent_id}"
    await scene.owner.delete(f"{path}/policies/{scene.forbid['id']}")
    await scene.owner.delete(f"{path}/members/{scene.members_id}")
    assert (await scene.member.get("/api/dashboard/stats"))["totals"]["calls"] == 0
    await scene.owner.delete(path)
    stats = await scene.owner.get("/api/dashboard/stats")
    assert (stats["totals"]["calls"], stats["topDenyingPolicies"][0]["count"]) == (7, 2)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"from": "2026-11-23", "to": "2026-11-22"}, "from"),
        ({"from": "2025-01-01"}, "from"),
        ({"from": "0001-01-01"}, "from"),
        ({"agentId": "helper"}, "agentId"),
        ({"to": "9999-12-31", "from": "9990-01-01"}, "from"),
    ],
)
async def test_a_bad_range_is_named(wicket: Instance, params: dict[str, str], field: str) -> None:
    ada = await wicket.person("ada")
    for path in ("/api/dashboard/stats", "/api/audit/histogram"):
        problem = await ada.get(path, expect=400, **params)
        assert (problem["code"], problem["field"]) == ("invalid", field)


async def test_no_range_is_too_far_away(scene: Scene) -> None:
    for params in ({"from": "1970-01-01", "to": "1970-01-01"}, {"to": "9999-12-31"}, {"to": "0001-01-01"}):
        assert (await scene.owner.query("/api/dashboard/stats", params))["totals"]["calls"] == 0
        assert total(await scene.owner.query("/api/audit/histogram", params)) == (0, 0)


def total(histogram: dict[str, Any]) -> tuple[int, int]:
    items = histogram["items"]
    return sum(one["allowed"] for one in items), sum(one["denied"] for one in items)


FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"agent": "DEPLOY"},
    {"service": "slack"},
    {"service": "nobody"},
    {"tool": "DELETE"},
    {"result": "ALLOW"},
    {"result": "DENY"},
    {"member": "member@example.com"},
    {"member": "nobody@example.com"},
    {"member": "member@example.com", "service": "github", "result": "DENY"},
    {"policy": "no-deletions"},
    {"policy": "no-deletions", "service": "github"},
    {"policy": "no-deletions", "service": "slack"},
    {"policy": "reads", "tool": "get_me"},
    {"policy": "no-deletions", "member": "member@example.com"},
    {"reason": "service_not_enabled"},
    {"reason": "permitted", "tool": "get"},
    {"outcome": "ok"},
    {"ip": "198.51.100.9"},
    {"q": "nothing"},
)
SPANS: tuple[tuple[dict[str, str], int, int], ...] = (
    ({}, 3_600, 25),
    ({"from": "2026-10-25", "to": "2026-11-23"}, 86_400, 30),
    ({"from": "2026-11-23T11:30:00Z", "to": "2026-11-23T12:29:00Z"}, 60, 60),
    ({"from": "2026-11-23T09:00:00Z", "to": "2026-11-23T13:00:00Z"}, 300, 49),
)
"""A range, how wide its bars are in seconds, and how many they are."""


async def test_the_histogram_counts_what_the_list_shows(scene: Scene) -> None:
    for person, params in product((scene.owner, scene.member), FILTERS):
        listed = (await person.query("/api/audit", params))["items"]
        expected = tuple(sum(one["decision"] == result for one in listed) for result in ("ALLOW", "DENY"))
        for span, bucket_s, bars in SPANS:
            found = await person.query("/api/audit/histogram", params | span)
            assert total(found) == expected, (person.email, params, span)
            assert (found["bucketS"], len(found["items"]), found["isPartial"]) == (bucket_s, bars, False)


async def test_a_bar_stands_where_its_calls_were(scene: Scene) -> None:
    params = {"from": "2026-11-23T11:59:00Z", "to": "2026-11-23T12:00:59Z", "agentId": scene.agent_id}
    assert (await scene.owner.query("/api/audit/histogram", params))["items"] == [
        {"at": "2026-11-23T11:59:00Z", "allowed": 0, "denied": 0},
        {"at": "2026-11-23T12:00:00Z", "allowed": 3, "denied": 3},
    ]
