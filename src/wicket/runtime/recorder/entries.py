"""From what was judged to the entry that says so, and to the session's next facts. Pure but for the guard."""

import json
import traceback
from dataclasses import replace
from typing import Final

import structlog

from wicket.core.model import Decision, Json, JsonObject, PolicyRef, Reason
from wicket.core.policy.explain import explain_sentence
from wicket.core.session import Facts, after_call
from wicket.core.world import World
from wicket.runtime.recorder.values import Attempt, Judged
from wicket.store.audit.entry import Entry
from wicket.store.instants import to_us

GONE = Judged(Decision(reason=Reason.KEY_REVOKED), counts=False)
"""The agent is no more, and its keys with it."""

to_json: Final = json.JSONEncoder(separators=(",", ":")).encode
"""JSON text as it is stored; made once, since `json.dumps` would make an encoder for each."""

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
        return replace(before, call_count=before.call_count + 1, deny_count=before.deny_count + 1)
    return after_call(before, judged.call, judged.decision, judged.labels)


def build_entry(
    attempt: Attempt, world: World, judged: Judged, *, session_id: str | None, decision_ms: float
) -> Entry:
    """What the log keeps of a call: enough to show it, to search for it, and to decide it again."""
    decision, call = judged.decision, judged.call
    return Entry(
        id=attempt.entry_id,
        decided_at=to_us(attempt.decided_at),
        agent_id=attempt.agent_id,
        agent_name=world.agent_name,
        service=storable(attempt.service),
        tool=storable(attempt.tool if call is None else call.tool),
        member_id=attempt.member_id,
        key_id=attempt.key_id,
        session_id=session_id,
        denied=not decision.allowed,
        reason_code=decision.reason,
        caller_ip=storable(attempt.caller_ip),
        resource=storable(str(call.resources[0].uid)) if call is not None and call.resources else "",
        reason=storable(judged.sentence or explain_sentence(call, decision, world.agent_name)),
        deny_message=None if decision.deny_message is None else storable(decision.deny_message),
        body=to_json(_body(attempt, world, judged, decision_ms)),
        policy_ids=tuple(policy.id for policy in decision.matched),
    )


def _body(attempt: Attempt, world: World, judged: Judged, decision_ms: float) -> JsonObject:
    decision, call = judged.decision, judged.call
    member = world.members.get(attempt.member_id)
    body: JsonObject = {
        "method": attempt.method,
        "memberName": None if member is None else member.email,
        "revision": world.revision,
        "toolArgs": attempt.redacted_args,
        "matchedPolicies": [_policy(policy) for policy in decision.matched],
        "decisionMs": decision_ms,
        "requestBytes": attempt.request_bytes,
        "clientName": attempt.client_name,
        "clientVersion": attempt.client_version,
        "protocolVersion": attempt.protocol_version,
    }
    if call is not None:
        resources: list[Json] = [str(resource.uid) for resource in call.resources]
        body |= {"principal": str(call.principal), "action": str(call.action), "resources": resources}
    if decision.matched:
        body["reasonWithheld"] = explain_sentence(call, decision, world.agent_name, with_policies=False)
    if decision.detail:
        body["detail"] = decision.detail
    if decision.request is not None:
        body["request"] = decision.request
    return body


def _policy(policy: PolicyRef) -> Json:
    return {
        "id": policy.id,
        "key": policy.key,
        "name": policy.name,
        "version": policy.version,
        "effect": policy.effect,
        "digest": policy.digest,
    }


def storable(text: str) -> str:
    """Text as both databases can hold it: no NUL, no half of a surrogate pair."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
