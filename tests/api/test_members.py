"""Members, their keys and their connections."""

import re

import pytest

from tests.api.people import Instance, Person

TOKEN = "ghp_a-token-that-nobody-may-see"


async def enabled_agent(ada: Person) -> str:
    agent_id = await ada.make_agent()
    await ada.put(f"/api/agents/{agent_id}/services", {"services": ["github"]})
    return agent_id


async def test_the_creator_is_a_member_at_once(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    path = f"/api/agents/{await ada.make_agent()}/members"
    page = await ada.get(path)
    assert page == {
        "items": [
            {
                "id": page["items"][0]["id"],
                "userId": ada.account_id,
                "email": "ada@example.com",
                "role": "owner",
                "status": "approved",
                "key": None,
            }
        ],
        "nextCursor": None,
        "total": 1,
    }


@pytest.mark.parametrize("status", ["approved", "rejected", "removed"])
async def test_the_owner_decides_on_who_waits(wicket: Instance, status: str) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    agent_id = await ada.make_agent()
    member_id = await wicket.join(bob, agent_id)
    path = f"/api/agents/{agent_id}/members"
    member = await ada.put(f"{path}/{member_id}/status", {"status": status})
    assert (member["id"], member["status"]) == (member_id, status)
    assert (await ada.get(path, status=status))["items"].count(member) == 1


async def test_rejecting_and_removing_have_their_own_paths(wicket: Instance) -> None:
    ada, bob, eve = await wicket.person("ada"), await wicket.person("bob"), await wicket.person("eve")
    agent_id = await ada.make_agent()
    path = f"/api/agents/{agent_id}/members"
    assert (await ada.post(f"{path}/{await wicket.join(bob, agent_id)}/reject"))["status"] == "rejected"
    await ada.delete(f"{path}/{await wicket.admit(eve, agent_id)}")
    await eve.get(f"/api/agents/{agent_id}", expect=404)
    await bob.get(f"/api/agents/{agent_id}", expect=404)


async def test_the_owners_membership_does_not_end(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    agent_id = await ada.make_agent()
    path = f"/api/agents/{agent_id}/members/{await ada.membership(agent_id)}"
    assert (await ada.delete(path, expect=409))["code"] == "owner_membership"


async def test_nobody_is_made_pending(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    agent_id = await ada.make_agent()
    path = f"/api/agents/{agent_id}/members/{await wicket.admit(bob, agent_id)}/status"
    assert (await ada.put(path, {"status": "pending"}, expect=409))["code"] == "member_status"


async def test_a_key_is_shown_once(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    agent_id = await ada.make_agent()
    path = f"/api/agents/{agent_id}/members/{await ada.membership(agent_id)}/key"
    made = await ada.put(path)
    assert set(made) == {"key", "keyId"}
    assert re.fullmatch("[A-Za-z0-9+/]{32}", made["key"])
    (member,) = (await ada.get(f"/api/agents/{agent_id}/members"))["items"]
    assert member["key"] == {
        "id": made["keyId"],
        "suffix": made["key"][-4:],
        "createdAt": "2026-11-23T12:00:00Z",
        "lastUsedAt": None,
    }
    assert (await ada.put(path, {}))["keyId"] != made["keyId"]
    await ada.delete(path)
    (member,) = (await ada.get(f"/api/agents/{agent_id}/members"))["items"]
    assert member["key"] is None


async def test_rotation_asks_for_the_current_key_while_connections_are_sealed(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    agent_id = await enabled_agent(ada)
    path = f"/api/agents/{agent_id}/members/{await ada.membership(agent_id)}"
    first = (await ada.put(f"{path}/key"))["key"]
    await ada.put(f"{path}/connections/github", {"token": TOKEN})
    for body in (None, {}, {"currentKey": None}, {"currentKey": "A" * 32}):
        assert (await ada.put(f"{path}/key", body, expect=409))["code"] == "current_key_required"
    second = (await ada.put(f"{path}/key", {"currentKey": first}))["key"]
    assert second != first
    assert await ada.post(f"{path}/key/reset-lost") == {"disconnected": ["github"]}
    assert (await ada.get(f"{path}/connections"))["items"] == []
    await ada.put(f"{path}/key")


async def test_a_pending_member_makes_no_key_but_may_connect(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    agent_id = await enabled_agent(ada)
    path = f"/api/agents/{agent_id}/members/{await wicket.join(bob, agent_id)}"
    assert (await bob.put(f"{path}/key", expect=403))["code"] == "member_not_approved"
    await bob.put(f"{path}/connections/github", {"token": TOKEN})


async def test_a_connection_shows_metadata_only(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    agent_id = await enabled_agent(ada)
    path = f"/api/agents/{agent_id}/members/{await ada.membership(agent_id)}/connections"
    connection = await ada.put(f"{path}/github", {"token": TOKEN})
    assert connection == {
        "id": connection["id"],
        "service": "github",
        "sealedByMember": False,
        "createdAt": "2026-11-23T12:00:00Z",
        "updatedAt": "2026-11-23T12:00:00Z",
    }
    assert await ada.get(path) == {"items": [connection], "nextCursor": None, "total": 1}
    await ada.delete(f"{path}/github")
    await ada.delete(f"{path}/github", expect=404)


@pytest.mark.parametrize(
    ("service", "token", "status", "code"),
    [
        ("github", "", 400, "invalid"),
        ("github", "two\nlines", 400, "invalid"),
        ("github", 7, 400, "invalid"),
        ("slack", TOKEN, 409, "service_not_enabled"),
        ("git", TOKEN, 409, "service_not_enabled"),
    ],
)
async def test_a_credential_that_cannot_be_used_is_not_stored(
    wicket: Instance, service: str, token: object, status: int, code: str
) -> None:
    ada = await wicket.person("ada")
    agent_id = await enabled_agent(ada)
    path = f"/api/agents/{agent_id}/members/{await ada.membership(agent_id)}/connections"
    problem = await ada.put(f"{path}/{service}", {"token": token}, expect=status)
    assert problem["code"] == code
    assert TOKEN not in str(problem)
    assert (await ada.get(path))["items"] == []
