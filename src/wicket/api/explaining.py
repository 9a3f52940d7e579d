"""Explanations on the wire: each policy that covers a call, and which of its conditions held."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from wicket.api.guards import Guard, by
from wicket.api.http import Caller, EntryId, Parts, guarded_router
from wicket.api.models import Out
from wicket.core.model import Effect, PolicyEffect, Reason
from wicket.core.policy.explanation import Explanation, render_explanation
from wicket.store.explained import explain_entry


class FindingOut(Out):
    field: str = Field(description="of the policy: `time.hours`, `session[0]`")
    holds: bool | None = Field(description="null: it could not be evaluated, which denies the call")
    seen: Any = Field(description="the value in the call; null: unknown")
    required: str
    text: str = Field(description="for people: `hour was 3, allowed 9-17 UTC`")


class PolicyFindingsOut(Out):
    id: str
    key: str
    name: str
    version: int
    effect: PolicyEffect
    matched: bool
    conditions: Sequence[FindingOut]


class ExplanationOut(Out):
    policies: Sequence[PolicyFindingsOut] = Field(description="those that cover the tool and the member")
    nearest: Sequence[str] = Field(
        description="keys of the permits that missed by the fewest conditions, where no forbid decided"
    )
    text: str = Field(description="the nearest permit in a sentence; empty without one")

    @classmethod
    def of(cls, explanation: Explanation) -> "ExplanationOut":
        return cls.model_validate(render_explanation(explanation))


class ExplainedOut(Out):
    entry_id: str
    decision: Effect
    reason_code: Reason
    reason: str
    explanation: ExplanationOut | None = Field(
        description="null for who may not know of the agent's policies"
    )
    is_exact: bool = Field(
        description="false where the policies of then are known by the clock alone: entries of older versions"
    )


def routes() -> APIRouter:
    """`/api/audit/{entryId}/explain`."""
    router = guarded_router("audit")
    router.get("/api/audit/{entryId}/explain", **by(Guard.ACCOUNT))(explain)
    return router


async def explain(entry_id: EntryId, caller: Caller, parts: Parts) -> ExplainedOut:
    """Why one call was decided so: the policies that bound it then, and what each of their conditions saw."""
    found = await parts.db.read(explain_entry, account_id=caller.account_id, entry_id=entry_id)
    return ExplainedOut(
        entry_id=found.entry_id,
        decision=found.decision,
        reason_code=found.reason_code,
        reason=found.reason,
        explanation=None if found.explanation is None else ExplanationOut.of(found.explanation),
        is_exact=found.is_exact,
    )
