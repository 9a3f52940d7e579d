"""Agents: their shape on the wire, their list, the kill switch, services and settings."""

import pytest

from tests.api.people import Instance, names_of, tool

AGENT = {"id", "name", "status", "trustMode", "role", "tags", "services", "createdAt"}


async def test_a_new_agent_is_answered_as_it_is(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    body = {"name": "helper", "trustMode": "trusted", "tags": ["ci"]}
    response = await ada.http.post("/api/agents", json=body)
    agent = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/agents/{agent['id']}"
    assert agent == {
        "id": agent["id"],
        "name": "helper",
        "status": "active",
        "trustMode": "trusted",
        "role": "owner",
        "tags": ["ci"],
        "services": [],
        "createdAt": "2026-11-23T12:00:00Z",
    }
    assert await ada.get(f"/api/agents/{agent['id']}") == agent
    assert (await ada.get("/api/agents")) == {"items": [agent], "nextCursor": None, "total": 1}


async def test_a_name_is_taken_in_any_letter_case(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    await ada.make_agent("Helper")
    problem = await ada.post("/api/agents", {"name": "HELPER", "trustMode": "trusted"}, expect=409)
    assert problem["code"] == "name_taken"
    await bob.make_agent("helper")


async def test_the_list_is_filtered_by_status_and_role(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    await ada.make_agent("mine")
    off = await ada.make_agent("off")
    await ada.put(f"/api/agents/{off}/status", {"status": "disabled"})
    await wicket.admit(ada, await bob.make_agent("theirs"))
    assert names_of((await ada.http.get("/api/agents?status=active&role=owner")).json()) == ["mine"]
    assert names_of(await ada.get("/api/agents", role="member")) == ["theirs"]
    assert names_of(await ada.get("/api/agents", status="disabled")) == ["off"]


async def test_the_list_is_searched_sorted_and_cut(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    for name, tags in (("beta", ["x"]), ("Alpha", ["x", "y"]), ("gamma", [])):
        await ada.make_agent(name, tags=tags)
    assert names_of(await ada.get("/api/agents", search="ALPH")) == ["Alpha"]
    assert names_of(await ada.get("/api/agents", tag="x", sortBy="name", sortDir="asc")) == ["Alpha", "beta"]
    page = await ada.get("/api/agents", sortBy="name", sortDir="desc", limit=1, offset=1)
    assert (names_of(page), page["total"]) == (["beta"], 3)


async def test_what_is_searched_for_is_taken_as_it_is(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    for name in ("100% sure", "a_b", "axb", "back\\slash", "straße", "cafe\u0301"):
        await ada.make_agent(name)
    found = {
        said: names_of(await ada.get("/api/agents", search=said, sortBy="name"))
        for said in ("%", "_", "\\", "STRASSE", "CAFÉ", "a.b", "' OR 1=1 --")
    }
    assert found == {
        "%": ["100% sure"], "_": ["a_b"], "\\": ["back\\slash"], "STRASSE": ["straße"], "CAFÉ": ["café"],
        "a.b": [], "' OR 1=1 --": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    "query",
    ["status=gone", "role=admin", "sortBy=id", "sortDir=up", "limit=0", "limit=501", "offset=-1", "more=1",
     "search=%00", "tag=%00", "limit=x", "cursor=x"],
)  # fmt: skip
async def test_a_filter_that_means_nothing_is_named(wicket: Instance, query: str) -> None:
    ada = await wicket.person("ada")
    answer = await ada.http.get(f"/api/agents?{query}")
    assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0])


async def test_an_agent_is_renamed_tagged_and_deleted(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent(tags=['old'])}"
    assert (await ada.put(path, {"name": "better"}))["tags"] == ["old"]
    assert (await ada.put(path, {"tags": []}))["name"] == "better"
    assert (await ada.put(path, {"trustMode": "untrusted"}, expect=400))["field"] == "trustMode"
    await ada.delete(path)
    await ada.get(path, expect=404)
    assert (await ada.get("/api/agents"))["items"] == []


async def test_the_kill_switch_moves_the_revision_before_it_answers(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    agent_id = await ada.make_agent()
    before = await wicket.database.revision(agent_id)
    path = f"/api/agents/{agent_id}/status"
    off = await ada.put(path, {"status": "disabled", "reason": "leaked a key"})
    after = await wicket.database.revision(agent_id)
    assert before is not None
    assert after is not None
    assert after > before
    assert (off["status"], set(off)) == ("disabled", AGENT)
    assert (await ada.put(path, {"status": "active"}))["status"] == "active"
    assert (await ada.put(path, {"status": "paused"}, expect=400))["field"] == "status"


async def test_enabling_a_service_seeds_its_baseline_once(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}"
    agent = await ada.put(f"{path}/services", {"services": ["slack", "github"]})
    assert agent["services"] == ["slack", "github"]
    baselines = await ada.get(f"{path}/policies")
    assert [policy["tools"] for policy in baselines["items"]] == [["tier:read", "tier:write"]] * 2
    await ada.delete(f"{path}/policies/{baselines['items'][0]['id']}")
    await ada.put(f"{path}/services", {"services": []})
    await ada.put(f"{path}/services", {"services": ["slack"]})
    assert (await ada.get(f"{path}/policies"))["total"] == 1


@pytest.mark.parametrize(
    ("services", "field", "code"),
    [
        (["github", "nope"], "services[1]", "unknown_service"),
        (["github", "github"], "services[1]", "invalid"),
        ("github", "services", "invalid"),
    ],
)
async def test_a_bad_service_is_named(wicket: Instance, services: object, field: str, code: str) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/services"
    problem = await ada.put(path, {"services": services}, expect=400)
    assert (problem["field"], problem["code"]) == (field, code)


async def test_a_local_server_is_pinned_when_it_is_enabled(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/services"
    wicket.servers.tools["stdio:git"] = [tool("git_log", readOnlyHint=True)]
    wicket.servers.tools["stdio:notes"] = [
        tool("read_note", readOnlyHint=True),
        tool("write_note", destructiveHint=False),
        tool("delete_note"),
    ]
    await ada.put(path, {"services": ["git", "notes"]})
    (git_log,) = (await ada.get(f"{path}/git/tools"))["items"]
    assert (git_log["tier"], git_log["proposedTier"]) == (None, "read")
    notes = (await ada.get(f"{path}/notes/tools"))["items"]
    assert {one["name"]: one["tier"] for one in notes} == {
        "read_note": "read",
        "write_note": "write",
        "delete_note": "destructive",
    }


async def test_tiers_are_accepted_only_the_first_time_a_local_server_is_enabled(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/services"
    wicket.servers.tools["stdio:notes"] = [tool("read_note", readOnlyHint=True)]
    await ada.put(path, {"services": ["notes"]})
    await ada.put(path, {"services": []})
    wicket.servers.tools["stdio:notes"].append(tool("new_note", readOnlyHint=True))
    await ada.put(path, {"services": ["notes"]})
    notes = (await ada.get(f"{path}/notes/tools"))["items"]
    assert {one["name"]: one["tier"] for one in notes} == {"read_note": "read", "new_note": None}


async def test_a_local_server_that_does_not_answer_is_not_enabled(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}"
    problem = await ada.put(f"{path}/services", {"services": ["git"]}, expect=502)
    assert problem["code"] == "upstream_unreachable"
    assert (await ada.get(path))["services"] == []


async def test_settings_are_replaced_whole(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/settings"
    default = {"rateBurst": None, "ratePerSecond": None, "denialShape": "error", "timeZone": None}
    assert await ada.get(path) == default
    wanted = {
        "rateBurst": 5,
        "ratePerSecond": 0.5,
        "denialShape": "toolResult",
        "timeZone": "Europe/Berlin",
    }
    assert await ada.put(path, wanted) == wanted
    assert await ada.get(path) == wanted
    assert await ada.put(path, {}) == default


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"rateBurst": 0}, "rateBurst"),
        ({"ratePerSecond": "fast"}, "ratePerSecond"),
        ({"denialShape": "silence"}, "denialShape"),
        ({"timeZone": "Mars/Base"}, "timeZone"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_bad_setting_is_named(wicket: Instance, settings: dict[str, object], field: str) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/settings"
    assert (await ada.put(path, settings, expect=400))["field"] == field
