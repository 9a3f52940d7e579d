"""Agents from the host's side: looked at whoever owns them, and stopped without a server."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from wicket.cli.output import print_fields, print_json, print_table, say
from wicket.cli.work.host import Host, iso, now, on_host
from wicket.core.errors import Conflict, NotFound
from wicket.core.model import AgentStatus, JsonObject
from wicket.core.policy.document import render_policy
from wicket.store import accounts, agents, members, policies
from wicket.store.page import PAGE_MAX
from wicket.store.reserve import Reserve

EFFECTS: Final = {
    AgentStatus.ACTIVE: "its calls are decided again",
    AgentStatus.DISABLED: "no call of it is admitted from now on",
}

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Owned:
    """An agent and the address of its owner, which tells agents of one name apart."""

    agent: agents.StoredAgent
    owner: str


@dataclass(frozen=True, slots=True)
class Described:
    """An agent with what belongs to it."""

    owned: Owned
    members: tuple[members.MemberRecord, ...]
    policies: tuple[policies.StoredPolicy, ...]


async def get_agent(host: Host, name: str) -> Owned:
    """The agent of this name or id; raises NotFound, or Conflict `ambiguous` naming the candidates."""
    found = await host.database.read(agents.find_agents, name_or_id=name)
    owned = [await _with_owner(host, agent) for agent in found]
    if not owned:
        raise NotFound(f"there is no agent `{name}`: `wicket agents list` shows them all")
    if len(owned) > 1:
        candidates = ", ".join(f"{one.agent.id} of {one.owner}" for one in owned)
        raise Conflict(f"several agents are named `{name}`: give the id ({candidates})", code="ambiguous")
    return owned[0]


def print_all(*, data_dir: Path | None, as_json: bool) -> None:
    """Print every agent of the instance, oldest first."""

    async def work(host: Host) -> list[Owned]:
        return [await _with_owner(host, agent) for agent in await host.database.read(agents.list_all_agents)]

    found = on_host(work, data_dir=data_dir)
    if as_json:
        print_json({"items": [_render(one) for one in found]})
        return
    print_table(
        ("name", "status", "trust", "services", "owner", "id"),
        [
            (
                a.agent.name,
                a.agent.status,
                a.agent.trust_mode,
                ", ".join(a.agent.services),
                a.owner,
                a.agent.id,
            )
            for a in found
        ],
    )


def print_one(name: str, *, data_dir: Path | None, as_json: bool) -> None:
    """Print an agent with its members and policies."""
    found = _on_agent(name, _describe, data_dir=data_dir)
    if as_json:
        print_json(_render_described(found))
        return
    agent = found.owned.agent
    print_fields(
        [
            ("name", agent.name),
            ("id", agent.id),
            ("status", agent.status),
            *([("reason", agent.status_reason)] if agent.status_reason else []),
            ("trust mode", agent.trust_mode),
            ("owner", found.owned.owner),
            ("services", ", ".join(agent.services)),
            ("created", iso(agent.created_at)),
            *(("member", f"{m.email} {m.role} {m.status} {_key_of(m)} {m.id}") for m in found.members),
            *(("policy", f"{p.key} {_state_of(p)} {p.document.effect} {p.id}") for p in found.policies),
        ]
    )


def set_status(
    name: str, status: AgentStatus, *, reason: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Switch an agent off or on; committed when this returns."""
    is_stop = status is AgentStatus.DISABLED

    async def change(host: Host, owned: Owned) -> Owned:
        set_now = host.database.change_urgently if is_stop else host.database.change
        agent = await set_now(
            agents.set_status,
            agent_id=owned.agent.id,
            status=status,
            reason=reason,
            actor_id=None,
            now=now(),
            agents=[owned.agent.id],
        )
        if is_stop and host.settings.database_url is None:
            say_when_used_up(Reserve(host.settings.sqlite_path))
        return Owned(agent, owned.owner)

    owned = _on_agent(name, change, data_dir=data_dir, urgent=is_stop)
    if as_json:
        print_json(_render(owned))
    else:
        print_table(("name", "status", "id"), [(owned.agent.name, status, owned.agent.id)])
    say(f"agent `{owned.agent.name}` is {status}: {EFFECTS[status]}")


def say_when_used_up(reserve: Reserve) -> None:
    """Tell whoever stopped an agent on a full disk that this works once."""
    if not reserve.is_whole:
        say(
            "the disk is full or nearly so, and the reserve for stopping agents is used up: make room,"
            " and the next change makes it again"
        )


def _on_agent(
    name: str, work: Callable[[Host, Owned], Awaitable[R]], *, data_dir: Path | None, urgent: bool = False
) -> R:
    async def found(host: Host) -> R:
        return await work(host, await get_agent(host, name))

    return on_host(found, data_dir=data_dir, urgent=urgent)


async def _with_owner(host: Host, agent: agents.StoredAgent) -> Owned:
    owner = await host.database.read(accounts.get_account, account_id=agent.owner_id)
    return Owned(agent, owner.email)


async def _describe(host: Host, owned: Owned) -> Described:
    of_agent = owned.agent.id
    people = await host.database.read(members.list_members, agent_id=of_agent, limit=PAGE_MAX)
    rules = await host.database.read(policies.list_policies, agent_id=of_agent, limit=PAGE_MAX)
    return Described(owned, tuple(people.items), tuple(rules.items))


def _key_of(member: members.MemberRecord) -> str:
    return "without a key" if member.key is None else f"key ...{member.key.suffix}"


def _state_of(policy: policies.StoredPolicy) -> str:
    return f"v{policy.version} {'enabled' if policy.document.enabled else 'disabled'}"


def _render(owned: Owned) -> JsonObject:
    agent = owned.agent
    return {
        "id": agent.id,
        "name": agent.name,
        "status": agent.status.value,
        "statusReason": agent.status_reason,
        "trustMode": agent.trust_mode.value,
        "owner": owned.owner,
        "tags": [*agent.tags],
        "services": [*agent.services],
        "createdAt": iso(agent.created_at),
    }


def _render_described(found: Described) -> JsonObject:
    return {
        **_render(found.owned),
        "members": [
            {
                "id": member.id,
                "userId": member.account_id,
                "email": member.email,
                "role": member.role.value,
                "status": member.status.value,
                "keySuffix": None if member.key is None else member.key.suffix,
            }
            for member in found.members
        ],
        "policies": [
            {"id": policy.id, "key": policy.key, "version": policy.version, **render_policy(policy.document)}
            for policy in found.policies
        ],
    }
