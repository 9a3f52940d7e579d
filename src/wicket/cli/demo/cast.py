"""The demo's agent: made over the REST API, but for its second member.

Inviting goes by mail, which a demo has not got: the second member joins and is approved on the host.
"""

from dataclasses import dataclass
from typing import Final

from wicket.cli.demo.control import Control, text
from wicket.cli.work.host import Host, now
from wicket.cli.work.tokens import create_token
from wicket.core.model import JsonObject
from wicket.store import members
from wicket.store.accounts import Scope

AGENT: Final = "demo-assistant"
SERVICES: Final = ("git", "time", "notes")
OWNER: Final = "ada@example.com"
COLLEAGUE: Final = "ben@example.com"
REFUSALS_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Player:
    """A member with the key that the member's client holds."""

    email: str
    member_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Cast:
    agent_id: str
    owner: Player
    colleague: Player
    policies: tuple[JsonObject, ...]


async def make_token(host: Host, email: str) -> tuple[str, str]:
    """An API token of a person, and the id of the account."""
    made = await create_token(
        host, email, name="demo", scopes=frozenset({Scope.READ, Scope.WRITE}), expires_at=None
    )
    return made.token, made.record.account_id


async def assemble(host: Host, control: Control, colleague_control: Control, colleague_id: str) -> Cast:
    """Make agent, members, keys, reviewed tools and policies."""
    agent = await control.post("/api/agents", {"name": AGENT, "trustMode": "trusted", "tags": ["demo"]})
    root = f"/api/agents/{text(agent['id'])}"
    await control.put(f"{root}/services", {"services": [*SERVICES]})
    for service in SERVICES:
        await _review(control, f"{root}/services/{service}/tools")
    owner = (await control.items(f"{root}/members"))[0]
    colleague_member = await _admit(host, text(agent["id"]), colleague_id)
    policies = await _rule(control, f"{root}/policies", owner_user_id=text(owner["userId"]))
    return Cast(
        agent_id=text(agent["id"]),
        owner=await _with_key(control, root, OWNER, text(owner["id"])),
        colleague=await _with_key(colleague_control, root, COLLEAGUE, colleague_member),
        policies=tuple(policies),
    )


async def _review(control: Control, path: str) -> None:
    """Accept each tool at the tier that the server itself proposes; until then it is denied as unknown."""
    for tool in await control.items(path):
        await control.post(f"{path}/{text(tool['name'])}/review", {"tier": text(tool["proposedTier"])})


async def _admit(host: Host, agent_id: str, account_id: str) -> str:
    member = await host.database.change(
        members.join, agent_id=agent_id, account_id=account_id, now=now(), agents=[agent_id]
    )
    await host.database.change(
        members.approve, agent_id=agent_id, member_id=member.id, actor_id=None, now=now(), agents=[agent_id]
    )
    return member.id


async def _with_key(control: Control, root: str, email: str, member_id: str) -> Player:
    made = await control.put(f"{root}/members/{member_id}/key", {})
    return Player(email, member_id, text(made["key"]))


async def _rule(control: Control, path: str, *, owner_user_id: str) -> list[JsonObject]:
    """Narrow each service's first policy to reading, and add three of the demo's own."""
    for seeded in await control.items(path):
        reading = _policy(f"Everybody may read {seeded['service']}", text(seeded["service"]), "tier:read")
        await control.put(f"{path}/{text(seeded['id'])}", reading)
    only_ada: JsonObject = {"type": "specific_members", "userIds": [owner_user_id]}
    await control.post(path, {**_policy("Ada writes notes", "notes", "tier:write"), "principal": only_ada})
    await control.post(
        path,
        _policy(
            "Notes are kept",
            "notes",
            "delete_note",
            deny="notes are never deleted: write an empty one instead",
        ),
    )
    breaker = _policy(
        "Three refusals are enough", "*", "*", deny="refused three times: a person should look at this first"
    )
    await control.post(
        path, {**breaker, "session": [{"type": "denyCount", "operator": ">=", "value": REFUSALS_MAX}]}
    )
    return await control.items(path)


def _policy(name: str, service: str, *tools: str, deny: str | None = None) -> JsonObject:
    policy: JsonObject = {
        "name": name,
        "service": service,
        "effect": "permit" if deny is None else "forbid",
        "tools": [*tools],
        "principal": {"type": "all_members"},
        "enabled": True,
    }
    return policy if deny is None else {**policy, "denyMessage": deny}
