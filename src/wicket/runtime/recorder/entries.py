"""From what was judged to the entry that says so, and to the session's next facts. Pure but for the guard."""

import traceback
from collections.abc import Sequence

import structlog

from wicket.core.jsonrpc import render_json_text
from wicket.core.model import Call, Decision, JsonObject, Reason
from wicket.core.policy.explain import Told, tell
from wicket.core.session import Facts, after_call
from wicket.core.world import World
from wicket.runtime.recorder.values import Attempt, Judged
from wicket.store.audit.entry import Entry

GONE = Judged(Decision(reason=Reason.KEY_REVOKED), counts=False)
"""The agent is no more, and its keys with it."""

_log = structlog.get_logger()


def judge_safely(attempt: Attempt, world: World, facts: Facts) -> Judged:
    """Run the attempt's judge; whatever it raises is a denial, which is recorded like any other."""
    try:
        return attempt.judge(world, facts)
    except Exception as error:  # noqa: BLE001 - the top of every decision: what cannot be judged is denied
        # Neither the message, which may hold arguments, nor a rendered traceback, which takes too long here.
        _log.error("a call could not be judged", entry_id=attempt.entry_id, error=_described(error))
        return Judged(Decision(reason=Reason.POLICY_ERRORED, detail=type(error).__name__))


def _described(error: Exception) -> str:
    """Which error, and where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {frame.filename}:{frame.lineno}"


def facts_after(before: Facts, judged: Judged) -> Facts:
    """The session's facts behind a call that counts."""
    if judged.call is None:
        return before._replace(call_count=before.call_count + 1, deny_count=before.deny_count + 1)
    return after_call(before, judged.call, judged.decision, judged.labels)


def build_entry(
    attempt: Attempt, world: World, judged: Judged, *, session_id: str | None, decision_ms: float
) -> Entry:
    """What the log keeps of a call: enough to show it, to search for it, and to decide it again."""
    decision, call = judged.decision, judged.call
    told = judged.told or tell(call, decision, world.agent_name)
    service, tool, caller_ip, resource, reason = storable(
        attempt.service,
        attempt.tool if call is None else call.tool,
        attempt.caller_ip,
        told.resource,
        told.sentence,
    )
    deny_message = decision.deny_message
    return Entry(
        id=attempt.entry_id,
        decided_at=attempt.decided_us,
        agent_id=attempt.agent_id,
        agent_name=world.agent_name,
        service=service,
        tool=tool,
        member_id=attempt.member_id,
        key_id=attempt.key_id,
        session_id=session_id,
        denied=not decision.allowed,
        reason_code=decision.reason.value,
        caller_ip=caller_ip,
        resource=resource,
        reason=reason,
        deny_message=None if deny_message is None else storable(deny_message)[0],
        body=_body(attempt, world, call, told, decision_ms),
        policy_ids=tuple([policy.id for policy in decision.matched]),
    )


def _body(attempt: Attempt, world: World, call: Call | None, told: Told, decision_ms: float) -> str:
    member = world.members.get(attempt.member_id)
    own: JsonObject = {
        "method": attempt.method,
        "memberName": None if member is None else member.email,
        "revision": world.revision,
        # As they are decided and forwarded: ids of resources, so nothing in them is a secret.
        "toolArgs": attempt.redacted_args | call.canonical
        if call is not None and call.canonical
        else attempt.redacted_args,
        "decisionMs": decision_ms,
        "requestBytes": attempt.request_bytes,
        "clientName": attempt.client_name,
        "clientVersion": attempt.client_version,
        "protocolVersion": attempt.protocol_version,
    }
    return f"{render_json_text(own)[:-1]},{told.members}}}"


def storable(*texts: str) -> Sequence[str]:
    """Texts as both databases can hold them: no NUL, no half of a surrogate pair."""
    together = "".join(texts)
    if together.isascii() and "\0" not in together:
        return texts
    return [text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0") for text in texts]
