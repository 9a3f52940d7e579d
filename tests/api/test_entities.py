"""Entities over the API: told by the owner, in force for the next decision."""

from typing import Any

import pytest

from tests.api.logged import Scene, scene

__all__ = ["scene"]

SITE = {"type": "Repository", "id": "my-org/site", "name": "Site", "attributes": {"visibility": "public"}}


def path_of(scene: Scene) -> str:
    return f"/api/agents/{scene.agent_id}/entities"


async def tell(scene: Scene, *entities: dict[str, Any], expect: int = 200, **more: Any) -> Any:
    body = {"service": "github", "entities": [*entities], **more}
    return await scene.owner.put(path_of(scene), body, expect=expect)


async def test_what_the_owner_tells_is_listed(scene: Scene) -> None:
    branch = {"type": "Branch", "id": "my-org/site@main", "attributes": {"isProtected": True}}
    assert await tell(scene, SITE, branch) == {"service": "github", "imported": 2, "total": 2}
    page = await scene.owner.get(path_of(scene), service="github", search="SITE", type="Repository")
    (item,) = page["items"]
    assert {name: item[name] for name in SITE} == SITE
    assert (item["parents"], page["total"]) == ([], 1)
    assert (await tell(scene, branch, replace=True))["total"] == 1
    newest = (await scene.owner.get("/api/audit/changes"))["items"][0]
    assert (newest["kind"], newest["details"]["count"]) == ("entities_imported", 1)


async def test_only_the_owner_tells_and_sees(scene: Scene) -> None:
    body = {"service": "github", "entities": []}
    assert (await scene.member.put(path_of(scene), body, expect=403))["code"] == "owner_only"
    assert (await scene.member.get(path_of(scene), expect=403))["code"] == "owner_only"


@pytest.mark.parametrize(
    ("entity", "field"),
    [
        (SITE | {"id": "My-Org/Site"}, "entities[0].id"),
        (SITE | {"attributes": {"visibility": 1}}, "entities[0].attributes.visibility"),
        (SITE | {"parents": [{"type": "Team", "id": "x"}]}, "entities[0].parents[0].type"),
    ],
)
async def test_what_no_decision_would_find_is_refused(scene: Scene, entity: Any, field: str) -> None:
    refused = await tell(scene, entity, expect=400)
    assert (refused["code"], refused["field"]) == ("invalid", field)


async def test_a_decision_is_taken_by_what_was_told_last(scene: Scene) -> None:
    path = f"/api/agents/{scene.agent_id}/policies"
    public = {
        "name": "Not what is private",
        "service": "github",
        "effect": "forbid",
        "tools": ["get_file_contents"],
        "conditions": {"items": [{"type": "visibility", "value": "private"}]},
    }
    await scene.owner.post(path, public, expect=201)
    arguments = {"owner": "My-Org", "repo": "site", "path": "a"}
    call = {
        "memberId": scene.owners_id,
        "service": "github",
        "tool": "get_file_contents",
        "arguments": arguments,
    }

    async def decision() -> str:
        return str((await scene.owner.post(f"{path}/simulate", {"call": call}))["decision"])

    decisions = [await decision()]
    for visibility in ("public", "private"):
        await tell(scene, SITE | {"attributes": {"visibility": visibility}})
        decisions.append(await decision())
    assert decisions == ["DENY", "ALLOW", "DENY"]
