"""Requests to the proxy, with what brings them about: the rows of tables of exits."""

import json
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import sqlalchemy as sa

from tests.gateway.scene import Scene
from tests.instance import Answer
from tests.upstreams.recording import Behaviour, Out, Seen
from wicket.core.model import AgentStatus, Json, JsonObject
from wicket.store import tables

Ask: TypeAlias = Callable[[Scene], Awaitable[Answer]]

CALL: JsonObject = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "fake__echo"}}
UNKNOWN_KEY = "A" * 32


def posting(message: Json, **headers: str) -> Ask:
    body = message.encode() if isinstance(message, str) else json.dumps(message).encode()

    async def ask(s: Scene) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await s.wicket.post(body, key=s.key, headers=sent)

    return ask


def calling(params: JsonObject, **headers: str) -> Ask:
    return posting(CALL | {"params": params}, **headers)


def asking(method: str, *, modern: bool = False, path: str = "/mcp") -> Ask:
    async def ask(s: Scene) -> Answer:
        return await s.wicket.rpc(s.key, method, modern=modern, path=path)

    return ask


def with_key(key: str | None) -> Ask:
    async def ask(s: Scene) -> Answer:
        return await s.wicket.call(key, "fake__echo")

    return ask


def with_headers(*headers: tuple[str, str], path: str = "/mcp") -> Ask:
    """A call without a key but these headers; `{key}` stands for the owner's."""

    async def ask(s: Scene) -> Answer:
        sent = [(name, value.format(key=s.key)) for name, value in headers]
        url = (s.wicket.url + path).format(key=s.key)
        async with s.wicket.http.post(url, data=json.dumps(CALL), headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    return ask


def without_body(method: str, **headers: str) -> Ask:
    async def ask(s: Scene) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["authorization"] = f"Bearer {s.key}"
        async with s.wicket.http.request(method, s.wicket.url + "/mcp", headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    return ask


async def revoked(s: Scene) -> Answer:
    await s.revoke()
    return await s.call()


async def rotated(s: Scene) -> Answer:
    await s.agent.key()
    return await s.call()


async def removed(s: Scene) -> Answer:
    key = await s.agent.key("ben@example.com")
    await s.remove(await s.agent.member("ben@example.com"))
    return await s.call(key=key)


async def disabled(s: Scene) -> Answer:
    await s.agent.status(AgentStatus.DISABLED)
    return await s.call()


async def disabled_list(s: Scene) -> Answer:
    await s.agent.status(AgentStatus.DISABLED)
    return await s.wicket.rpc(s.key, "tools/list")


async def pending(s: Scene) -> Answer:
    key = await s.agent.key("ben@example.com")
    await s.put_back(await s.agent.member("ben@example.com"))
    return await s.call(key=key)


async def session_of_another(s: Scene) -> Answer:
    begun = await s.wicket.rpc(await s.agent.key("ben@example.com"), "initialize")
    return await s.call(headers={"mcp-session-id": begun.headers["mcp-session-id"]})


async def ended_session(s: Scene) -> Answer:
    begun = await s.wicket.rpc(s.key, "initialize")
    session = {"mcp-session-id": begun.headers["mcp-session-id"]}
    assert (await without_body("DELETE", **session)(s)).status == 204
    return await s.call(headers=session)


async def unopenable(s: Scene) -> Answer:
    """Sealed under the old key, which was lost with it."""
    await s.agent.connect("fake", "token-of-owner")
    await s.wicket.change(_break_seals, agents=[s.agent.id])
    return await s.call()


def _break_seals(tx: sa.Connection) -> None:
    tx.execute(sa.update(tables.connections).values(sealed=b"\x01broken"))


def behaving(rpc: str, behaviour: Behaviour, *, modern: bool = False) -> Ask:
    async def ask(s: Scene) -> Answer:
        s.upstream.on(rpc, behaviour)
        return await s.call(modern=modern)

    return ask


async def unreachable(s: Scene) -> Answer:
    await s.upstream.__aexit__()
    return await s.call()


async def tool_fails(seen: Seen, out: Out) -> None:
    result: JsonObject = {"content": [], "isError": True}
    await out.json({"jsonrpc": "2.0", "id": seen.id, "result": result})


async def tool_errs(seen: Seen, out: Out) -> None:
    error: JsonObject = {"code": -32000, "message": "no such repository", "data": {"why": "typing"}}
    await out.json({"jsonrpc": "2.0", "id": seen.id, "error": error})


async def forbidden(s: Scene) -> Answer:
    await s.agent.policy(service="fake", name="no", effect="forbid", denyMessage="Ask Ada.")
    return await s.call()


async def unreadable(s: Scene) -> Answer:
    zone: JsonObject = {"hoursFrom": 0, "hoursTo": 23, "timeZone": "Mars/Olympus"}
    await s.agent.policy(service="fake", name="on Mars", effect="forbid", time=zone)
    return await s.call()


async def not_enabled(s: Scene) -> Answer:
    return await s.call(tool="github__get_me")


async def not_enabled_at_endpoint(s: Scene) -> Answer:
    return await s.wicket.call(s.key, "get_me", path="/mcp/github")


async def held(s: Scene) -> Answer:
    await s.agent.review("fake", "echo", None, hold=True)
    return await s.call()


async def bad_selector(s: Scene) -> Answer:
    await s.wicket.enable(s.agent, "fake", "github")
    return await s.call({"method": ["delete"]}, tool="github__label_write")


def unreviewed(*, modern: bool) -> Ask:
    async def ask(s: Scene) -> Answer:
        return await s.call(tool="fake__brand_new", modern=modern)

    return ask


async def other_param_header(s: Scene) -> Answer:
    await s.wicket.rpc(s.key, "tools/list", modern=True)
    return await s.call({"owner": "acme"}, headers={"mcp-param-owner": "umbrella"}, modern=True)


async def denied_without_account(s: Scene) -> Answer:
    return await s.call()


def allowed(*, modern: bool) -> Ask:
    async def ask(s: Scene) -> Answer:
        return await s.call({"text": "x"}, modern=modern)

    return ask
