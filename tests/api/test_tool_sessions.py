"""Tool sessions over the API: who sees which, what they show, and how one is ended."""

from tests.api.logged import Scene, scene
from tests.api.people import Instance

__all__ = ["scene"]


async def test_the_owner_sees_every_session_with_its_facts(scene: Scene) -> None:
    page = await scene.owner.get(f"/api/agents/{scene.agent_id}/sessions")
    by_client = {(item["memberId"], item["externalSessionId"]): item for item in page["items"]}
    assert page["total"] == len(by_client) == 3
    own = by_client[scene.owners_id, "one"]
    assert {
        name: value for name, value in own.items() if name not in {"id", "createdAt", "lastActivityAt"}
    } == {
        "memberId": scene.owners_id,
        "agentType": "tests",
        "clientVersion": "1",
        "externalSessionId": "one",
        "isActive": True,
        "callCount": 3,
        "denyCount": 2,
        "toolsUsed": {"github:get_me": 1, "github:delete_file": 1},
        "policiesAllowCounts": {scene.permit["key"]: 1},
        "policiesDenyCounts": {scene.forbid["key"]: 1},
        "labels": [],
        "terminatedAt": None,
        "terminatedReason": None,
    }
    assert own["id"] == (await scene.owner.get(f"/api/audit/{scene.entries['read']}"))["sessionId"]


async def test_a_member_sees_own_sessions_without_policies(scene: Scene) -> None:
    path = f"/api/agents/{scene.agent_id}/sessions"
    page = await scene.member.get(path)
    assert {item["memberId"] for item in page["items"]} == {scene.members_id}
    assert all(item["policiesAllowCounts"] is item["policiesDenyCounts"] is None for item in page["items"])
    assert (await scene.member.get(path, member=scene.owners_id))["items"] == []
    owners = (await scene.owner.get(path, member=scene.owners_id))["items"][0]["id"]
    assert (await scene.member.get(f"{path}/{owners}", expect=404))["code"] == "not_found"
    shown = await scene.member.get(f"{path}/{page['items'][0]['id']}")
    assert [entry["matchedPolicies"] for entry in shown["activity"]] == [[]] * len(shown["activity"])


async def test_a_session_shows_its_newest_calls(scene: Scene) -> None:
    page = await scene.owner.get(f"/api/agents/{scene.agent_id}/sessions", member=scene.owners_id)
    shown = await scene.owner.get(f"/api/agents/{scene.agent_id}/sessions/{page['items'][0]['id']}")
    entries = {entry_id: name for name, entry_id in scene.entries.items()}
    assert [entries[entry["id"]] for entry in shown["activity"]] == ["slack", "delete", "read"]


async def test_a_reset_session_has_ended_and_stays_so(wicket: Instance, scene: Scene) -> None:
    path = f"/api/agents/{scene.agent_id}/sessions"
    session_id = (await scene.owner.get(path, member=scene.owners_id))["items"][0]["id"]
    refused = await scene.member.post(f"{path}/{session_id}/reset", expect=403)
    assert refused["code"] == "owner_only"
    ended = await scene.owner.post(f"{path}/{session_id}/reset")
    assert (ended["isActive"], ended["terminatedReason"]) == (False, "manual_reset")
    assert await scene.owner.post(f"{path}/{session_id}/reset") == ended
    active = await scene.owner.get(path, active=True)
    assert session_id not in {item["id"] for item in active["items"]}
    assert active["total"] == 2
    newest = (await scene.owner.get("/api/audit/changes"))["items"][0]
    assert (newest["kind"], newest["details"]["sessionId"]) == ("session_reset", session_id)
