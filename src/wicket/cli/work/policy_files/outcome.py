"""What a file of policies was found to do, and how that is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wicket.cli.output import print_json, print_line, say
from wicket.cli.work.policy_files.document import PolicyFile
from wicket.cli.work.policy_files.planning import Step, StepKind
from wicket.cli.work.policy_files.trying import Replayed, Tried, under_file
from wicket.core.model import Json, JsonObject
from wicket.core.world import World
from wicket.store.agents import StoredAgent

SIGNS: Final[Mapping[StepKind, str]] = {
    StepKind.CREATE: "+",
    StepKind.UPDATE: "~",
    StepKind.ENABLE: "~",
    StepKind.DISABLE: "~",
    StepKind.DELETE: "-",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A file beside the agent that it is about."""

    agent: StoredAgent
    world: World
    """As it is now."""
    file: PolicyFile
    steps: tuple[Step, ...]

    @property
    def drafted(self) -> World:
        """As it would be under the file."""
        return under_file(self.world, self.file.policies)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a file was found to do, and whether it was done."""

    draft: Draft
    tested: Sequence[Tried] = ()
    replayed: Replayed | None = None
    changed_max: int | None = None
    is_applied: bool = False

    @property
    def failed(self) -> list[Tried]:
        return [test for test in self.tested if test.trouble]

    @property
    def objections(self) -> list[str]:
        """Why the file is not applied."""
        found = [f"{len(self.failed)} of {len(self.tested)} tests failed"] if self.failed else []
        changed = 0 if self.replayed is None else self.replayed.changed
        if self.changed_max is not None and changed > self.changed_max:
            found.append(
                f"{changed} past calls would be decided otherwise, at most {self.changed_max} may be"
            )
        return found


def print_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """Say what a file changes or has changed, what its tests and past calls say of it, and why it was not applied."""
    if as_json:
        print_json(_render(outcome))
    else:
        for step in outcome.draft.steps:
            print_line(f"{SIGNS[step.kind]} {step.kind} {step.key}")
            for change in step.changes:
                print_line(f"    {change.text}")
        _print_failed(outcome)
        if outcome.replayed is not None:
            _print_replayed(outcome.replayed)
    name = outcome.draft.agent.name
    if outcome.objections:
        say(f"not applied: {', '.join(outcome.objections)}")
    elif not outcome.draft.steps:
        say(f"the policies of `{name}` are those of the file")
    elif outcome.is_applied:
        say(f"{len(outcome.draft.steps)} changes of `{name}`, in force now")
    else:
        say(f"{len(outcome.draft.steps)} changes of `{name}` could be applied")


def print_tests(outcome: Outcome, *, as_json: bool) -> None:
    """Say how a file's tests went."""
    if as_json:
        print_json({"tests": _render_tests(outcome), "failed": len(outcome.failed)})
        return
    _print_failed(outcome)
    say(f"{len(outcome.tested) - len(outcome.failed)} of {len(outcome.tested)} tests passed")


def _print_failed(outcome: Outcome) -> None:
    for test in outcome.failed:
        print_line(f"! {test.name}: {test.trouble}")


def _print_replayed(found: Replayed) -> None:
    for row in found.rows:
        print_line(
            f"{row['timestamp']} {row['service']}__{row['tool']}: "
            f"{row['baselineDecision']} -> {row['draftDecision']} ({row['draftReasonCode']}) {row['id']}"
        )
    if found.changed > len(found.rows):
        print_line(f"... and {found.changed - len(found.rows)} more")
    say(
        f"of {found.total} past calls {found.denied} would be denied and {found.allowed} allowed that are not so now; "
        f"{found.unmatched} cannot be decided again"
    )


def _render(outcome: Outcome) -> JsonObject:
    replayed = outcome.replayed
    rows: list[Json] = [] if replayed is None else [*replayed.rows]
    return {
        "agentId": outcome.draft.agent.agent_id,
        "agent": outcome.draft.agent.name,
        "steps": [_render_step(step) for step in outcome.draft.steps],
        "tests": _render_tests(outcome),
        "replay": None
        if replayed is None
        else {
            "total": replayed.total,
            "unmatched": replayed.unmatched,
            "changed": replayed.changed,
            "newlyAllowed": replayed.allowed,
            "newlyDenied": replayed.denied,
            "rows": rows,
        },
        "objections": [*outcome.objections],
        "applied": outcome.is_applied,
    }


def _render_step(step: Step) -> JsonObject:
    changes: list[Json] = [change.text for change in step.changes]
    return {"kind": step.kind.value, "key": step.key, "name": step.document.name, "changes": changes}


def _render_tests(outcome: Outcome) -> list[Json]:
    return [
        {"name": test.name, "passed": not test.trouble, "trouble": test.trouble or None}
        for test in outcome.tested
    ]
