"""Policies on the wire: saves, versions, toggles, previews."""

import pytest

from tests.api.people import PERMIT, Instance

WHOLE = {
    "name": "No merges at night",
    "service": "github",
    "effect": "forbid",
    "tools": ["merge_pull_request", "pull_request_review_write::submit_pending", "tier:destructive"],
    "principal": {"type": "all_members"},
    "enabled": True,
    "denyMessage": "Merges wait for the morning.",
    "time": {
        "daysOfWeek": [1, 2, 3, 4, 5],
        "hoursFrom": 18,
        "hoursTo": 23,
        "activeFrom": "2026-01-10",
        "activeTo": "2026-12-31",
        "timeZone": "Europe/Berlin",
    },
    "session": [
        {"type": "denyCount", "operator": ">=", "value": 3},
        {"type": "toolCount", "tool": "github:push_files", "operator": ">", "value": 5},
        {"type": "hasLabel", "value": "github:private"},
    ],
    "network": {"notIn": ["10.0.0.0/8"]},
}


async def test_a_policy_comes_back_as_it_was_written(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    policy = await ada.post(path, WHOLE, expect=201)
    assert policy == {"id": policy["id"], "key": "no-merges-at-night", "version": 1, **WHOLE}
    assert await ada.get(f"{path}/{policy['id']}") == policy
    assert await ada.get(path) == {"items": [policy], "nextCursor": None, "total": 1}


async def test_a_save_makes_a_version_and_a_toggle_does_not(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    policy = await ada.post(path, {**PERMIT}, expect=201)
    one = f"{path}/{policy['id']}"
    saved = await ada.put(one, {**PERMIT, "name": "Renamed", "note": "clearer"})
    assert (saved["version"], saved["key"], saved["name"]) == (2, policy["key"], "Renamed")
    assert (await ada.post(f"{one}/toggle", {"enabled": False}))["version"] == 2
    versions = await ada.get(f"{one}/versions")
    assert (versions["total"], [one["version"] for one in versions["items"]]) == (2, [2, 1])
    assert versions["items"][0] == {
        "version": 2,
        "savedAt": "2026-11-23T12:00:00Z",
        "savedBy": ada.account_id,
        "note": "clearer",
        "policy": {**PERMIT, "name": "Renamed", "principal": {"type": "all_members"}},
    }
    assert await ada.get(f"{one}/versions/2") == versions["items"][0]
    await ada.get(f"{one}/versions/3", expect=404)
    await ada.get(f"{one}/versions/{10**12}", expect=404)


async def test_a_rollback_is_a_new_version(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    policy = await ada.post(path, {**PERMIT}, expect=201)
    one = f"{path}/{policy['id']}"
    await ada.put(one, {**PERMIT, "tools": ["get_me"]})
    back = await ada.post(f"{one}/rollback", {"version": 1})
    assert (back["version"], back["tools"]) == (3, PERMIT["tools"])
    await ada.post(f"{one}/rollback", {"version": 9}, expect=404)


async def test_the_flat_toggle_needs_only_the_policys_id(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    policy = await ada.post(path, {**PERMIT}, expect=201)
    flat = f"/api/policies/{policy['id']}/toggle"
    response = await ada.http.post(flat)
    assert (response.status_code, response.json()["enabled"]) == (200, False)
    assert (await ada.post(flat))["enabled"] is True
    assert (await ada.post(flat, {"enabled": True}))["enabled"] is True
    assert (await ada.post(f"{path}/{policy['id']}/toggle", {"enabled": False}))["enabled"] is False
    assert (await ada.post(flat, {"enabled": "no"}, expect=400))["field"] == "enabled"


async def test_an_update_that_does_not_say_so_enables_nothing(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    policy = await ada.post(path, {**PERMIT, "enabled": False}, expect=201)
    one = f"{path}/{policy['id']}"
    assert (await ada.put(one, {**PERMIT}))["enabled"] is False
    assert (await ada.put(one, {**PERMIT, "enabled": True}))["enabled"] is True
    assert (await ada.put(one, {**PERMIT}))["enabled"] is True


@pytest.mark.promise("P13")
async def test_if_match_guards_against_somebody_elses_save(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    made = await ada.http.post(path, json={**PERMIT})
    one = f"{path}/{made.json()['id']}"
    assert made.headers["etag"] == '"1"'
    for sent, status in (('"1"', 200), ('"1"', 412), ('W/"2"', 200), ("*", 200), ("new", 400)):
        saved = await ada.http.put(one, json={**PERMIT}, headers={"If-Match": sent})
        assert saved.status_code == status, (sent, saved.text)
    assert (await ada.http.get(one)).headers["etag"] == '"4"'


async def test_a_deleted_policy_is_gone(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    one = f"{path}/{(await ada.post(path, {**PERMIT}, expect=201))['id']}"
    await ada.delete(one)
    await ada.delete(one, expect=404)
    await ada.get(f"{one}/versions", expect=404)
    assert (await ada.get(one, expect=404))["code"] == "not_found"


@pytest.mark.promise("P6")
async def test_every_save_moves_the_agents_revision_before_it_answers(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    agent_id = await ada.make_agent()
    path = f"/api/agents/{agent_id}/policies"
    revisions = [await wicket.database.revision(agent_id)]
    policy = await ada.post(path, {**PERMIT}, expect=201)
    revisions.append(await wicket.database.revision(agent_id))
    await ada.put(f"{path}/{policy['id']}", {**PERMIT})
    revisions.append(await wicket.database.revision(agent_id))
    await ada.post(f"/api/policies/{policy['id']}/toggle")
    revisions.append(await wicket.database.revision(agent_id))
    await ada.delete(f"{path}/{policy['id']}")
    revisions.append(await wicket.database.revision(agent_id))
    assert revisions == [1, 2, 3, 4, 5]


@pytest.mark.promise("P13")
@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"name": ""}, "name", "invalid"),
        ({"effect": "allow"}, "effect", "invalid"),
        ({"tools": []}, "tools", "invalid"),
        ({"tools": ["tier:read", "no_such_tool"]}, "tools[1]", "unknown_tool"),
        ({"service": "nope"}, "service", "unknown_service"),
        ({"denyMessage": "no"}, "denyMessage", "invalid"),
        ({"time": {"timeZone": "Mars/Base"}}, "time.timeZone", "invalid"),
        ({"network": {"in": ["everywhere"]}}, "network.in[0]", "invalid"),
        (
            {"conditions": {"items": [{"type": "phase", "value": True}]}},
            "conditions.items[0].type",
            "invalid",
        ),
        ({"id": "mine"}, "id", "invalid"),
        ({"note": 7}, "note", "invalid"),
        ({"memberId": "0f5ad4a1-7be5-4a8a-8d32-a8a2c4cfae4e"}, "memberId", "invalid"),
    ],
)
async def test_a_bad_policy_is_refused_with_its_field(
    wicket: Instance, change: dict[str, object], field: str, code: str
) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    problem = await ada.post(path, {**PERMIT, **change}, expect=400)
    assert (problem["field"], problem["code"]) == (field, code)
    if field != "note":
        preview = await ada.post(f"{path}/preview", {**PERMIT, **change}, expect=400)
        assert preview["field"] == field


async def test_a_preview_is_cedar_and_saves_nothing(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    preview = await ada.post(f"{path}/preview", WHOLE)
    assert set(preview) == {"cedar", "lints"}
    assert preview["lints"] == []
    assert preview["cedar"].startswith("forbid (")
    assert 'GitHubMCP::Action::"merge_pull_request"' in preview["cedar"]
    assert (await ada.get(path))["items"] == []


async def test_policies_are_listed_by_service(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    await ada.post(path, {**PERMIT}, expect=201)
    await ada.post(path, {**PERMIT, "service": "slack", "name": "Talk"}, expect=201)
    assert [one["name"] for one in (await ada.get(path, service="slack"))["items"]] == ["Talk"]
    page = await ada.get(path, limit=1)
    rest = await ada.get(path, limit=1, cursor=page["nextCursor"])
    assert {page["items"][0]["name"], rest["items"][0]["name"]} == {"Reads", "Talk"}
    assert (page["total"], rest["nextCursor"]) == (2, None)


async def test_policies_of_an_untrusted_agent_are_one_members(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    agent_id = await ada.make_agent(trustMode="untrusted")
    path = f"/api/agents/{agent_id}/policies"
    bobs = await wicket.admit(bob, agent_id)
    assert (await ada.post(path, {**PERMIT}, expect=400))["field"] == "memberId"
    policy = await ada.post(path, {**PERMIT, "memberId": bobs}, expect=201)
    other = await ada.post(path, {**PERMIT, "memberId": await ada.membership(agent_id)}, expect=201)
    assert (await bob.get(path))["items"] == [policy]
    assert await bob.get(f"{path}/{policy['id']}") == policy
    await bob.get(f"{path}/{other['id']}", expect=404)
    await bob.put(f"{path}/{policy['id']}", {**PERMIT, "memberId": bobs}, expect=403)
    await bob.post(f"/api/policies/{policy['id']}/toggle", expect=403)
    await bob.post(f"/api/policies/{other['id']}/toggle", expect=404)


async def test_two_versions_are_compared_in_words_and_as_cedar(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    one = f"{path}/{(await ada.post(path, {**PERMIT}, expect=201))['id']}"
    hours = {"hoursFrom": 9, "hoursTo": 17}
    await ada.put(one, {**PERMIT, "tools": ["tier:read", "create_issue"], "time": hours})
    await ada.put(one, {**PERMIT, "tools": ["tier:read", "create_issue"], "time": hours | {"hoursTo": 18}})
    newest = await ada.get(f"{one}/diff")
    assert (newest["from"], newest["to"]) == (2, 3)
    assert newest["changes"] == [
        {
            "field": "time.hours",
            "kind": "changed",
            "before": "9-17",
            "after": "9-18",
            "text": "hours 9-17 -> 9-18",
        }
    ]
    assert newest["cedar"].startswith("--- version 2\n+++ version 3\n@@")
    assert [line for line in newest["cedar"].splitlines()[3:] if line[0] in "+-"] == [
        "-when { context.time.hour >= 9 && context.time.hour <= 17 };",
        "+when { context.time.hour >= 9 && context.time.hour <= 18 };",
    ]
    whole = await ada.query(f"{one}/diff", {"from": 3, "to": 1})
    assert [change["text"] for change in whole["changes"]] == [
        "removes tool create_issue",
        "removes hours 9-18",
    ]
    same = await ada.query(f"{one}/diff", {"to": 1})
    assert same == {"from": 1, "to": 1, "changes": [], "cedar": ""}
    await ada.get(f"{one}/diff", expect=404, to=4)
    assert (await ada.get(f"{one}/diff", expect=400, to=0))["field"] == "to"


async def test_what_is_probably_not_meant_is_said_before_a_save(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/policies"
    saved = await ada.post(path, {**PERMIT}, expect=201)
    narrower = {**PERMIT, "name": "One", "tools": ["get_me"]}
    assert (await ada.post(f"{path}/lint", narrower))["lints"] == [
        {"code": "covered", "field": "tools", "message": "policy `Reads` matches whatever this one matches"}
    ]
    assert (await ada.post(f"{path}/lint?policyId={saved['id']}", narrower))["lints"] == []
    shown = await ada.post(f"{path}/preview?policyId={saved['id']}", {**PERMIT})
    assert [one["code"] for one in shown["lints"]] == ["unscoped"]
    assert "permit" in shown["cedar"]
    wrong = await ada.post(f"{path}/lint", {**PERMIT, "tools": ["no_such"]}, expect=400)
    assert (wrong["code"], wrong["field"]) == ("unknown_tool", "tools[0]")
