"""Custom connectors, and the list of what can be enabled."""

import pytest

from tests.api.people import Instance, tool
from wicket.connectors import catalog

URL = "https://tools.example.com/mcp"
BODY = {"key": "mine", "name": "Mine", "url": URL, "auth": {"type": "none"}}
SECRET = "a-secret-of-the-owner"
HEADER = {"type": "header", "header": "X-Key", "value": SECRET}


async def test_every_connector_is_described(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    wicket.servers.tools[URL] = [tool("look")]
    await ada.post("/api/connectors/custom", BODY, expect=201)
    page = await ada.get("/api/connectors/meta")
    kinds = [one["kind"] for one in page["items"]]
    assert (kinds.count("catalog"), kinds.count("stdio"), kinds.count("custom")) == (16, 2, 1)
    github = page["items"][0]
    assert github == {
        "key": "github",
        "name": "GitHub",
        "kind": "catalog",
        "namespace": "GitHubMCP",
        "perMember": True,
        "auth": github["auth"],
        "toolCount": github["toolCount"],
        "resourceTypes": github["resourceTypes"],
        "conditions": github["conditions"],
        "restrictions": [{"type": "repositories", "resourceTypes": ["Owner", "Repository"]}],
    }
    assert set(github["auth"]) == {"type", "kinds", "acceptsToken", "notes"}
    assert "mine" not in [one["key"] for one in (await bob.get("/api/connectors/meta"))["items"]]


async def test_what_policies_of_a_service_may_say_is_described(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    wicket.servers.tools[URL] = [tool("look")]
    await ada.post("/api/connectors/custom", BODY, expect=201)
    meta = {one["key"]: one for one in (await ada.get("/api/connectors/meta"))["items"]}
    assert meta["vercel"]["resourceTypes"][1] == {
        "name": "Project",
        "label": "project",
        "within": ["Team"],
        "attributes": {"projectVisibility": "text"},
    }
    said = {one["type"]: one for one in meta["vercel"]["conditions"]}
    assert [*said] == ["deploymentTarget", "deploymentState", "projectVisibility", "projectId"]
    assert said["projectVisibility"] == {
        "type": "projectVisibility",
        "kind": "equals",
        "value": "text",
        "choices": ["public", "private"],
        "attribute": "projectVisibility",
        "resourceType": None,
    }
    assert (said["projectId"]["kind"], said["projectId"]["resourceType"]) == ("within", "Project")
    assert meta["notion"]["restrictions"] == [{"type": "pages", "resourceTypes": ["Page"]}]
    assert all(meta[key]["resourceTypes"] and meta[key]["conditions"] for key in catalog())
    assert (meta["mine"]["resourceTypes"], meta["mine"]["conditions"]) == ([], [])


async def test_a_connector_is_made_once_its_server_has_answered(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    wicket.servers.tools[URL] = [tool("look", readOnlyHint=True), tool("leap")]
    body = {**BODY, "tierFromAnnotations": True}
    connector = await ada.post("/api/connectors/custom", body, expect=201)
    assert connector == {
        "id": connector["id"],
        "key": "mine",
        "name": "Mine",
        "url": URL,
        "auth": {"type": "none", "header": None, "perMember": False},
        "tierFromAnnotations": True,
        "tools": [{"name": "look", "tier": "read"}, {"name": "leap", "tier": "destructive"}],
        "createdAt": "2026-11-23T12:00:00Z",
    }
    assert await ada.get("/api/connectors/custom/mine") == connector
    assert (await ada.get("/api/connectors/custom"))["items"] == [connector]


async def test_a_server_that_does_not_answer_makes_no_connector(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    problem = await ada.post("/api/connectors/custom", BODY, expect=502)
    assert problem["code"] == "upstream_unreachable"
    assert (await ada.get("/api/connectors/custom"))["items"] == []


async def test_policies_name_a_new_connectors_tools_from_then_on(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    wicket.servers.tools[URL] = [tool("look")]
    await ada.post("/api/connectors/custom", BODY, expect=201)
    path = f"/api/agents/{await ada.make_agent()}/policies"
    policy = {"name": "Look", "service": "mine", "effect": "permit", "tools": ["look"]}
    await ada.post(path, policy, expect=201)
    problem = await ada.post(path, {**policy, "tools": ["look", "leap"]}, expect=400)
    assert (problem["field"], problem["code"]) == ("tools[1]", "unknown_tool")


async def test_a_shared_credential_is_used_and_never_shown(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    wicket.servers.tools[URL] = [tool("look")]
    made = await ada.post("/api/connectors/custom", {**BODY, "auth": HEADER}, expect=201)
    assert made["auth"] == {"type": "header", "header": "X-Key", "perMember": False}
    kept = {"name": "Mine", "url": URL, "auth": {"type": "header", "header": "X-Key"}}
    changed = await ada.put("/api/connectors/custom/mine", kept)
    assert wicket.servers.asked == [(URL, f"X-Key: {SECRET}")] * 2
    assert SECRET not in f"{made}{changed}{await ada.get('/api/connectors/custom')}"


async def test_a_new_url_is_not_sent_the_old_credential(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    elsewhere = "https://elsewhere.example.com/mcp"
    wicket.servers.tools |= {URL: [tool("look")], elsewhere: [tool("look")]}
    await ada.post("/api/connectors/custom", {**BODY, "auth": HEADER}, expect=201)
    body = {"name": "Mine", "url": elsewhere, "auth": {"type": "header", "header": "X-Key"}}
    problem = await ada.put("/api/connectors/custom/mine", body, expect=400)
    assert problem["field"] == "auth.value"
    assert wicket.servers.asked == [(URL, f"X-Key: {SECRET}")]


@pytest.mark.parametrize(
    "auth",
    [
        {"auth": {**HEADER, "perMember": True}},
        {"auth": HEADER, "perMember": True},
        {"auth": {**HEADER, "perMember": True}, "perMember": True},
    ],
)
async def test_each_member_may_be_asked_for_a_credential(wicket: Instance, auth: dict[str, object]) -> None:
    ada = await wicket.person("ada")
    wicket.servers.tools[URL] = [tool("look")]
    made = await ada.post("/api/connectors/custom", {**BODY, **auth}, expect=201)
    assert made["auth"]["perMember"] is True
    agent_id = await ada.make_agent()
    await ada.put(f"/api/agents/{agent_id}/services", {"services": ["mine"]})
    path = f"/api/agents/{agent_id}/members/{await ada.membership(agent_id)}/connections/mine"
    await ada.put(path, {"token": "my own"})


async def test_a_deleted_connector_is_gone_from_every_agent(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    wicket.servers.tools[URL] = [tool("look")]
    await ada.post("/api/connectors/custom", BODY, expect=201)
    agent_id = await ada.make_agent()
    await ada.put(f"/api/agents/{agent_id}/services", {"services": ["mine"]})
    before = await wicket.database.revision(agent_id)
    await ada.delete("/api/connectors/custom/mine")
    assert await wicket.database.revision(agent_id) != before
    assert (await ada.get(f"/api/agents/{agent_id}"))["services"] == []
    assert wicket.servers.forgotten == [(agent_id, "mine")]
    await ada.get("/api/connectors/custom/mine", expect=404)


async def test_nobody_reaches_anothers_connector(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    wicket.servers.tools[URL] = [tool("look")]
    await ada.post("/api/connectors/custom", BODY, expect=201)
    change = {"name": "Mine", "url": URL, "auth": {"type": "none"}}
    await bob.get("/api/connectors/custom/mine", expect=404)
    await bob.put("/api/connectors/custom/mine", change, expect=404)
    await bob.delete("/api/connectors/custom/mine", expect=404)
    agent_id = await bob.make_agent()
    problem = await bob.put(f"/api/agents/{agent_id}/services", {"services": ["mine"]}, expect=400)
    assert problem["code"] == "unknown_service"
    assert (await bob.post("/api/connectors/custom", BODY, expect=409))["code"] == "key_taken"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": "github"}, "key"),
        ({"key": "git"}, "key"),
        ({"key": "Mine"}, "key"),
        ({"name": ""}, "name"),
        ({"url": "ftp://tools.example.com"}, "url"),
        ({"url": "https://10.0.0.1/mcp"}, "url"),
        ({"auth": {"type": "bearer"}}, "auth.type"),
        ({"auth": {"type": "header"}}, "auth.value"),
        ({"auth": {**HEADER, "header": "Host"}}, "auth.header"),
        ({"auth": {**HEADER, "perMember": True}, "perMember": False}, "perMember"),
        ({"tierFromAnnotations": "yes"}, "tierFromAnnotations"),
        ({"secret": "x"}, "secret"),
    ],
)
async def test_a_bad_connector_is_refused_before_its_server_is_asked(
    wicket: Instance, change: dict[str, object], field: str
) -> None:
    ada = await wicket.person("ada")
    problem = await ada.post("/api/connectors/custom", {**BODY, **change}, expect=400)
    assert problem["field"] == field
    assert wicket.servers.asked == []
