"""`wicket policies export` and `apply`: from the database to a file, and back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from wicket.app import known_zones, local_connectors
from wicket.cli.output import print_json, print_line
from wicket.cli.work.agents import get_agent
from wicket.cli.work.host import Host, now, on_host
from wicket.cli.work.policy_files import trying
from wicket.cli.work.policy_files.document import (
    FiledPolicy,
    People,
    named_agent,
    parse_file,
    render_file,
)
from wicket.cli.work.policy_files.outcome import Draft, Outcome, print_outcome, print_tests
from wicket.cli.work.policy_files.planning import Step, StepKind, plan
from wicket.cli.work.policy_files.yaml import read_yaml, render_yaml
from wicket.core.errors import Invalid, NotFound
from wicket.core.model import JsonObject
from wicket.store import policies, worlds
from wicket.store.agents import StoredAgent
from wicket.store.db import Transaction
from wicket.store.members import list_members
from wicket.store.page import PAGE_MAX
from wicket.store.policies import KnownTools, StoredPolicy, together


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


@dataclass(frozen=True, slots=True)
class Wish:
    """What `apply` is asked to do."""

    file: Path
    agent: str | None
    note: str | None = None
    changed_max: int | None = None
    """Apply only where at most so many past calls would be decided otherwise; None: any number."""
    window: timedelta = timedelta(days=1)
    """Of past calls, back from now; none where it is zero."""
    is_check: bool = False
    """Whether nothing is to be changed, only looked at."""


def apply(wish: Wish, *, data_dir: Path | None, as_json: bool) -> bool:
    """Make an agent's policies those of a file, all at once, if its tests pass; say whether all was well."""
    outcome = on_host(lambda host: _apply(host, wish), data_dir=data_dir)
    print_outcome(outcome, as_json=as_json)
    return not outcome.objections


def try_file(file: Path, *, agent: str | None, data_dir: Path | None, as_json: bool) -> bool:
    """Run a file's tests; say whether all of them pass."""

    async def work(host: Host) -> Outcome:
        draft = await read_draft(host, file, agent)
        return Outcome(draft, tested=trying.run_tests(draft.drafted, draft.file.tests))

    outcome = on_host(work, data_dir=data_dir)
    print_tests(outcome, as_json=as_json)
    return not outcome.failed


async def _apply(host: Host, wish: Wish) -> Outcome:
    draft = await read_draft(host, wish.file, wish.agent)
    outcome = Outcome(
        draft,
        tested=trying.run_tests(draft.drafted, draft.file.tests),
        replayed=await _replayed(host, draft, wish),
        changed_max=wish.changed_max,
    )
    known = await host.database.read(policies.load_known_tools, agent_id=draft.agent.agent_id)
    for step in draft.steps:
        await host.database.read(_check, draft=draft, step=step, known_tools=known)
    if wish.is_check or outcome.objections or not draft.steps:
        return outcome
    await host.database.change(
        together.change_policies,
        agent=draft.agent,
        changes=_changes_of(draft.steps),
        actor_id=None,
        note=wish.note,
        now=now(),
        known_tools=known,
        agents=[draft.agent.agent_id],
    )
    return replace(outcome, is_applied=True)


async def _replayed(host: Host, draft: Draft, wish: Wish) -> trying.Replayed | None:
    if not draft.steps or not wish.window:
        return None
    return await trying.replay(host, draft.world, draft.drafted, window=wish.window, until=now())


def _check(tx: Transaction, *, draft: Draft, step: Step, known_tools: KnownTools) -> None:
    """What a save would refuse, found before anything else is said of it."""
    if step.kind is not StepKind.DELETE:
        policies.check(tx, agent=draft.agent, document=step.document, note=None, known_tools=known_tools)


async def read_draft(host: Host, path: Path, name: str | None) -> Draft:
    """Read a file and hold it against what is stored; raises NotFound, or Invalid that says where the file is wrong."""
    raw = read_yaml(path)
    try:
        agent = (await get_agent(host, name or named_agent(raw))).agent
        stored, people = await _read(host, agent)
        file = parse_file(raw, people, known_zones=known_zones())
    except Invalid as problem:
        raise Invalid(f"{path}: {problem.sentence}", field=problem.field, code=problem.code) from problem
    world = await host.database.read(worlds.load, agent.agent_id, local=local_connectors(host.settings))
    if world is None:
        raise NotFound(f"there is no agent `{agent.name}` any more")
    return Draft(agent, world, file, plan(stored, file.policies))


async def _read(host: Host, agent: StoredAgent) -> tuple[Sequence[StoredPolicy], People]:
    """An agent's policies and people, all of them."""
    stored = await host.database.read(policies.list_all_policies, agent_id=agent.agent_id)
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
