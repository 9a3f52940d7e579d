"""What the API of one server has answered binds the next call on every other server of the same database."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.databases import Location
from tests.journeys.crowd import CallStory, Crowd
from tests.journeys.servers import SLOW_ON_POSTGRES, Server, outside, several, through
from tests.reachable import AgentUnderTest, Reachable, now
from tests.upstreams.recording import RecordingUpstream
from wicket.core.model import Json, JsonObject
from wicket.store import accounts

ROUNDS = int(os.environ.get("WICKET_TEST_TOGGLES", "6"))
ALLOWED = (200, None, True)
NOT_PERMITTED = (200, "no_permit_matched", False)
DISABLED = (403, "agent_disabled", False)
UNKNOWN_KEY = (401, None, False)


@dataclass
class Owner:
    """Changes an agent over HTTP, on one server after the other, and calls on all of them at once."""

    wicket: Reachable
    servers: Sequence[Server]
    crowd: Crowd
    agent: AgentUnderTest
    token: str
    policy_id: str
    changes: int = 0

    async def ask(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        server = self.servers[self.changes % len(self.servers)]
        self.changes += 1
        headers = {"authorization": f"Bearer {self.token}"}
        url = f"{server.url}/api/{path}"
        async with self.wicket.http.request(method, url, json=body, headers=headers) as response:
            assert response.status in {200, 204}, await response.text()
            answer: JsonObject = await response.json() if response.status == 200 else {}
            return answer

    async def toggle(self, *, enabled: bool) -> None:
        await self.ask("POST", f"policies/{self.policy_id}/toggle", {"enabled": enabled})

    async def status(self, status: str) -> None:
        await self.ask("PUT", f"agents/{self.agent.id}/status", {"status": status})

    async def new_key(self) -> str:
        return str((await self.ask("PUT", f"{self._membership}/key"))["key"])

    async def revoke(self) -> None:
        await self.ask("DELETE", f"{self._membership}/key")

    @property
    def _membership(self) -> str:
        return f"agents/{self.agent.id}/members/{self.agent.owner_member}"

    async def calls(self, key: str) -> set[tuple[int, Json, bool]]:
        """HTTP status, reason and whether it arrived, of a call on each server."""
        doors = [through(self.wicket, server) for server in self.servers]
        stories = await asyncio.gather(*(self.call(door, key) for door in doors))
        return {
            (story.answer.status, story.reason, story.arrived is not None)
            for story in stories
            if story.answer is not None
        }

    async def call(self, door: Reachable, key: str) -> CallStory:
        """Again, when the machine was too busy to record it in time."""
        async with asyncio.timeout(20):
            while (story := await self.crowd.call(door, key)).failed:
                pass
        return story


async def an_owner(wicket: Reachable, servers: Sequence[Server], upstream: RecordingUpstream) -> Owner:
    agent = await wicket.agent(services={"fake": upstream.url})
    policy = await agent.policy(service="fake", tools=["echo"])
    made = await wicket.change(
        accounts.create_token,
        account_id=agent.owner_account,
        name="tests",
        scopes=frozenset(accounts.Scope),
        expires_at=None,
        now=now(),
        agents=[],
    )
    return Owner(wicket, servers, Crowd(upstream), agent, made.token, policy.id)


@pytest.mark.promise("P6")
@pytest.mark.slow
@SLOW_ON_POSTGRES
async def test_what_one_server_has_answered_every_server_obeys(location: Location) -> None:
    async with (
        RecordingUpstream() as upstream,
        several(location, 3) as servers,
        outside(location, "") as wicket,
    ):
        owner = await an_owner(wicket, servers, upstream)
        key = await owner.new_key()
        for _ in range(ROUNDS):
            assert await owner.calls(key) == {ALLOWED}
            await owner.toggle(enabled=False)
            assert await owner.calls(key) == {NOT_PERMITTED}
            await owner.toggle(enabled=True)
            assert await owner.calls(key) == {ALLOWED}
            await owner.status("disabled")
            assert await owner.calls(key) == {DISABLED}
            await owner.status("active")
            old, key = key, await owner.new_key()
            assert await owner.calls(key) == {ALLOWED}
            assert await owner.calls(old) == {UNKNOWN_KEY}
        await owner.revoke()
        assert await owner.calls(key) == {UNKNOWN_KEY}
