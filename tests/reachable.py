"""What tests do with a Wicket that runs somewhere: the people around it, and a client's way to talk to it."""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
import sqlalchemy as sa

from tests.upstreams.recording import ECHO
from wicket.connectors.definitions import definition_hash
from wicket.core.keys import ServerKeys, make_key
from wicket.core.model import AgentStatus, AuthType, Json, JsonObject, Tier, TrustMode
from wicket.core.policy.document import parse_policy
from wicket.store import accounts, agents, connections, connectors, keys, members, pins, policies, tables
from wicket.store.accounts import Scope
from wicket.store.db import Database

MODERN_META: JsonObject = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
}


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Answer:
    """What a client got back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> JsonObject:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def error(self) -> JsonObject:
        error = self.json["error"]
        assert isinstance(error, dict)
        return error

    @property
    def result(self) -> JsonObject:
        result = self.json["result"]
        assert isinstance(result, dict)
        return result

    @property
    def data(self) -> JsonObject:
        data = self.error["data"]
        assert isinstance(data, dict)
        return data


@dataclass
class AgentUnderTest:
    """An agent with one owner; further members by e-mail address."""

    wicket: "Reachable"
    id: str
    owner_account: str
    owner_member: str
    member_ids: dict[str, str] = field(default_factory=dict)

    async def member(self, email: str, *, approved: bool = True) -> str:
        """The id of a member, made on first use."""
        if email not in self.member_ids:
            self.member_ids[email] = await self.wicket.change(
                _join, self, email=email, approved=approved, agents=[self.id]
            )
        return self.member_ids[email]

    async def key(self, email: str | None = None, *, current_key: str | None = None) -> str:
        """A new key of the owner, or of a member."""
        member_id = self.owner_member if email is None else await self.member(email)
        key = make_key(os.urandom(24))
        await self.wicket.change(
            keys.put_key,
            agent_id=self.id,
            member_id=member_id,
            key=key,
            current_key=current_key,
            server=self.wicket.server_keys,
            now=now(),
            agents=[self.id],
        )
        return key

    async def policy(self, **fields: Json) -> policies.StoredPolicy:
        """Save a policy; `permit` of everything of a service unless said otherwise."""
        raw: JsonObject = {"name": "a policy", "effect": "permit", "tools": ["tier:read"], **fields}
        return await self.wicket.change(_save_policy, self, raw, agents=[self.id])

    async def toggle(self, policy_id: str, *, enabled: bool) -> None:
        await self.wicket.change(
            policies.toggle_policy,
            agent_id=self.id,
            policy_id=policy_id,
            enabled=enabled,
            actor_id=None,
            now=now(),
            agents=[self.id],
        )

    async def status(self, status: AgentStatus) -> None:
        await self.wicket.change(
            agents.set_status,
            agent_id=self.id,
            status=status,
            reason=None,
            actor_id=None,
            now=now(),
            agents=[self.id],
        )

    async def settings(self, **fields: Json) -> None:
        await self.wicket.change(
            agents.put_settings,
            agent_id=self.id,
            settings=agents.parse_settings(fields),
            actor_id=None,
            now=now(),
            agents=[self.id],
        )

    async def connect(self, service: str, token: str, email: str | None = None) -> None:
        """Paste a member's token."""
        member_id = self.owner_member if email is None else await self.member(email)
        await self.wicket.change(
            connections.put_connection,
            agent_id=self.id,
            member_id=member_id,
            service=service,
            token=token,
            server=self.wicket.server_keys,
            now=now(),
            agents=[self.id],
        )

    async def review(self, service: str, tool: str, tier: Tier | None, *, hold: bool = False) -> None:
        await self.wicket.change(
            pins.review,
            agent_id=self.id,
            service=service,
            tool=tool,
            tier=tier,
            hold=hold,
            actor_id=None,
            now=now(),
            agents=[self.id],
        )


