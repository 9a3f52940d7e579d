"""An agent's policies from the host's side: looked at, and their versions compared."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from wicket.cli.output import print_json, print_line, print_table
from wicket.cli.work.agents import get_agent
from wicket.cli.work.host import Host, iso, on_host
from wicket.connectors.services import namespace_of
from wicket.core.errors import NotFound
from wicket.core.model import JsonObject
from wicket.core.policy.diff import compare, unified
from wicket.core.policy.document import PolicyDocument, render_policy
from wicket.core.policy.engine import render_cedar
from wicket.store import policies
from wicket.store.policies import PolicyVersion, StoredPolicy


def print_all(agent: str, *, data_dir: Path | None, as_json: bool) -> None:
    """Print every policy of an agent, oldest first."""

    async def work(host: Host) -> Sequence[StoredPolicy]:
        return await _all(host, agent)

    found = on_host(work, data_dir=data_dir)
    if as_json:
        print_json({"items": [_render(policy) for policy in found]})
        return
    rows = [
        (p.key, "enabled" if p.document.enabled else "disabled", p.document.effect, p.document.service,
         f"v{p.version}", iso(p.updated_at), p.document.name, p.id)
        for p in found
    ]  # fmt: skip
    print_table(("key", "state", "effect", "service", "version", "saved", "name", "id"), rows)


def print_one(agent: str, policy: str, *, data_dir: Path | None, as_json: bool) -> None:
    """Print a policy: its Cedar text, or all of it as JSON."""

    async def work(host: Host) -> StoredPolicy:
        return await _get(host, agent, policy)

    found = on_host(work, data_dir=data_dir)
    cedar = _cedar(found.document)
    if as_json:
        print_json({**_render(found), "cedar": cedar})
    else:
        print_line(cedar.rstrip())


def print_diff(
    agent: str, policy: str, *, before: int | None, after: int | None, data_dir: Path | None, as_json: bool
) -> None:
    """Print what two versions of a policy differ in."""

    async def work(host: Host) -> tuple[PolicyVersion, PolicyVersion]:
        found = await _get(host, agent, policy)
        return await host.database.read(policies.get_versions, policy=found, before=before, after=after)

    older, newer = on_host(work, data_dir=data_dir)
    changes = compare(older.document, newer.document)
    names = (f"version {older.version}", f"version {newer.version}")
    text = unified(_cedar(older.document), _cedar(newer.document), names=names)
    if as_json:
        told: JsonObject = {"from": older.version, "to": newer.version, "cedar": text}
        print_json(told | {"changes": [asdict(change) for change in changes]})
        return
    for change in changes:
        print_line(change.text)
    if text:
        print_line(text.rstrip())


async def _all(host: Host, agent: str) -> Sequence[StoredPolicy]:
    agent_id = (await get_agent(host, agent)).agent.id
    return await host.database.read(policies.list_all_policies, agent_id=agent_id)


async def _get(host: Host, agent: str, policy: str) -> StoredPolicy:
    for one in await _all(host, agent):
        if policy in (one.id, one.key):
            return one
    raise NotFound(f"no policy `{policy}`: `wicket policies list` shows keys and ids")


def _render(policy: StoredPolicy) -> JsonObject:
    return {
        "id": policy.id,
        "key": policy.key,
        "version": policy.version,
        **render_policy(policy.document),
    }


def _cedar(document: PolicyDocument) -> str:
    return render_cedar(document, namespace_of(document.service))
