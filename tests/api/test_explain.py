"""Why entries were decided as they were, for who may know."""

import pytest

from tests.api.calls import recording
from tests.api.logged import Scene, scene
from tests.api.people import NOW, Instance
from tests.databases import Location

__all__ = ["scene"]


async def test_a_denial_by_a_forbid_names_it(scene: Scene) -> None:
    found = await scene.owner.get(f"/api/audit/{scene.entries['delete']}/explain")
    assert (found["decision"], found["reasonCode"], found["isExact"]) == ("DENY", "forbidden_by_policy", True)
    assert [(one["key"], one["matched"]) for one in found["explanation"]["policies"]] == [
        ("no-deletions", True)
    ]
    assert found["explanation"]["nearest"] == []


async def test_policies_are_those_that_bound_the_call_then(
    scene: Scene, wicket: Instance, location: Location
) -> None:
    path = f"/api/agents/{scene.agent_id}/policies/{scene.permit['id']}"
    hours = {"hoursFrom": 13, "hoursTo": 14}
    fields = {name: value for name, value in scene.permit.items() if name not in {"id", "key", "version"}}
    await scene.owner.put(path, {**fields, "name": "Afternoons", "time": hours})
    async with recording(wicket.database, location) as calls:
        entry_id = await calls.make(scene.agent_id, scene.owners_id, "github__get_me", session="three")
    await scene.owner.delete(path)
    after = (await scene.owner.get(f"/api/audit/{entry_id}/explain"))["explanation"]
    assert after["text"] == "nearest: `Afternoons`: hour was 12, allowed 13-14 UTC"
    assert [(one["version"], one["matched"], one["conditions"]) for one in after["policies"]] == [
        (
            2,
            False,
            [
                {
                    "field": "time.hours",
                    "holds": False,
                    "seen": 12,
                    "required": "13-14 UTC",
                    "text": "hour was 12, allowed 13-14 UTC",
                }
            ],
        )
    ]
    before = (await scene.owner.get(f"/api/audit/{scene.entries['read']}/explain"))["explanation"]
    assert [(one["version"], one["matched"]) for one in before["policies"]] == [(1, True)]


@pytest.mark.parametrize("name", ["members", "members delete"])
async def test_a_member_of_a_trusted_agent_learns_of_no_policy(scene: Scene, name: str) -> None:
    found = await scene.member.get(f"/api/audit/{scene.entries[name]}/explain")
    assert found["explanation"] is None
    for policy in (scene.permit, scene.forbid):
        assert policy["name"] not in found["reason"]
    await scene.member.get(f"/api/audit/{scene.entries['read']}/explain", expect=404)


async def test_a_call_that_the_policies_were_not_asked_about_has_nothing_to_explain(scene: Scene) -> None:
    found = await scene.owner.get(f"/api/audit/{scene.entries['slack']}/explain")
    assert found["reasonCode"] == "service_not_enabled"
    assert found["explanation"] == {"policies": [], "nearest": [], "text": ""}


async def test_policies_are_listed_as_they_once_were(scene: Scene) -> None:
    path = f"/api/agents/{scene.agent_id}/policies"
    now = await scene.owner.get(path)
    assert await scene.owner.query(path, {"at": NOW.isoformat()}) == now
    one = await scene.owner.query(path, {"at": NOW.isoformat(), "limit": 1})
    assert (len(one["items"]), one["total"]) == (1, 2)
    assert await scene.owner.query(path, {"at": "2026-11-23T11:59:59Z"}) == {
        "items": [],
        "nextCursor": None,
        "total": 0,
    }
    assert (await scene.owner.get(path, expect=400, at="yesterday"))["field"] == "at"
