"""What would be decided: of one call that nobody makes, and of past calls under a draft."""

import json
from typing import Any

import httpx2
import pytest

from tests.api.calls import recording
from tests.api.logged import FORBID, Scene, scene
from tests.api.people import PERMIT, Instance
from tests.databases import Location

__all__ = ["scene"]


def path_of(scene: Scene) -> str:
    return f"/api/agents/{scene.agent_id}/policies/simulate"


async def simulate(scene: Scene, tool: str = "get_me", *, expect: int = 200, **given: Any) -> Any:
    call = {"memberId": scene.owners_id, "service": "github", "tool": tool} | given.pop("call", {})
    return await scene.owner.post(path_of(scene), {"call": call, **given}, expect=expect)


async def test_a_call_that_nobody_makes_is_decided_as_a_real_one(scene: Scene) -> None:
    found = await simulate(scene)
    assert (found["decision"], found["reasonCode"], found["connected"]) == ("ALLOW", "permitted", False)
    assert [policy["key"] for policy in found["matchedPolicies"]] == ["reads"]
    assert found["request"]["action"] == {"type": "GitHubMCP::Action", "id": "get_me"}
    denied = await simulate(scene, "delete_file", call={"arguments": {"owner": "a", "repo": "b"}})
    assert (denied["decision"], denied["denyMessage"]) == ("DENY", "Deleting is for people.")
    assert [one["matched"] for one in denied["explanation"]["policies"]] == [True]


async def test_nothing_is_recorded_of_it(scene: Scene) -> None:
    before = await scene.owner.get("/api/audit")
    await simulate(scene)
    assert await scene.owner.get("/api/audit") == before


@pytest.mark.parametrize(
    ("tool", "call", "reason"),
    [
        ("nothing", {}, "unknown_tool"),
        ("get_me", {"service": "slack"}, "service_not_enabled"),
        ("get_me", {"service": "nowhere"}, "service_not_enabled"),
        ("label_write", {"arguments": {"method": ["delete"]}}, "arguments_rejected"),
        ("create_repository", {}, "no_permit_matched"),
    ],
)
async def test_what_a_real_call_would_be_refused_for_is_a_denial(
    scene: Scene, tool: str, call: dict[str, Any], reason: str
) -> None:
    found = await simulate(scene, tool, call=call)
    assert (found["decision"], found["reasonCode"]) == ("DENY", reason)


async def test_a_disabled_agent_and_a_member_who_is_not_approved_are_denials(
    scene: Scene, wicket: Instance
) -> None:
    pending = await wicket.join(await wicket.person("late"), scene.agent_id)
    found = await simulate(scene, call={"memberId": pending})
    assert (found["decision"], found["reasonCode"], found["request"]) == ("DENY", "member_not_approved", None)
    await scene.owner.put(f"/api/agents/{scene.agent_id}/status", {"status": "disabled"})
    assert (await simulate(scene))["reasonCode"] == "agent_disabled"
    stranger = "0f3c7f0e-0000-4000-8000-000000000000"
    assert (await simulate(scene, expect=404, call={"memberId": stranger}))["code"] == "not_found"


async def test_time_session_and_address_are_what_one_says(scene: Scene) -> None:
    draft = {
        **FORBID,
        "name": "Breaker",
        "tools": ["tier:read"],
        "time": {"hoursFrom": 3, "hoursTo": 4},
        "session": [
            {"type": "denyCount", "operator": ">=", "value": 3},
            {"type": "hasLabel", "value": "github:private"},
        ],
        "network": {"in": ["198.51.100.0/24"]},
    }
    holds: dict[str, Any] = {
        "at": "2026-11-23T03:30:00Z",
        "session": {"denyCount": 3, "labels": ["github:private"]},
        "ip": "198.51.100.9",
    }
    found = await simulate(scene, draft=draft, **holds)
    assert (found["decision"], [one["key"] for one in found["matchedPolicies"]]) == ("DENY", ["breaker"])
    for name, other in (
        ("at", "2026-11-23T05:00:00Z"),
        ("session", {"denyCount": 2, "labels": ["github:private"]}),
        ("session", {"denyCount": 3}),
        ("ip", "192.0.2.7"),
    ):
        assert (await simulate(scene, draft=draft, **(holds | {name: other})))["decision"] == "ALLOW"
    missed = await simulate(scene, draft=draft, **(holds | {"ip": "192.0.2.7"}))
    texts = [c["text"] for p in missed["explanation"]["policies"] for c in p["conditions"] if not c["holds"]]
    assert texts == ["address was 192.0.2.7, forbidden in 198.51.100.0/24"]


async def test_a_draft_takes_the_place_of_a_policy(scene: Scene) -> None:
    draft = {**PERMIT, "tools": ["search_code"]}
    assert (await simulate(scene, draft=draft))["decision"] == "ALLOW"
    instead = await simulate(scene, draft=draft, policyId=scene.permit["id"])
    assert (instead["decision"], instead["reasonCode"]) == ("DENY", "no_permit_matched")
    off = await simulate(scene, draft={**PERMIT, "enabled": False}, policyId=scene.permit["id"])
    assert off["decision"] == "DENY"
    assert (await scene.owner.get(f"/api/agents/{scene.agent_id}/policies"))["total"] == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "call"),
        ({"draft": {**PERMIT, "tools": ["no_such_tool"]}}, "draft.tools[0]"),
        ({"draft": {**PERMIT, "time": {"hoursFrom": 1}}}, "draft.time.hoursTo"),
        ({"draft": {**PERMIT}, "ip": "here"}, "ip"),
        ({"draft": {**PERMIT}, "from": "yesterday"}, "from"),
    ],
)
async def test_a_question_that_is_none_names_its_field(
    scene: Scene, body: dict[str, Any], field: str
) -> None:
    assert (await scene.owner.post(path_of(scene), body, expect=400))["field"] == field