class Reachable:
    """A Wicket that runs somewhere: its database, its server keys, and a client's way to talk to it."""

    def __init__(
        self, database: Database, server_keys: ServerKeys, url: str, http: aiohttp.ClientSession
    ) -> None:
        self.database = database
        self.server_keys = server_keys
        self.url = url
        self.http = http
        self.change = database.change

    async def agent(
        self,
        name: str = "helper",
        *,
        services: Mapping[str, str] | None = None,
        auth: AuthType = AuthType.NONE,
        trust_mode: TrustMode = TrustMode.TRUSTED,
        tiers: Mapping[str, Tier] | None = None,
    ) -> AgentUnderTest:
        """An agent of `owner@example.com` with custom connectors (key -> address) whose tools are reviewed.

        It has no policies: the baselines that come with services are deleted.
        """
        agent = await self.change(_make_agent, name=name, trust_mode=trust_mode, agents=[])
        under_test = AgentUnderTest(self, agent[0], agent[1], agent[2])
        for key, url in (services or {}).items():
            await self.connector(under_test, key, url, auth=auth)
        await self.enable(under_test, *(services or {}))
        for key in services or {}:
            for tool, tier in (tiers or {"echo": Tier.READ}).items():
                await self.change(_pin, under_test, service=key, tool=tool, tier=tier, agents=[under_test.id])
        await self.change(_drop_policies, under_test, agents=[under_test.id])
        return under_test

    async def token(self, email: str = "owner@example.com") -> str:
        """An API token for everything, of an account that is made on first use."""
        return await self.change(_make_token, email=email, agents=())

    async def connector(
        self, agent: AgentUnderTest, key: str, url: str, *, auth: AuthType = AuthType.NONE
    ) -> None:
        """A custom connector of the agent's owner, not enabled yet."""
        await self.change(
            _add_service, agent, key=key, url=url, auth=auth, server=self.server_keys, agents=[]
        )

    async def enable(self, agent: AgentUnderTest, *services: str) -> None:
        await self.change(
            agents.set_services,
            agent_id=agent.id,
            services=list(services),
            local={},
            actor_id=None,
            now=now(),
            agents=[agent.id],
        )

    async def post(
        self,
        body: bytes,
        *,
        key: str | None = None,
        path: str = "/mcp",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """POST bytes as they are."""
        sent = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        async with self.http.post(self.url + path, data=body, headers=sent | dict(headers or {})) as response:
            return Answer(response.status, response.headers, await response.read())

    async def rpc(
        self,
        key: str | None,
        method: str,
        params: JsonObject | None = None,
        *,
        path: str = "/mcp",
        headers: Mapping[str, str] | None = None,
        request_id: Json = 1,
        modern: bool = False,
    ) -> Answer:
        """One request, in either era."""
        params = dict(params or {})
        sent = dict(headers or {})
        if modern:
            params["_meta"] = MODERN_META
            sent |= {"mcp-protocol-version": "2026-07-28", "mcp-method": method}
            if isinstance(name := params.get("name"), str):
                sent["mcp-name"] = name
        body = json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).encode()
        return await self.post(body, key=key, path=path, headers=sent)

    async def call(
        self,
        key: str | None,
        tool: str,
        arguments: JsonObject | None = None,
        *,
        path: str = "/mcp",
        headers: Mapping[str, str] | None = None,
        request_id: Json = 1,
        modern: bool = False,
    ) -> Answer:
        """One `tools/call`."""
        params: JsonObject = {"name": tool, "arguments": arguments or {}}
        return await self.rpc(
            key, "tools/call", params, path=path, headers=headers, request_id=request_id, modern=modern
        )

    async def entries(self) -> list[dict[str, object]]:
        """Every audit row, oldest first, as the table has it."""
        return await self.database.read(_entries)

    async def outcomes(self) -> dict[str, list[str]]:
        """Entry id -> its outcomes in order of their writing."""
        return await self.database.read(_outcomes)

    async def settled(self, entries: int = 1) -> dict[str, list[str]]:
        """The outcomes, once there are so many."""
        async with asyncio.timeout(5):
            while len(found := await self.outcomes()) < entries:
                await asyncio.sleep(0)
        return found


