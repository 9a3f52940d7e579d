"""Recorded calls decided again, under a draft and under the other policies alone.

Pure but for its memory: one `Replay` takes the entries of a stretch of the log in their order, oldest first, because a
tool session's facts are simulated along the way, once for each of the two sets of policies.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from wicket.core.model import Call, Decision, Effect, JsonObject, PolicyEffect, PolicyRef, Reason
from wicket.core.policy import engine, recorded
from wicket.core.policy.arguments import ArgumentCondition
from wicket.core.policy.redacted_arguments import recognise
from wicket.core.policy.slices import RuledWorld, Subject, find_covering
from wicket.core.redaction import Redactor
from wicket.core.session import FRESH, Facts, after_call

NOT_COUNTED: Final = frozenset({
    Reason.AGENT_DISABLED, Reason.MEMBER_NOT_APPROVED, Reason.RATE_LIMITED, Reason.KEY_REVOKED, Reason.UNKNOWN_SESSION,
    Reason.AUDIT_UNAVAILABLE,
})  # fmt: skip
"""Refusals that a tool session does not count."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Past:
    """An entry of the log, as far as it is decided again."""

    id: str
    decided_us: int
    service: str
    tool: str
    member_id: str
    session_id: str | None
    caller_ip: str
    denied: bool
    reason_code: Reason
    body: dict[str, Any]

    @property
    def effect(self) -> Effect:
        return Effect.DENY if self.denied else Effect.ALLOW


@dataclass(frozen=True, slots=True)
class Again:
    """What an entry comes to now."""

    past: Past
    draft: Decision | None = None
    baseline: Decision | None = None
    """Without the draft, and without the policy in whose place it is."""
    unmatched: str = ""
    """Why it cannot be decided again; then there are no decisions."""

    @property
    def changed(self) -> bool:
        return self.draft is not None and self.draft.effect is not self.past.effect


class Replay:
    """Decides entries again, each behind those before it."""

    def __init__(
        self,
        draft: RuledWorld,
        baseline: RuledWorld,
        *,
        find_gone: Callable[[Past], str | None],
        labels_of: Callable[[Call], frozenset[str]],
        redactor: Redactor | None = None,
    ) -> None:
        """`find_gone` says what is there no more that a call was made of: its member, its tool.

        `labels_of` says what an allowed call leaves behind in its session.
        `redactor` is the one that the entries went through; without it no redacted argument can be judged.
        """
        self._draft = draft
        self._labels_of = labels_of
        self._baseline = baseline
        self._find_gone = find_gone
        self._redactor = redactor
        self._conditions: dict[Subject, tuple[ArgumentCondition, ...]] = {}
        self._sessions: dict[str, tuple[Facts, Facts]] = {}

    def knows(self, session_id: str) -> bool:
        """Whether the facts of a session are known so far."""
        return session_id in self._sessions

    def begin(self, session_id: str) -> None:
        """A session whose earlier calls, if it has any, are told by `remember` next."""
        self._sessions.setdefault(session_id, (FRESH, FRESH))

    def remember(self, past: Past) -> None:
        """A call of before the stretch, which counts as it was decided then."""
        self._count(past, None, None, None)

    def take(self, past: Past) -> Again:
        """Decide the next entry again."""
        trouble, call = self._trouble(past), None
        if trouble is None:
            trouble, call = self._understood(past)
        if call is None:
            self._count(past, None, None, None)
            return Again(past, unmatched=trouble or "")
        facts = self._sessions.get(past.session_id or "", (FRESH, FRESH))
        at = _EPOCH + timedelta(microseconds=past.decided_us)
        draft = engine.decide(self._draft, call, facts[0], at).decision
        baseline = engine.decide(self._baseline, call, facts[1], at).decision
        self._count(past, call, draft, baseline)
        return Again(past, draft, baseline)

    def _trouble(self, past: Past) -> str | None:
        if not isinstance(past.body.get("request"), dict):
            return f"the policies were not asked: {past.reason_code.value}"
        return self._find_gone(past)

    def _understood(self, past: Past) -> tuple[str | None, Call | None]:
        """The call with what is known of its redacted arguments, or why it cannot be judged."""
        call = _read(past)
        if call is None:
            return "the recorded request cannot be read", None
        arguments, lost = recognise(call.arguments, self._conditions_on(call), self._redactor)
        if lost is not None:
            return f"the argument `{lost}` was redacted", None
        return None, call if arguments is call.arguments else replace(call, arguments=arguments)

    def _conditions_on(self, call: Call) -> tuple[ArgumentCondition, ...]:
        subject = recorded.subject_of(call)
        found = self._conditions.get(subject)
        if found is None:
            covering = (*find_covering(self._draft, subject), *find_covering(self._baseline, subject))
            found = tuple(dict.fromkeys(one for policy in covering for one in policy.document.arguments))
            self._conditions[subject] = found
        return found

    def _count(
        self, past: Past, call: Call | None, draft: Decision | None, baseline: Decision | None
    ) -> None:
        if past.session_id is None or past.reason_code in NOT_COUNTED:
            return
        before = self._sessions.get(past.session_id, (FRESH, FRESH))
        then = _decided(past)
        call = call or _read(past)
        first = self._after(before[0], call, draft or then)
        # The two differ only where decisions do.
        is_same = before[0] is before[1] and (draft or then) == (baseline or then)
        second = first if is_same else self._after(before[1], call, baseline or then)
        self._sessions[past.session_id] = (first, second)

    def _after(self, before: Facts, call: Call | None, decision: Decision) -> Facts:
        if call is None:
            return before._replace(call_count=before.call_count + 1, deny_count=before.deny_count + 1)
        return after_call(before, call, decision, self._labels_of(call))


def _read(past: Past) -> Call | None:
    """The call, or None where none was recorded that can be read."""
    request, arguments = past.body.get("request"), past.body.get("toolArgs")
    if not isinstance(request, dict):
        return None
    try:
        return recorded.call_of(
            request,
            method=str(past.body.get("method", "tools/call")),
            service=past.service,
            member_id=past.member_id,
            caller_ip=past.caller_ip,
            arguments=arguments if isinstance(arguments, dict) else {},
        )
    except ValueError:
        return None


def _decided(past: Past) -> Decision:
    """The decision of then, as far as sessions count it."""
    matched = tuple(
        PolicyRef(one["id"], one["key"], one["name"], one["version"], PolicyEffect(one["effect"]))
        for one in past.body.get("matchedPolicies", ())
    )
    return Decision(past.effect, past.reason_code, matched)


def render_again(again: Again, *, timestamp: str) -> JsonObject:
    """A row as it stands on the wire."""
    past, draft, baseline = again.past, again.draft, again.baseline
    return {
        "id": past.id,
        "timestamp": timestamp,
        "memberId": past.member_id,
        "service": past.service,
        "tool": past.tool,
        "decision": past.effect.value,
        "reasonCode": past.reason_code.value,
        "draftDecision": None if draft is None else draft.effect.value,
        "draftReasonCode": None if draft is None else draft.reason.value,
        "draftPolicyIds": [] if draft is None else [ref.key for ref in draft.matched],
        "baselineDecision": None if baseline is None else baseline.effect.value,
        "changed": again.changed,
        "unmatched": again.unmatched or None,
    }
