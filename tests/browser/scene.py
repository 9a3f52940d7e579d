"""A Wicket with people, agents, policies and traffic: what somebody finds who has used it for a while.

async with scene(folder) as s:
    cookie = await s.cookie(OWNER)
    await s.call(BEN, "deploys__list_deploys")

Everything comes through the API and the proxy, from real servers on loopback, in the same order every time.
"""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

from tests.gateway.recipes import can_be_made, decision_of, prepare, recipes
from tests.instance import AgentUnderTest, Answer, Instance
from tests.mailbox import Mailbox, open_mailbox
from tests.reachable import now
from tests.upstreams import faults
from tests.upstreams.recording import Out, RecordingUpstream, Seen
from wicket.cli.demo.control import Control, text
from wicket.core.model import AgentStatus, JsonObject
from wicket.store import sign_in

OWNER: Final = "owner@example.com"
BEN, CLEO, DORA = "ben@example.com", "cleo@example.com", "dora@example.com"
"""Two who make calls, and one who waits to be approved."""
ASSISTANT, EMPTY, DISABLED = "assistant", "an agent with nothing", "a disabled agent"
CALLS: Final = 120
SEED: Final = 20_261_124
BROKEN: Final = "broken"
"""Where nothing can be deployed."""

Effect = Literal["read", "write", "destroy"]


def _tool(name: str, description: str, effect: Effect, *arguments: str) -> JsonObject:
    return {
        "name": name,
        "description": description,
        "inputSchema": {"type": "object", "properties": {one: {"type": "string"} for one in arguments}},
        "annotations": {"readOnlyHint": effect == "read", "destructiveHint": effect == "destroy"},
    }


TOOLS: Final[Mapping[str, Sequence[JsonObject]]] = {
    "deploys": (
        _tool("list_deploys", "What runs where", "read", "environment"),
        _tool("start_deploy", "Deploys a version", "write", "environment", "version"),
        _tool("roll_back", "Deploys what ran before", "destroy", "environment"),
    ),
    "notes": (
        _tool("read_note", "A note", "read", "name"),
        _tool("write_note", "Replaces a note", "write", "name", "text"),
        _tool("delete_note", "Removes a note", "destroy", "name"),
    ),
    "weather": (_tool("forecast", "The weather of a place", "read", "place"),),
}
ARGUMENTS: Final[Mapping[str, Sequence[str]]] = {
    "environment": ("production", "staging", BROKEN),
    "version": ("1.4.0", "1.4.1", "2.0.0-rc.1"),
    "name": ("rota", "shopping", "harvest"),
    "text": ("Ben is off", "=1+1", "<b>bold</b> & more"),
    "place": ("Berlin", "Tromsø"),
}
POLICIES: Final[Sequence[JsonObject]] = (
    {
        "name": "Only people roll back",
        "service": "deploys",
        "effect": "forbid",
        "tools": ["roll_back"],
        "denyMessage": "Ask in #deploys: somebody has to look at it first.",
    },
    {
        "name": "Notes are kept",
        "service": "notes",
        "effect": "forbid",
        "tools": ["tier:destructive"],
        "denyMessage": "Write an empty note instead.",
    },
    {
        "name": "Nothing is deployed on this network",
        "service": "deploys",
        "effect": "forbid",
        "tools": ["tier:write"],
        "network": {"in": ["127.0.0.0/8"]},
        "enabled": False,
    },
)


@dataclass
class Scene:
    """A running Wicket and whoever uses it."""

    wicket: Instance
    mailbox: Mailbox
    control: Control
    """The owner's API."""
    agents: dict[str, AgentUnderTest] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """Of the assistant's members, by address."""
    upstreams: dict[str, RecordingUpstream] = field(default_factory=dict)
    _cookies: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.wicket.url

    async def cookie(self, email: str = OWNER) -> str:
        """Of somebody's session, the same one every time: who signs out has to sign in by themselves."""
        if email not in self._cookies:
            link = await self.wicket.change(sign_in.make_link, email=email, now=now(), agents=())
            verify = f"{self.url}/api/auth/verify"
            async with self.wicket.http.post(verify, json={"token": link.token}) as answer:
                assert answer.status == 200, await answer.text()
                (cookie,) = answer.cookies.values()
                self._cookies[email] = f"{cookie.key}={cookie.value}"
        return self._cookies[email]

    async def call(self, email: str, tool: str, arguments: JsonObject | None = None) -> Answer:
        """A call of one of the assistant's members."""
        return await self.wicket.call(self.keys[email], tool, arguments, modern=email == CLEO)