def _make_agent(tx: sa.Connection, *, name: str, trust_mode: TrustMode) -> tuple[str, str, str]:
    owner = accounts.get_or_create_account(tx, email="owner@example.com", now=now())
    agent = agents.create_agent(tx, owner_id=owner.id, name=name, trust_mode=trust_mode, now=now())
    member = members.find_membership(tx, agent_id=agent.agent_id, account_id=owner.id)
    assert member is not None
    return agent.agent_id, owner.id, member.id


def _make_token(tx: sa.Connection, *, email: str) -> str:
    account = accounts.get_or_create_account(tx, email=email, now=now())
    made = accounts.create_token(
        tx, account_id=account.id, name="tests", scopes=frozenset(Scope), expires_at=None, now=now()
    )
    return made.token


def _add_service(
    tx: sa.Connection, agent: AgentUnderTest, *, key: str, url: str, auth: AuthType, server: ServerKeys
) -> None:
    known = sa.select(tables.connectors.c.id).where(tables.connectors.c.key == key)
    if tx.execute(known).first() is None:
        per_member = auth is not AuthType.NONE
        spec = connectors.ConnectorSpec(key=key, name=key, url=url, auth=auth, per_member=per_member)
        connectors.create_connector(
            tx, account_id=agent.owner_account, spec=spec, tools=(), server=server, now=now()
        )


def _pin(tx: sa.Connection, agent: AgentUnderTest, *, service: str, tool: str, tier: Tier) -> None:
    # As the recording upstream lists it: the proxy looks at the list behind a call, and would notice another one.
    definition: JsonObject = ECHO if tool == "echo" else {"name": tool}
    seen = pins.SeenTool(tool, definition_hash(definition), definition, tier)
    pins.observe(tx, agent_id=agent.id, service=service, member_id=None, seen=[seen], now=now())
    pins.review(tx, agent_id=agent.id, service=service, tool=tool, tier=tier, actor_id=None, now=now())


def _join(tx: sa.Connection, agent: AgentUnderTest, *, email: str, approved: bool) -> str:
    account = accounts.get_or_create_account(tx, email=email, now=now())
    member = members.join(tx, agent_id=agent.id, account_id=account.id, now=now())
    if approved:
        members.approve(tx, agent_id=agent.id, member_id=member.id, actor_id=None, now=now())
    return member.id


def _drop_policies(tx: sa.Connection, agent: AgentUnderTest) -> None:
    for policy in policies.list_policies(tx, agent_id=agent.id).items:
        policies.delete_policy(tx, agent_id=agent.id, policy_id=policy.id, actor_id=None, now=now())


def _save_policy(tx: sa.Connection, agent: AgentUnderTest, raw: JsonObject) -> policies.StoredPolicy:
    return policies.create_policy(
        tx,
        agent=agents.get_agent(tx, agent_id=agent.id),
        document=parse_policy(raw),
        actor_id=None,
        note=None,
        now=now(),
        known_tools=policies.load_known_tools(tx, agent_id=agent.id),
    )


def _entries(tx: sa.Connection) -> list[dict[str, object]]:
    name = tables.names.alias()
    rows = tx.execute(
        sa.select(tables.audit, name.c.name.label("tool_name"))
        .join(name, name.c.id == tables.audit.c.tool)
        .order_by(tables.audit.c.writer, tables.audit.c.seq)
    )
    return [dict(row) for row in rows.mappings()]


def _outcomes(tx: sa.Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in tx.execute(
        sa.select(tables.outcomes).order_by(tables.outcomes.c.writer, tables.outcomes.c.seq)
    ):
        found.setdefault(row.entry_id, []).append(row.outcome)
    return found