async def replay(scene: Scene, draft: dict[str, Any], **given: Any) -> Any:
    return await scene.owner.post(path_of(scene), {"draft": draft, "to": "2026-11-23", **given})


async def test_past_calls_are_decided_under_a_draft(scene: Scene) -> None:
    found = await replay(scene, {**PERMIT, "tools": ["search_code"]}, policyId=scene.permit["id"])
    rows = {scene.named({"items": [row]})[0]: row for row in found.pop("rows")}
    assert found == {
        "total": 5,
        "before": {"allowed": 2, "denied": 3},
        "after": {"allowed": 0, "denied": 4},
        "changed": 2,
        "unmatched": 1,
    }
    assert list(rows) == ["read", "delete", "members", "members delete", "slack"]
    read = rows["read"]
    assert (read["decision"], read["draftDecision"], read["baselineDecision"]) == ("ALLOW", "DENY", "DENY")
    assert (read["changed"], read["draftReasonCode"]) == (True, "no_permit_matched")
    assert (rows["delete"]["draftPolicyIds"], rows["delete"]["changed"]) == (["no-deletions"], False)
    assert rows["slack"]["unmatched"] == "the policies were not asked: service_not_enabled"
    assert rows["slack"]["draftDecision"] is None


async def test_the_baseline_is_the_other_policies_alone(scene: Scene) -> None:
    found = await replay(scene, {**FORBID, "name": "No reads", "tools": ["get_me"]})
    decided = [(row["draftDecision"], row["baselineDecision"]) for row in found["rows"][:2]]
    assert decided == [("DENY", "ALLOW"), ("DENY", "DENY")]


async def test_what_is_gone_is_listed_and_not_guessed(scene: Scene) -> None:
    await scene.owner.delete(f"/api/agents/{scene.agent_id}/members/{scene.members_id}")
    found = await replay(scene, {**PERMIT})
    reasons = [row["unmatched"] for row in found["rows"]]
    assert reasons[2:4] == ["the member is there no more"] * 2
    assert found["unmatched"] == 3
    assert found["after"] == {"allowed": 1, "denied": 1}


async def test_a_window_bounds_what_is_replayed(scene: Scene) -> None:
    some = await replay(scene, {**PERMIT}, **{"from": "2026-11-23T12:00:02Z", "to": "2026-11-23T12:00:03.5Z"})
    assert scene.named({"items": some["rows"]}) == ["delete", "members"]
    none = await replay(scene, {**PERMIT}, **{"from": "2026-11-25", "to": "2026-11-26"})
    assert (none["total"], none["rows"]) == (0, [])


async def test_facts_of_sessions_are_those_of_the_draft(
    scene: Scene, wicket: Instance, location: Location
) -> None:
    async with recording(wicket.database, location) as calls:
        made = [
            await calls.make(scene.agent_id, scene.owners_id, "github__get_me", session="long")
            for _ in range(4)
        ]

    async def decided(*session: dict[str, Any]) -> list[str]:
        draft = {**FORBID, "name": "Breaker", "tools": ["get_me"], "session": session}
        rows = (await replay(scene, draft))["rows"]
        return [row["draftDecision"] for row in rows if row["id"] in made]

    used = {"type": "toolCount", "tool": "github:get_me", "operator": ">=", "value": 2}
    assert await decided(used) == ["ALLOW", "ALLOW", "DENY", "DENY"]
    # Calls are denied here that were allowed, so the third finds two denials before it.
    denied = {"type": "denyCount", "operator": "<", "value": 2}
    assert await decided(denied) == ["DENY", "DENY", "ALLOW", "ALLOW"]
    late: dict[str, Any] = {"from": "2026-11-23T12:00:02.5Z", "to": "2026-11-23"}
    found = await replay(scene, {**FORBID, "name": "B", "tools": ["get_me"], "session": [used]}, **late)
    # What the session did before the window counts as it was decided then.
    assert [row["draftDecision"] for row in found["rows"] if row["id"] in made] == ["DENY", "DENY"]


async def test_rows_come_as_events_with_progress(scene: Scene, wicket: Instance) -> None:
    headers = {"Authorization": f"Bearer {scene.owner.token}", "Accept": "text/event-stream"}
    transport = httpx2.ASGITransport(app=wicket.served)
    body = {"draft": {**PERMIT}, "to": "2026-11-23"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://wicket.test") as http:
        answer = await http.post(path_of(scene), json=body, headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [event.split("\n") for event in answer.text.strip().split("\n\n")]
    told = [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in events]
    assert [name for name, _ in told] == ["progress", "rows", "progress", "result"]
    assert [data for name, data in told if name == "progress"] == [
        {"done": 0, "total": 5},
        {"done": 5, "total": 5},
    ]
    whole = await replay(scene, {**PERMIT})
    assert told[1][1] == whole.pop("rows")
    assert told[-1][1] == whole
