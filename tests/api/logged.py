"""Two agents of one owner, a member of the first, and what they have called: for tests that read the log."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.api.calls import Calls, recording
from tests.api.people import PERMIT, Instance, Person
from tests.databases import Location

FORBID = {
    "name": "No deletions",
    "service": "github",
    "effect": "forbid",
    "tools": ["delete_file"],
    "denyMessage": "Deleting is for people.",
}


@dataclass
class Scene:
    """Two agents of one owner, a member of the first, and what they have called."""

    owner: Person
    member: Person
    agent_id: str
    owners_id: str
    members_id: str
    permit: dict[str, Any]
    forbid: dict[str, Any]
    entries: dict[str, str]

    async def find(self, **params: str | int) -> list[str]:
        """The names of the scene's entries that the owner finds, newest first."""
        return self.named(await self.owner.query("/api/audit", params))

    def named(self, page: dict[str, Any]) -> list[str]:
        names = {entry_id: name for name, entry_id in self.entries.items()}
        return [names[item["id"]] for item in page["items"]]


async def make_calls(
    calls: Calls, agent_id: str, other_id: str, owner: str, others: str, member: str
) -> dict[str, str]:
    return {
        "read": await calls.make(agent_id, owner, "github__get_me"),
        "delete": await calls.make(agent_id, owner, "github__delete_file", {"owner": "a", "repo": "b"}),
        "members": await calls.make(agent_id, member, "github__get_me", ip="198.51.100.9", session="two"),
        "members delete": await calls.make(agent_id, member, "github__delete_file"),
        "slack": await calls.make(agent_id, owner, "slack__nothing"),
        "other": await calls.make(other_id, others, "github__get_me"),
    }


@pytest.fixture
async def scene(wicket: Instance, location: Location) -> Scene:
    owner, member = await wicket.person("owner"), await wicket.person("member")
    agent_id, other_id = await owner.make_agent("helper"), await owner.make_agent("Deployer")
    for one in (agent_id, other_id):
        await owner.put(f"/api/agents/{one}/services", {"services": ["github"]})
    path = f"/api/agents/{agent_id}/policies"
    for seeded in (await owner.get(path))["items"]:
        await owner.delete(f"{path}/{seeded['id']}")
    permit = await owner.post(path, {**PERMIT}, expect=201)
    forbid = await owner.post(path, FORBID, expect=201)
    ids = [await owner.membership(agent_id), await owner.membership(other_id)]
    ids.append(await wicket.admit(member, agent_id))
    async with recording(wicket.database, location) as calls:
        entries = await make_calls(calls, agent_id, other_id, *ids)
    return Scene(owner, member, agent_id, ids[0], ids[2], permit, forbid, entries)
