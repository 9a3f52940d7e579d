"""Why an entry was decided as it was: its request, put again to the conditions of the policies that bound it."""

from dataclasses import dataclass

import sqlalchemy as sa

from wicket.core.errors import NotFound
from wicket.core.model import Effect, Reason
from wicket.core.policy import recorded
from wicket.core.policy.engine import explain_again
from wicket.core.policy.explanation import Explanation
from wicket.core.policy.slices import Index
from wicket.store import tables
from wicket.store.audit.render import SELECT_ENTRIES, AnyRow, load_json
from wicket.store.audit.viewer import viewer_of
from wicket.store.instants import from_us
from wicket.store.policies.history import policies_under


@dataclass(frozen=True, slots=True)
class Explained:
    """An entry's decision, and what led to it as far as its reader may know."""

    entry_id: str
    decision: Effect
    reason_code: Reason
    reason: str
    explanation: Explanation | None
    """None: which policies the agent has is not the reader's to know."""
    is_exact: bool
    """Whether these are surely the policies that bound the call; what was decided before they were noted may differ."""


def explain_entry(tx: sa.Connection, *, account_id: str | None, entry_id: str) -> Explained:
    """Explain one entry; raises NotFound, also when the account may not see it."""
    viewer = viewer_of(tx, account_id=account_id)
    row = tx.execute(SELECT_ENTRIES.where(tables.audit.c.id == entry_id, viewer.visible)).one_or_none()
    if row is None:
        raise NotFound(f"there is no audit entry `{entry_id}`: list them to find the id")
    body = load_json(row.body)
    is_withheld = viewer.is_withheld(row.agent_id, row.member_id)
    found: Explanation | None = None
    is_exact = True
    if not is_withheld:
        found, is_exact = _explain(tx, row, body) if "request" in body else (Explanation(), True)
    return Explained(
        entry_id,
        Effect.DENY if row.denied else Effect.ALLOW,
        Reason(row.reason_code),
        body.get("reasonWithheld", row.reason) if is_withheld else row.reason,
        found,
        is_exact,
    )


def _explain(tx: sa.Connection, row: AnyRow, body: dict[str, object]) -> tuple[Explanation, bool]:
    request, revision = body["request"], body["revision"]
    if not isinstance(request, dict) or not isinstance(revision, int):
        return Explanation(), False
    in_force = policies_under(tx, agent_id=row.agent_id, revision=revision, at=from_us(row.decided_at))
    call = recorded.call_of(
        request,
        method=str(body["method"]),
        service=row.service,
        member_id=row.member_id,
        caller_ip=row.caller_ip,
        arguments={},
    )
    # A policy of a trusted agent is nobody's own, and one of an untrusted agent somebody's: that never changes.
    binding = [policy for policy in in_force.policies if policy.member_id in (None, row.member_id)]
    covering = Index(binding).find_covering(recorded.subject_of(call))
    return explain_again(request, covering), in_force.is_exact
