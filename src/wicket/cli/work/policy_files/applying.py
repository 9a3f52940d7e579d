"""`wicket policies export` and `apply`: from the database to a file, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import available_timezones

from wicket.cli.output import print_json, print_line, say
from wicket.cli.work.agents import get_agent
from wicket.cli.work.host import Host, now, on_host
from wicket.cli.work.policy_files.document import (
    FiledPolicy,
    People,
    PolicyFile,
    named_agent,
    parse_file,
    render_file,
)
from wicket.cli.work.policy_files.planning import SIGNS, Step, StepKind, plan
from wicket.cli.work.policy_files.yaml import read_yaml, render_yaml
from wicket.core.errors import Invalid
from wicket.core.model import Json, JsonObject
from wicket.store import policies
from wicket.store.agents import StoredAgent
from wicket.store.members import list_members
from wicket.store.page import PAGE_MAX
from wicket.store.policies import StoredPolicy, together


@dataclass(frozen=True, slots=True)
class Draft:
    """A file beside the agent that it is about."""

    agent: StoredAgent
    file: PolicyFile
    steps: tuple[Step, ...]


def export(name: str, *, data_dir: Path | None, as_json: bool) -> None:
    """Print an agent's policies as a file that `apply` takes."""

    async def work(host: Host) -> JsonObject:
        agent = (await get_agent(host, name)).agent
        stored, people = await _read(host, agent)
        return render_file(agent.name, [FiledPolicy(one.key, one.document) for one in stored], people)

    content = on_host(work, data_dir=data_dir)
    if as_json:
        print_json(content)
    else:
        print_line(render_yaml(content).rstrip("\n"))


def apply(path: Path, *, agent: str | None, note: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Make an agent's policies those of a file, all at once; print what was done."""

    async def work(host: Host) -> Draft:
        draft = await read_draft(host, path, agent)
        if draft.steps:
            known = await host.database.read(policies.load_known_tools, agent_id=draft.agent.agent_id)
            await host.database.change(
                together.change_policies,
                agent=draft.agent,
                changes=_changes_of(draft.steps),
                actor_id=None,
                note=note,
                now=now(),
                known_tools=known,
                agents=[draft.agent.agent_id],
            )
        return draft

    print_plan(on_host(work, data_dir=data_dir), as_json=as_json, is_done=True)


async def read_draft(host: Host, path: Path, name: str | None) -> Draft:
    """Read a file and hold it against what is stored; raises NotFound, or Invalid that says where the file is wrong."""
    raw = read_yaml(path)
    try:
        agent = (await get_agent(host, name or named_agent(raw))).agent
        stored, people = await _read(host, agent)
        file = parse_file(raw, people, known_zones=frozenset(available_timezones()))
    except Invalid as problem:
        raise Invalid(f"{path}: {problem.sentence}", field=problem.field, code=problem.code) from problem
    return Draft(agent, file, plan(stored, file.policies))


async def _read(host: Host, agent: StoredAgent) -> tuple[Sequence[StoredPolicy], People]:
    """An agent's policies and people, all of them."""
    stored: list[StoredPolicy] = []
    while True:
        page = await host.database.read(
            policies.list_policies, agent_id=agent.agent_id, limit=PAGE_MAX, offset=len(stored)
        )
        stored += page.items
        if not page.items or len(stored) >= page.total:
            break
    people = await host.database.read(list_members, agent_id=agent.agent_id, limit=PAGE_MAX)
    return stored, People(people.items)


def _changes_of(steps: Sequence[Step]) -> list[together.PolicyChange]:
    changes: dict[str, together.PolicyChange] = {}
    for step in steps:
        if step.stored is None:
            changes[step.key] = together.Creation(step.key, step.document)
        elif step.kind is StepKind.DELETE:
            changes[step.key] = together.Deletion(step.stored)
        else:
            changes[step.key] = together.Revision(step.stored, step.document)
    return [*changes.values()]


def print_plan(draft: Draft, *, as_json: bool, is_done: bool) -> None:
    """Say what a file changes, or has changed."""
    if as_json:
        steps: list[Json] = [_render(step) for step in draft.steps]
        print_json(
            {"agentId": draft.agent.agent_id, "agent": draft.agent.name, "steps": steps, "applied": is_done}
        )
        return
    for step in draft.steps:
        print_line(f"{SIGNS[step.kind]} {step.kind} {step.key}")
        for change in step.changes:
            print_line(f"    {change.text}")
    if not draft.steps:
        say(f"the policies of `{draft.agent.name}` are those of the file")
    elif is_done:
        say(f"{len(draft.steps)} changes of `{draft.agent.name}`, in force now")


def _render(step: Step) -> JsonObject:
    changes: list[Json] = [change.text for change in step.changes]
    return {"kind": step.kind.value, "key": step.key, "name": step.document.name, "changes": changes}
