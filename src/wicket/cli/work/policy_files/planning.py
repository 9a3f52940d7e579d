"""What has to be done for an agent's policies to be those of a file. Pure: stored policies in, steps out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from wicket.cli.work.policy_files.document import FiledPolicy
from wicket.core.policy.diff import Change, compare
from wicket.core.policy.document import PolicyDocument
from wicket.store.policies import StoredPolicy


class StepKind(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    ENABLE = "enable"
    DISABLE = "disable"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """One change to one policy."""

    kind: StepKind
    key: str
    document: PolicyDocument
    """As the file wants it; of a deletion, what is deleted."""
    stored: StoredPolicy | None = None
    """What is there now; None for a creation."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """What an update changes."""
        if self.kind is not StepKind.UPDATE or self.stored is None:
            return ()
        return compare(self.stored.document, self.document)


def plan(stored: Sequence[StoredPolicy], wanted: Sequence[FiledPolicy]) -> tuple[Step, ...]:
    """The steps from what is stored to what a file wants, in the file's order; what the file lacks goes last.

    Policies are told by their keys, so that one which is renamed stays the same policy.
    """
    by_key = {policy.key: policy for policy in stored}
    steps = [step for policy in wanted for step in _steps(policy, by_key.get(policy.key))]
    named = {policy.key for policy in wanted}
    gone = [Step(StepKind.DELETE, one.key, one.document, one) for one in stored if one.key not in named]
    return (*steps, *gone)


def _steps(wanted: FiledPolicy, stored: StoredPolicy | None) -> list[Step]:
    if stored is None:
        return [Step(StepKind.CREATE, wanted.key, wanted.document)]
    steps = []
    if replace(stored.document, enabled=wanted.document.enabled) != wanted.document:
        steps.append(Step(StepKind.UPDATE, wanted.key, wanted.document, stored))
    if stored.document.enabled is not wanted.document.enabled:
        kind = StepKind.ENABLE if wanted.document.enabled else StepKind.DISABLE
        steps.append(Step(kind, wanted.key, wanted.document, stored))
    return steps
