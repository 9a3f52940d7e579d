"""One Wicket in front of all the real servers, set up over its REST API as the README tells it.

async with scene(folder) as s:
    key = await s.key()
    ...
    assert (await s.entry("echo", {"message": "hello"}))["decision"] == "ALLOW"
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.conformance.run import fixture
from tests.databases import Location
from tests.interop.servers import START_S, everything_over_http, local_servers, write_configuration
from tests.journeys.servers import Server, outside
from tests.reachable import Reachable, now
from wicket.cli.demo.control import Control, text
from wicket.core.errors import UpstreamFailed
from wicket.core.model import Json, JsonObject
from wicket.store import accounts, members
from wicket.store.accounts import Scope

AGENT: Final = "assistant"
HIDING: Final = "assistant-of-a-client-that-hides-errors"
OWNER: Final = "ada@example.com"
HTTP_SERVICE: Final = "everything"
MODERN_SERVICE: Final = "modern"
SERVICES: Final = (HTTP_SERVICE, MODERN_SERVICE, "local", "files", "memory", "git", "time")
PERMITTED: Final[Mapping[str, tuple[str, ...]]] = {
    HTTP_SERVICE: ("echo", "get-sum"),
    MODERN_SERVICE: ("test_simple_text",),
    "local": ("echo", "get-sum"),
    "files": ("read_text_file",),
    "memory": ("create_entities", "read_graph"),
    "git": ("git_log",),
    "time": ("get_current_time",),
}
FORBIDDEN: Final = "get-sum"
"""Listed, as it may be called from elsewhere, and denied to whoever calls it from this machine."""
DENY_MESSAGE: Final = "Sums are not made here: ask Ada."
HERE: Final[JsonObject] = {"in": ["127.0.0.0/8", "::1/128"]}
WAIT_S: Final = 60


@dataclass(frozen=True)
class Scene:
    """The address, the owner's way to the API, and one agent of each shape of denial."""

    url: str
    wicket: Reachable
    control: Control
    agents: Mapping[str, str]
    folder: Path
    upstreams: Mapping[str, str]
    """Service -> address, of those that are reached over HTTP."""
    commands: Mapping[str, Sequence[str]]
    """Service -> command line, of those that Wicket starts."""

    async def key(self, email: str | None = None, *, agent: str = AGENT) -> str:
        """A new member key: of the owner, or of a member who is approved on the way."""
        root = f"/api/agents/{self.agents[agent]}"
        if email is None:
            member = (await self.control.items(f"{root}/members"))[0]
            return text((await self.control.put(f"{root}/members/{member['id']}/key", {}))["key"])
        async with Control(self.url, await _token(self.wicket, email)) as control:
            member_id = await self._admitted(email, self.agents[agent])
            return text((await control.put(f"{root}/members/{member_id}/key", {}))["key"])

    async def _admitted(self, email: str, agent_id: str) -> str:
        """As the host admits somebody: there are no invitations yet."""
        return await self.wicket.change(_admit, email=email, agent_id=agent_id, agents=[agent_id])

    async def remove(self, email: str) -> None:
        """Take a member out of the agent."""
        agent_id = self.agents[AGENT]
        people = await self.control.items(f"/api/agents/{agent_id}/members")
        (member_id,) = [text(person["id"]) for person in people if person["email"] == email]
        await self.wicket.change(
            members.remove,
            agent_id=agent_id,
            member_id=member_id,
            actor_id=None,
            now=now(),
            agents=[agent_id],
        )

    async def entries(self, tool: str | None = None, service: str = HTTP_SERVICE) -> list[JsonObject]:
        """Audit entries, newest first, as the owner reads them."""
        query = {} if tool is None else {"tool": tool, "service": service}
        return await self.control.items("/api/audit", **query)

    async def entry(self, tool: str, arguments: JsonObject, *, service: str = HTTP_SERVICE) -> JsonObject:
        """The newest entry of a call with these arguments, once its outcome is known."""
        async with asyncio.timeout(WAIT_S):
            while True:
                entries = await self.entries(tool, service)
                found = [entry for entry in entries if entry["toolArgs"] == arguments]
                if found and found[0]["outcome"] != "pending":
                    return found[0]


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Everything running, and everybody there."""
    location = Location(folder / "wicket.db")
    commands = local_servers(folder)
    write_configuration(folder, commands)
    async with AsyncExitStack() as stack:
        upstreams = {
            HTTP_SERVICE: await stack.enter_async_context(everything_over_http()),
            MODERN_SERVICE: await stack.enter_async_context(fixture()),
        }
        server = await stack.enter_async_context(Server(location, factory="tests.interop.patient:create"))
        await server.start()
        wicket = await stack.enter_async_context(outside(location, server.url))
        control = await stack.enter_async_context(Control(server.url, await _token(wicket, OWNER)))
        for service, upstream in upstreams.items():
            await _connect(control, service, upstream)
        agents = {
            AGENT: await _make_agent(control, AGENT, "error", SERVICES),
            HIDING: await _make_agent(control, HIDING, "toolResult", [HTTP_SERVICE]),
        }
        yield Scene(server.url, wicket, control, agents, folder, upstreams, commands)
        await server.stop()


async def _connect(control: Control, service: str, upstream: str) -> None:
    connector: JsonObject = {"key": service, "name": service, "url": upstream, "auth": {"type": "none"}}
    await control.post("/api/connectors/custom", connector)


async def _make_agent(control: Control, name: str, denial_shape: str, services: Sequence[str]) -> str:
    agent_id = text((await control.post("/api/agents", {"name": name, "trustMode": "trusted"}))["id"])
    root = f"/api/agents/{agent_id}"
    await control.put(f"{root}/settings", {"denialShape": denial_shape})
    for count, service in enumerate(services, start=1):
        await _enabled(control, root, services[:count])
        for tool in (await control.post(f"{root}/services/{service}/tools/refresh", {}))["items"]:  # type: ignore[union-attr]
            assert isinstance(tool, dict)
            tools = f"{root}/services/{service}/tools"
            await control.post(f"{tools}/{tool['name']}/review", {"tier": tool["proposedTier"]})
    await _rule(control, f"{root}/policies", services)
    return agent_id


async def _enabled(control: Control, root: str, services: Sequence[str]) -> None:
    """Enable one more; again where the machine is too busy to start its server in the time that Wicket waits."""
    async with asyncio.timeout(START_S):
        while True:
            with suppress(UpstreamFailed):
                await control.put(f"{root}/services", {"services": [*services]})
                return


async def _rule(control: Control, path: str, services: Sequence[str]) -> None:
    for seeded in await control.items(path):
        service = text(seeded["service"])
        await control.put(f"{path}/{seeded['id']}", _policy("permit", service, PERMITTED[service]))
    for service in {HTTP_SERVICE, "local"} & set(services):
        forbid = _policy("forbid", service, [FORBIDDEN], network=HERE, denyMessage=DENY_MESSAGE)
        await control.post(path, forbid)


def _policy(effect: str, service: str, tools: Sequence[str], **more: Json) -> JsonObject:
    return {
        "name": f"{effect} {service}",
        "service": service,
        "effect": effect,
        "tools": [*tools],
        "principal": {"type": "all_members"},
        "enabled": True,
        **more,
    }


async def _token(wicket: Reachable, email: str) -> str:
    account = await wicket.change(accounts.get_or_create_account, email=email, now=now(), agents=())
    made = await wicket.change(
        accounts.create_token,
        account_id=account.id,
        name="interop",
        scopes=frozenset(Scope),
        expires_at=None,
        now=now(),
        agents=(),
    )
    return made.token


def _admit(tx: Any, *, email: str, agent_id: str) -> str:
    account = accounts.get_or_create_account(tx, email=email, now=now())
    member = members.join(tx, agent_id=agent_id, account_id=account.id, now=now())
    members.approve(tx, agent_id=agent_id, member_id=member.id, actor_id=None, now=now())
    return member.id
