"""Members and their keys from the host's side, on the host's authority: nobody's account is named in the log."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from wicket.cli.output import print_json, print_line, print_table, say
from wicket.cli.work.agents import Owned, get_agent
from wicket.cli.work.host import Host, iso, now, on_host
from wicket.core.errors import NotFound
from wicket.core.keys import ServerKeys
from wicket.core.model import JsonObject, MemberStatus
from wicket.settings import load_settings, read_secrets
from wicket.store import accounts, invites, keys, members
from wicket.store.invites import INVITE_LIFE, NewInvite
from wicket.store.keys import KeyRecord
from wicket.store.members import MemberRecord
from wicket.store.page import PAGE_MAX

EFFECTS: Final = {
    MemberStatus.PENDING: "the owner has to decide",
    MemberStatus.APPROVED: "a key can be made",
    MemberStatus.REJECTED: "connections are discarded",
    MemberStatus.REMOVED: "key, connections and own policies are gone",
}

R = TypeVar("R")


def print_all(agent: str, *, status: MemberStatus | None, data_dir: Path | None, as_json: bool) -> None:
    """Print the members of an agent, oldest first."""

    async def work(host: Host, owned: Owned) -> list[MemberRecord]:
        return await _list(host, owned, status)

    _print_members(_on_agent(agent, work, data_dir=data_dir), as_json=as_json)


def set_status(
    agent: str, member: str, status: MemberStatus, *, data_dir: Path | None, as_json: bool
) -> None:
    """Approve, reject or remove a member; committed when this returns."""

    async def work(host: Host, owned: Owned) -> MemberRecord:
        found = await _get_member(host, owned, member)
        return await host.database.change(
            members.set_status,
            agent_id=owned.agent.id,
            member_id=found.id,
            status=status,
            actor_id=None,
            now=now(),
            agents=[owned.agent.id],
        )

    changed = _on_agent(agent, work, data_dir=data_dir)
    if as_json:
        print_json(_render(changed))
    else:
        _print_members([changed], as_json=False)
    say(f"`{changed.email}` is {status}: {EFFECTS[status]}")


def invite(agent: str, email: str, *, public_url: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Print the link of a fresh invitation; an earlier one for the address is void."""
    settings = load_settings(data_dir=data_dir, public_url=public_url)

    async def work(host: Host, owned: Owned) -> NewInvite:
        return await host.database.change(
            invites.create_invite,
            agent_id=owned.agent.id,
            email=email,
            created_by=owned.agent.owner_id,
            actor_id=None,
            server=ServerKeys(read_secrets(host.settings)),
            now=now(),
            agents=(),
        )

    made = _on_agent(agent, work, data_dir=data_dir)
    link = made.link(settings.base_url)
    if as_json:
        said: JsonObject = {
            "id": made.invite.id,
            "email": made.invite.email,
            "url": link,
            "expiresAt": iso(made.invite.expires_at),
            "createdAt": iso(made.invite.created_at),
        }
        print_json(said)
    else:
        print_line(link)
    say(
        f"`{made.invite.email}` may join by this link within {INVITE_LIFE.days} days, and then waits for approval"
    )


def print_keys(agent: str, member: str | None, *, data_dir: Path | None, as_json: bool) -> None:
    """Print the live keys of an agent, or of one member."""

    async def work(host: Host, owned: Owned) -> list[MemberRecord]:
        return await (
            _list(host, owned, None) if member is None else _listed(_get_member(host, owned, member))
        )

    found = [(one, one.key) for one in _on_agent(agent, work, data_dir=data_dir) if one.key is not None]
    if as_json:
        print_json({"items": [_render_key(one, key) for one, key in found]})
        return
    print_table(
        ("member", "key", "created", "last used", "id"),
        [(one.email, f"...{key.suffix}", iso(key.created_at), _last_use(key), key.id) for one, key in found],
    )


def revoke_key(agent: str, member: str, *, data_dir: Path | None, as_json: bool) -> None:
    """Revoke the live key of a member; raises NotFound when there is none."""

    async def work(host: Host, owned: Owned) -> tuple[MemberRecord, KeyRecord]:
        found = await _get_member(host, owned, member)
        is_revoked = found.key is not None and await host.database.change(
            keys.revoke_key,
            agent_id=owned.agent.id,
            member_id=found.id,
            actor_id=None,
            now=now(),
            agents=[owned.agent.id],
        )
        if found.key is None or not is_revoked:
            raise NotFound(f"`{found.email}` has no live key: `wicket keys list` shows who has one")
        return found, found.key

    found, key = _on_agent(agent, work, data_dir=data_dir)
    if as_json:
        print_json(_render_key(found, key))
    else:
        print_table(("member", "key", "id"), [(found.email, f"...{key.suffix}", key.id)])
    say(f"the key of `{found.email}` is revoked: it is refused from the next call on")


def _on_agent(name: str, work: Callable[[Host, Owned], Awaitable[R]], *, data_dir: Path | None) -> R:
    async def found(host: Host) -> R:
        return await work(host, await get_agent(host, name))

    return on_host(found, data_dir=data_dir)


async def _list(host: Host, owned: Owned, status: MemberStatus | None) -> list[MemberRecord]:
    found: list[MemberRecord] = []
    while True:
        page = await host.database.read(
            members.list_members,
            agent_id=owned.agent.id,
            status=status,
            limit=PAGE_MAX,
            offset=len(found),
        )
        found += page.items
        if not page.items or len(found) >= page.total:
            return found


async def _listed(one: Awaitable[MemberRecord]) -> list[MemberRecord]:
    return [await one]


async def _get_member(host: Host, owned: Owned, name: str) -> MemberRecord:
    """The member of this address or id, whatever the status; raises NotFound."""
    account_id = name
    if "@" in name:
        account = await host.database.read(accounts.find_account, email=name)
        account_id = "" if account is None else account.id
    found = await host.database.read(members.find_membership, agent_id=owned.agent.id, account_id=account_id)
    if found is not None:
        return found
    if "@" in name:
        raise NotFound(f"`{name}` is no member of `{owned.agent.name}`: `wicket members list` shows them all")
    return await host.database.read(members.get_member, agent_id=owned.agent.id, member_id=name)


def _print_members(found: list[MemberRecord], *, as_json: bool) -> None:
    if as_json:
        print_json({"items": [_render(member) for member in found]})
        return
    print_table(
        ("member", "role", "status", "key", "last used", "id"),
        [
            (
                member.email,
                member.role,
                member.status,
                "-" if member.key is None else f"...{member.key.suffix}",
                "-" if member.key is None else _last_use(member.key),
                member.id,
            )
            for member in found
        ],
    )


def _last_use(key: KeyRecord) -> str:
    return "-" if key.last_used_at is None else iso(key.last_used_at)


def _render(member: MemberRecord) -> JsonObject:
    return {
        "id": member.id,
        "userId": member.account_id,
        "email": member.email,
        "role": member.role.value,
        "status": member.status.value,
        "key": None if member.key is None else _key_fields(member.key),
    }


def _render_key(member: MemberRecord, key: KeyRecord) -> JsonObject:
    return {**_key_fields(key), "memberId": member.id, "userId": member.account_id, "email": member.email}


def _key_fields(key: KeyRecord) -> JsonObject:
    return {
        "id": key.id,
        "suffix": key.suffix,
        "createdAt": iso(key.created_at),
        "lastUsedAt": None if key.last_used_at is None else iso(key.last_used_at),
    }
