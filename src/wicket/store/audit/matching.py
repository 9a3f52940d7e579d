"""Whether one entry is what a reader asked for, in Python: the same that planning.py has the database find.

For entries that have just been committed and are at hand. What needs the database, who may see what and which ids a
name stands for, is read once for many of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from wicket.core.model import Effect, Outcome
from wicket.store.audit.filters import AuditFilter, has_part
from wicket.store.audit.render import EndingRow, EntryRow, load_json
from wicket.store.audit.viewer import Viewer, member_ids, policy_ids, viewer_of


@dataclass(frozen=True, slots=True)
class Text:
    """What the parts of names and free text are looked for in."""

    agent: str
    tool: str
    resource: str
    reason: str
    deny_message: str | None


def texts_match(wanted: AuditFilter, text: Text, *, is_withheld: bool) -> bool:
    """Whether an entry's texts hold the parts that are asked for."""
    if wanted.agent is not None and not has_part(text.agent, wanted.agent):
        return False
    if wanted.tool is not None and not has_part(text.tool, wanted.tool):
        return False
    if wanted.q is None:
        return True
    told = () if is_withheld else (text.reason, text.deny_message)
    return any(has_part(one, wanted.q) for one in (text.tool, text.resource, *told))


@dataclass(frozen=True, slots=True)
class Lens:
    """What one reader wants to see and may see, as of one moment."""

    wanted: AuditFilter
    viewer: Viewer
    policies: frozenset[str] | None
    members: frozenset[str] | None

    def is_withheld(self, row: EntryRow) -> bool:
        """Whether policy identities are to be left out of the entry."""
        return self.viewer.is_withheld(row[4], row[8])

    def shows(self, row: EntryRow, endings: Sequence[EndingRow] = ()) -> bool:
        """Whether the reader sees this entry, ended so."""
        entry_id, _, _, _, agent_id, agent_name, service, tool = row[:8]
        member_id, _, session_id, denied, reason_code, caller_ip = row[8:14]
        resource, reason, deny_message, body, _ = row[14:]
        wanted, is_withheld = self.wanted, self.is_withheld(row)
        return (
            self.viewer.may_see(agent_id, member_id)
            and wanted.agent_id in (None, agent_id)
            and (self.members is None or member_id in self.members)
            and wanted.service in (None, service)
            and wanted.session in (None, session_id)
            and wanted.reason in (None, reason_code)
            and wanted.ip in (None, caller_ip)
            and (wanted.from_id or "") <= entry_id <= (wanted.to_id or entry_id)
            and wanted.result in (None, Effect.DENY if denied else Effect.ALLOW)
            and (wanted.outcome is None or _ended_as(wanted.outcome, endings, is_denied=denied))
            and texts_match(
                wanted, Text(agent_name, tool, resource, reason, deny_message), is_withheld=is_withheld
            )
            and (self.policies is None or (not is_withheld and _cites(body, self.policies)))
        )


def load_lens(tx: sa.Connection, *, account_id: str | None, wanted: AuditFilter) -> Lens:
    """What the account may see now of what it wants; None is the host's operator."""
    viewer = viewer_of(tx, account_id=account_id)
    return Lens(
        wanted,
        viewer,
        policies=None if wanted.policy is None else frozenset(policy_ids(tx, wanted.policy, viewer)),
        members=None if wanted.member is None else frozenset(member_ids(tx, wanted.member, viewer)),
    )


def _cites(body: str, policies: frozenset[str]) -> bool:
    return any(policy["id"] in policies for policy in load_json(body)["matchedPolicies"])


def _ended_as(outcome: Outcome, endings: Sequence[EndingRow], *, is_denied: bool) -> bool:
    found = {ending[3] for ending in endings}
    match outcome:
        case Outcome.PENDING:
            return not is_denied and not found
        case Outcome.REFUSED:
            return is_denied or outcome in found
        case Outcome.INTERRUPTED:
            return found == {outcome}
        case _:
            return outcome in found
