"""People who use the API, and what stands behind it in tests."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import available_timezones

import httpx2
from fastapi import FastAPI

from tests.api.as_described import AsDescribed
from wicket.api import ApiParts, Served, build_api
from wicket.core.errors import Invalid, Unavailable, UpstreamFailed
from wicket.core.keys import ServerKeys
from wicket.core.mock import MockAnswer, MockCall
from wicket.core.model import Connector, ConnectorKind, JsonObject
from wicket.runtime.mail import ConsoleMailer
from wicket.runtime.reading import LogReaders
from wicket.runtime.sign_in import SignIn, SignInRules
from wicket.runtime.tail import Tail
from wicket.runtime.upstream import Credential
from wicket.store import accounts, members
from wicket.store.accounts import Scope
from wicket.store.dashboard_sessions import Terms
from wicket.store.db import Database
from wicket.store.sign_in import Signup

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SERVER: Final = ServerKeys([b"a server secret of thirty-two bytes or more"])
BOTH: Final = frozenset(Scope)
RULES: Final = SignInRules(
    Signup(), Terms(idle=timedelta(hours=12), requires_mfa=False), base_url="https://wicket.test"
)
STDIO: Final = MappingProxyType(
    {
        key: Connector(
            key=key,
            name=key.title(),
            namespace=f"Custom_{key}MCP",
            kind=ConnectorKind.STDIO,
            url=f"stdio:{key}",
            id=key,
        )
        for key in ("git", "notes")
    }
)
ZONES: Final = frozenset(available_timezones())
PERMIT: Final = MappingProxyType(
    {"name": "Reads", "service": "github", "effect": "permit", "tools": ["tier:read"]}
)


def tool(name: str, **annotations: bool) -> JsonObject:
    """A definition as a server lists it."""
    return {"name": name, "inputSchema": {"type": "object"}, "annotations": {**annotations}}


@dataclass
class Servers:
    """MCP servers by URL, and what they were asked with. One that is not there cannot be reached."""

    tools: dict[str, list[JsonObject]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    forgotten: list[tuple[str, str]] = field(default_factory=list)

    async def fetch(self, connector: Connector, credential: Credential | None) -> list[JsonObject]:
        sent = None if credential is None else f"{credential.header}: {credential.value}"
        self.asked.append((connector.url, sent))
        if connector.url not in self.tools:
            raise UpstreamFailed(f"`{connector.key}` cannot be reached: check its URL")
        return self.tools[connector.url]

    def forget(self, agent_id: str, service: str) -> None:
        self.forgotten.append((agent_id, service))


@dataclass
class Person:
    """An account with a token, and the requests that it makes."""

    account_id: str
    email: str
    token: str
    http: httpx2.AsyncClient

    async def get(self, path: str, *, expect: int = 200, **params: Any) -> Any:
        return await self.send("GET", path, expect=expect, params=params)

    async def query(self, path: str, params: Mapping[str, str | int]) -> Any:
        return await self.send("GET", path, expect=200, params=params)

    async def post(self, path: str, body: object = None, *, expect: int = 200) -> Any:
        return await self.send("POST", path, body, expect=expect)

    async def put(self, path: str, body: object = None, *, expect: int = 200) -> Any:
        return await self.send("PUT", path, body, expect=expect)

    async def delete(self, path: str, *, expect: int = 204) -> Any:
        return await self.send("DELETE", path, expect=expect)

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        expect: int,
        params: Mapping[str, str | int] | None = None,
    ) -> Any:
        """Send a request and give back the JSON of its answer, whose status must be `expect`."""
        response = await self.http.request(method, path, json=body, params=params or None)
        assert response.status_code == expect, (method, path, response.status_code, response.text)
        if expect >= 400:
            assert response.headers["content-type"] == "application/problem+json"
        return response.json() if response.content else None

    async def make_agent(self, name: str = "helper", **given: object) -> str:
        """An agent of this person's; answers its id."""
        agent = await self.post("/api/agents", {"name": name, "trustMode": "trusted", **given}, expect=201)
        return str(agent["id"])

    async def membership(self, agent_id: str) -> str:
        """The person's own member id."""
        page = await self.get(f"/api/agents/{agent_id}/members")
        return str(next(member["id"] for member in page["items"] if member["userId"] == self.account_id))


