"""The catalog, pinned tools, reviews and refreshes."""

import pytest

from tests.api.people import Instance, Person, tool

URL = "https://tools.example.com/mcp"


async def make_service(wicket: Instance, ada: Person, **given: object) -> str:
    """An agent of Ada's with a custom service; answers the path of the service's tools."""
    wicket.servers.tools[URL] = [tool("look", readOnlyHint=True)]
    body = {"key": "mine", "name": "Mine", "url": URL, "auth": {"type": "none"}, **given}
    await ada.post("/api/connectors/custom", body, expect=201)
    agent_id = await ada.make_agent()
    await ada.put(f"/api/agents/{agent_id}/services", {"services": ["mine", "github"]})
    return f"/api/agents/{agent_id}/services/mine/tools"


async def test_the_catalog_knows_tools_by_name_and_tier(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    github = await ada.get("/api/tools/catalog", service="github")
    by_name = {one["name"]: one for one in github["items"]}
    assert by_name["delete_file"] == {
        "service": "github",
        "name": "delete_file",
        "tier": "destructive",
        "selector": None,
        "selectorTiers": {},
        "resourceArgs": by_name["delete_file"]["resourceArgs"],
        "offered": True,
        "target": "resource",
        "resourceType": "Branch",
    }
    assert (by_name["search_code"]["target"], by_name["search_code"]["resourceType"]) == ("search", None)
    assert (by_name["get_me"]["target"], by_name["get_me"]["resourceType"]) == ("none", None)
    assert by_name["label_write"]["selectorTiers"]["delete"] == "destructive"
    assert {one["service"] for one in (await ada.get("/api/tools/catalog"))["items"]} > {"github", "slack"}


async def test_the_catalog_holds_own_connectors_and_nobody_elses(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    await make_service(wicket, ada)
    (look,) = (await ada.get("/api/tools/catalog", service="mine"))["items"]
    assert (look["name"], look["tier"]) == ("look", None)
    problem = await bob.get("/api/tools/catalog", service="mine", expect=400)
    assert (problem["field"], problem["code"]) == ("service", "unknown_service")


async def test_pinned_tools_show_what_is_accepted(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    page = await ada.get(await make_service(wicket, ada, tierFromAnnotations=True))
    (look,) = page["items"]
    assert look == {
        "name": "look",
        "tier": "read",
        "proposedTier": "read",
        "held": False,
        "accepted": look["accepted"],
        "definition": tool("look", readOnlyHint=True),
        "firstSeenAt": "2026-11-23T12:00:00Z",
        "reviewedAt": None,
        "changes": [],
    }
    assert len(look["accepted"]) == 1


async def test_a_changed_tool_waits_for_its_review(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = await make_service(wicket, ada)
    wicket.servers.tools[URL] = [{**tool("look"), "description": "now says something else"}, tool("leap")]
    refreshed = await ada.post(f"{path}/refresh")
    by_name = {one["name"]: one for one in refreshed["items"]}
    (change,) = by_name["look"]["changes"]
    assert set(change) == {"memberId", "hash", "definition", "seenAt"}
    assert change["definition"]["description"] == "now says something else"
    assert (refreshed["fetched"], by_name["leap"]["tier"]) == (True, None)
    reviewed = await ada.post(f"{path}/look/review", {"tier": "write"})
    assert (reviewed["tier"], reviewed["changes"]) == ("write", [])
    assert change["hash"] in reviewed["accepted"]
    assert wicket.servers.forgotten == [(path.split("/")[3], "mine")]


async def test_a_tool_is_held_and_let_go(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = await make_service(wicket, ada)
    assert (await ada.post(f"{path}/look/review", {"hold": True}))["held"] is True
    assert (await ada.post(f"{path}/look/review", {"tier": "read"}))["held"] is False


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "tier"),
        ({"tier": "read", "hold": True}, "tier"),
        ({"tier": "harmless"}, "tier"),
        ({"hold": "true"}, "hold"),
    ],
)
async def test_a_review_says_one_thing(wicket: Instance, body: dict[str, object], field: str) -> None:
    ada = await wicket.person("ada")
    path = await make_service(wicket, ada)
    assert (await ada.post(f"{path}/look/review", body, expect=400))["field"] == field


async def test_a_tool_that_nobody_has_seen_is_not_reviewed(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = await make_service(wicket, ada)
    problem = await ada.post(f"{path}/leap/review", {"tier": "read"}, expect=404)
    assert problem["code"] == "not_found"


async def test_a_catalog_tool_is_reviewed_before_it_is_seen(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = (await make_service(wicket, ada)).replace("/mine/", "/github/")
    assert (await ada.post(f"{path}/get_me/review", {"tier": "destructive"}))["tier"] == "destructive"


async def test_a_refresh_says_when_a_members_key_is_needed(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = (await make_service(wicket, ada)).replace("/mine/", "/github/")
    asked = len(wicket.servers.asked)
    assert (await ada.post(f"{path}/refresh"))["fetched"] is False
    assert len(wicket.servers.asked) == asked
    assert wicket.servers.forgotten != []


async def test_a_refresh_uses_a_connection_that_no_member_key_seals(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = (await make_service(wicket, ada)).replace("/mine/", "/github/")
    agent_id = path.split("/")[3]
    members = f"/api/agents/{agent_id}/members/{await ada.membership(agent_id)}"
    await ada.put(f"{members}/connections/github", {"token": "ghp_mine"})
    wicket.servers.tools["https://api.githubcopilot.com/mcp/"] = [tool("get_me", readOnlyHint=True)]
    assert (await ada.post(f"{path}/refresh"))["fetched"] is True
    assert wicket.servers.asked[-1][1] == "Authorization: Bearer ghp_mine"


async def test_only_an_enabled_service_is_refreshed(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = (await make_service(wicket, ada)).replace("/mine/", "/slack/")
    assert (await ada.post(f"{path}/refresh", expect=409))["code"] == "service_not_enabled"


async def test_a_dead_server_shows_when_its_tools_are_refreshed(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = await make_service(wicket, ada)
    wicket.servers.tools.clear()
    assert (await ada.post(f"{path}/refresh", expect=502))["code"] == "upstream_unreachable"