@asynccontextmanager
async def bare(folder: Path) -> AsyncIterator[Scene]:
    """Nobody has done anything yet; anybody of example.com may sign up by mail."""
    async with (
        open_mailbox() as mailbox,
        Instance.started(
            folder,
            smtp_url=f"smtp://127.0.0.1:{mailbox.port}",
            mail_from="wicket@example.com",
            signup="domain:example.com",
        ) as wicket,
        Control(wicket.url, await wicket.token(OWNER)) as control,
    ):
        yield Scene(wicket, mailbox, control)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Everything running, and everything done."""
    async with AsyncExitStack() as stack:
        s = await stack.enter_async_context(bare(folder))
        for service, tools in TOOLS.items():
            upstream = RecordingUpstream(tools=list(tools))
            upstream.on("tools/call", partial(_act, upstream))
            s.upstreams[service] = await stack.enter_async_context(upstream)
        s.upstreams["weather"].on("tools/call", faults.server_error)
        await _people(s)
        await _traffic(s)
        await _recipes(s)
        yield s


async def _act(upstream: RecordingUpstream, seen: Seen, out: Out) -> None:
    """What the servers do: nothing, but for what cannot be done."""
    arguments = seen.params["arguments"]
    fails = isinstance(arguments, dict) and arguments.get("environment") == BROKEN
    said = "that environment does not answer" if fails else f"{seen.params['name']}: done"
    await upstream.answer(seen, out, {"content": [{"type": "text", "text": said}], "isError": fails})


async def _people(s: Scene) -> None:
    """The assistant, its services, rules and members, and two agents beside it."""
    for service, upstream in s.upstreams.items():
        connector: JsonObject = {"key": service, "name": service.title(), "url": upstream.url}
        await s.control.post(
            "/api/connectors/custom", {**connector, "auth": {"type": "none"}, "tierFromAnnotations": True}
        )
    for name in (ASSISTANT, EMPTY, DISABLED):
        s.agents[name] = await s.wicket.agent(name)
    await s.agents[DISABLED].status(AgentStatus.DISABLED)
    assistant = s.agents[ASSISTANT]
    root = f"/api/agents/{assistant.id}"
    await s.control.put(f"{root}/services", {"services": list(TOOLS)})
    for service in TOOLS:
        await s.control.post(f"{root}/services/{service}/tools/refresh", {})
    for policy in POLICIES:
        await s.control.post(
            f"{root}/policies", {"principal": {"type": "all_members"}, "enabled": True, **policy}
        )
    for email in (BEN, CLEO):
        s.keys[email] = await assistant.key(email)
    s.keys[OWNER] = await assistant.key()
    await assistant.member(DORA, approved=False)


async def _traffic(s: Scene) -> None:
    """Allowed, denied and failed calls."""
    chance = random.Random(SEED)
    offered = [(service, tool) for service, tools in TOOLS.items() for tool in tools]
    for _ in range(CALLS):
        service, tool = chance.choice(offered)
        schema = tool["inputSchema"]
        assert isinstance(schema, dict)
        assert isinstance(schema["properties"], dict)
        arguments = {name: chance.choice(ARGUMENTS[name]) for name in schema["properties"]}
        email = chance.choice((OWNER, BEN, CLEO))
        await s.call(email, f"{service}__{text(tool['name'])}", {**arguments})
    await s.call(BEN, "deploys__no_such_tool")


async def _recipes(s: Scene) -> None:
    """An agent for each recipe of the documentation, whose calls are those of its tests."""
    token = await s.wicket.token(OWNER)
    for name, recipe in recipes():
        agent = s.agents[name] = await s.wicket.agent(name)
        await prepare(s.wicket, token, agent, recipe)
        key = await agent.key()
        for test in filter(can_be_made, recipe.tests):
            await decision_of(s.wicket, token, key, test.given)
