"""What a member is told to do, from the invitation to the first call."""

from typing import Any

import sqlalchemy as sa

from tests.api.people import Instance, Person
from wicket.store import tables

TOKEN = "ghp_a-token-that-nobody-may-see"
HEADER = {"type": "header", "header": "X-Key", "perMember": True}


async def look(person: Person, agent_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await person.get(f"/api/agents/{agent_id}/onboarding")
    assert TOKEN not in str(found)
    return found


async def step(person: Person, agent_id: str) -> tuple[str, str, str]:
    found = await look(person, agent_id)
    return found["status"], found["keyState"], found["nextStep"]


async def test_a_member_is_led_from_joining_to_the_first_call(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    agent_id = await ada.make_agent()
    await ada.put(f"/api/agents/{agent_id}/services", {"services": ["github"]})
    await bob.get(f"/api/agents/{agent_id}/onboarding", expect=404)
    member_id = await wicket.join(bob, agent_id)
    own = f"/api/agents/{agent_id}/members/{member_id}"
    assert await look(bob, agent_id) == {
        "agentId": agent_id,
        "agentName": "helper",
        "agentStatus": "active",
        "memberId": member_id,
        "role": "member",
        "status": "pending",
        "key": None,
        "keyState": "none",
        "services": [
            {
                "service": "github",
                "name": "GitHub",
                "authKinds": ["oauth_registered", "token"],
                "canPasteToken": True,
                "connected": False,
                "needsReconnect": False,
            }
        ],
        "nextStep": "connect_services",
        "url": "https://wicket.test/mcp",
    }
    await bob.put(f"{own}/connections/github", {"token": TOKEN})
    assert await step(bob, agent_id) == ("pending", "none", "wait_for_approval")
    await ada.put(f"{own}/status", {"status": "approved"})
    assert await step(bob, agent_id) == ("approved", "none", "make_key")
    made = await bob.put(f"{own}/key")
    found = await look(bob, agent_id)
    assert (found["key"]["id"], found["keyState"], found["nextStep"]) == (made["keyId"], "live", "ready")
    assert made["key"] not in str(found)


async def test_a_revoked_key_has_to_be_replaced_while_it_seals_something(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    agent_id = await ada.make_agent()
    await ada.put(f"/api/agents/{agent_id}/services", {"services": ["github"]})
    own = f"/api/agents/{agent_id}/members/{await ada.membership(agent_id)}"
    first = (await ada.put(f"{own}/key"))["key"]
    await ada.put(f"{own}/connections/github", {"token": TOKEN})
    await ada.delete(f"{own}/key")
    found = await look(ada, agent_id)
    assert (found["keyState"], found["nextStep"]) == ("revoked", "replace_key")
    assert [(s["connected"], s["needsReconnect"]) for s in found["services"]] == [(True, True)]
    await ada.put(f"{own}/key", {"currentKey": first})
    assert await step(ada, agent_id) == ("approved", "live", "ready")
    await ada.post(f"{own}/key/reset-lost")
    assert await step(ada, agent_id) == ("approved", "none", "connect_services")


async def test_what_no_member_connects_is_connected(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    wicket.servers.tools |= {"stdio:git": [], "https://open.example/mcp": [], "https://shut.example/mcp": []}
    for key, auth in (("open", {"type": "none"}), ("shut", HEADER)):
        body = {"key": key, "name": key, "url": f"https://{key}.example/mcp", "auth": auth}
        await ada.post("/api/connectors/custom", body, expect=201)
    agent_id = await ada.make_agent()
    await ada.put(f"/api/agents/{agent_id}/services", {"services": ["open", "shut", "git", "notion"]})
    services = {s["service"]: s for s in (await look(ada, agent_id))["services"]}
    assert list(services) == ["open", "shut", "git", "notion"]
    assert {key: (s["connected"], s["canPasteToken"]) for key, s in services.items()} == {
        "open": (True, False), "shut": (False, True), "git": (True, False), "notion": (False, False),
    }  # fmt: skip
    assert services["notion"]["authKinds"] == ["oauth_dynamic"]


async def test_what_does_not_open_any_more_is_to_be_reconnected(wicket: Instance) -> None:
    def damage(tx: sa.Connection) -> None:
        tx.execute(sa.update(tables.connections).values(sealed=b"\x01sealed by a secret that is gone"))

    ada = await wicket.person("ada")
    agent_id = await ada.make_agent()
    await ada.put(f"/api/agents/{agent_id}/services", {"services": ["github"]})
    own = f"/api/agents/{agent_id}/members/{await ada.membership(agent_id)}"
    await ada.put(f"{own}/connections/github", {"token": TOKEN})
    await wicket.database.change(damage, agents=[agent_id])
    found = await look(ada, agent_id)
    assert [(s["connected"], s["needsReconnect"]) for s in found["services"]] == [(True, True)]
    assert found["nextStep"] == "connect_services"
    await ada.put(f"{own}/connections/github", {"token": TOKEN})
    assert await step(ada, agent_id) == ("approved", "none", "make_key")