@dataclass
class Instance:
    """One instance of the API with its people."""

    database: Database
    servers: Servers
    served: Served
    stack: AsyncExitStack
    mails: list[str]
    """What would have been sent, oldest first."""

    @property
    def api(self) -> FastAPI:
        """Its routes, and what they say of themselves."""
        return self.served.api

    @property
    def parts(self) -> ApiParts:
        return self.served.parts

    def client(self, token: str | None = None) -> httpx2.AsyncClient:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx2.ASGITransport(app=AsDescribed(self.served))
        return httpx2.AsyncClient(transport=transport, base_url="http://wicket.test", headers=headers)

    async def person(self, name: str, scopes: Collection[Scope] = BOTH) -> Person:
        """Somebody signed up, with a token of these scopes."""
        account = await self.database.change(
            accounts.get_or_create_account, email=f"{name}@example.com", now=NOW, agents=()
        )
        made = await self.database.change(
            accounts.create_token,
            account_id=account.id,
            name="tests",
            scopes=frozenset(scopes),
            expires_at=None,
            now=NOW,
            agents=(),
        )
        client = await self.stack.enter_async_context(self.client(made.token))
        return Person(account.id, account.email, made.token, client)

    async def join(self, person: Person, agent_id: str) -> str:
        """Make a person a pending member; answers the member's id."""
        member = await self.database.change(
            members.join, agent_id=agent_id, account_id=person.account_id, now=NOW, agents=[agent_id]
        )
        return member.id

    async def admit(self, person: Person, agent_id: str) -> str:
        """Make a person an approved member; answers the member's id."""
        member_id = await self.join(person, agent_id)
        await self.database.change(
            members.approve,
            agent_id=agent_id,
            member_id=member_id,
            actor_id=None,
            now=NOW,
            agents=[agent_id],
        )
        return member_id


def vet_url(url: str) -> None:
    if "10.0.0.1" in url:
        raise Invalid("this address may not be reached from here: name a public one", field="url")


async def no_proxy(_call: MockCall) -> MockAnswer:
    raise Unavailable("no proxy stands behind this API: call through a whole instance")


async def status() -> JsonObject:
    return {"database": "sqlite", "recorder": "ok", "backlog": 0}


@asynccontextmanager
async def open_instance(
    database: Database,
    servers: Servers,
    *,
    metrics_token: str | None = None,
    status: Callable[[], Awaitable[JsonObject]] = status,
    now: Callable[[], datetime] = lambda: NOW,
    rules: SignInRules = RULES,
    public_url: str = RULES.base_url,
) -> AsyncIterator[Instance]:
    """An instance over a database; its people's clients close with it."""
    mails: list[str] = []
    parts = ApiParts(
        db=database,
        keys=SERVER,
        sign_in=SignIn(
            db=database,
            keys=SERVER,
            mailer=ConsoleMailer(mails.append),
            rules=rules,
            now=now,
            monotonic_ns=lambda: int(now().timestamp()) * 1_000_000_000,
        ),
        fetch_tools=servers.fetch,
        stdio=STDIO,
        version="1.2.3",
        public_url=public_url,
        metrics_token=metrics_token,
        status=status,
        forget_tools=servers.forget,
        known_zones=ZONES,
        now=now,
        mock_call=no_proxy,
        vet_url=vet_url,
        readers=LogReaders(database, Tail(database)),
        tool_session_idle=timedelta(minutes=30),
        tiers_from_annotations=frozenset({"notes"}),
    )
    async with AsyncExitStack() as stack:
        yield Instance(database, servers, build_api(parts), stack, mails)


def names_of(page: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The names of the items of a list."""
    return [item["name"] for item in page["items"]]
