"""Every stable `code` of a problem: its one HTTP status, and what it means to whoever gets it.

A test compares this with what the source raises; the description of the API and the reference page are made of it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Code(NamedTuple):
    """`meaning` is a sentence for people, without a full stop."""

    status: int
    meaning: str


CODES: Final[Mapping[str, Code]] = {
    # What was sent.
    "bad_request": Code(400, "this is not HTTP as it may be sent here: `detail` says what is wrong with it"),
    "invalid": Code(
        400, "the input cannot be accepted: `field` names the part, `detail` says what it may be"
    ),
    "unknown_service": Code(400, "no such service: `/api/connectors/meta` lists what there is"),
    "not_your_key": Code(400, "the member key is not the asker's live key of this agent"),
    "unknown_tool": Code(400, "no such tool or selector of the service: its tools are listed by the API"),
    "wrong_code": Code(400, "the code or link is wrong, used or too old"),
    "unauthenticated": Code(401, "nobody we know asks: send a live token, or sign in"),
    "forbidden": Code(403, "known, but not allowed to"),
    "csrf_failed": Code(403, "a change with a session needs `X-Wicket-CSRF`, from a page of this instance"),
    "insufficient_scope": Code(403, "the token lacks the scope: `read` to read, `write` for everything else"),
    "invite_for_another_address": Code(403, "the invitation is for another address: sign in with that one"),
    "member_not_approved": Code(403, "the membership waits for approval by the agent's owner"),
    "mfa_required": Code(403, "the session has not shown its second factor yet"),
    "mfa_setup_required": Code(
        403, "this instance asks for a second factor, and the account has none: set it up"
    ),
    "owner_only": Code(403, "only the agent's owner may do this"),
    "self_only": Code(403, "only the member may do this, on the own membership"),
    "session_required": Code(403, "this takes a dashboard session: no token does it"),
    "not_found": Code(404, "no such object, or none that the asker may know of"),
    "method_not_allowed": Code(405, "the path does not take the method: `Allow` says which it takes"),
    "request_timeout": Code(408, "the request did not arrive in time: send it again"),
    "body_too_large": Code(413, "the body is larger than what is taken"),
    "unsupported_media_type": Code(415, "bodies are JSON, with `Content-Type: application/json`"),
    # What there is.
    "already_member": Code(409, "the address has a membership of the agent"),
    "ambiguous": Code(409, "several objects have this name: use the id"),
    "conflict": Code(409, "the state of things forbids it: `detail` says which state"),
    "connection_broken": Code(409, "a stored credential does not open any more: connect the service again"),
    "connection_not_needed": Code(409, "the service needs no connection of a member's own"),
    "current_key_required": Code(
        409, "connections are sealed under the current key: send it, or reset it as lost"
    ),
    "idempotency_answer_lost": Code(
        409, "the request with this `Idempotency-Key` was carried out, but its answer is not there any more"
    ),
    "idempotency_key_in_use": Code(409, "a request with this `Idempotency-Key` is under way: try again soon"),
    "key_taken": Code(409, "another connector of this instance has the key: choose another"),
    "policy_key_taken": Code(
        409, "a policy of the agent has the key, or a deleted one had it: choose another"
    ),
    "limit_reached": Code(409, "there are as many as there may be: delete one first"),
    "member_not_active": Code(409, "the membership has ended: ask the agent's owner for an invitation"),
    "member_status": Code(409, "the membership cannot go from its status to the wanted one"),
    "mfa_enrolled": Code(409, "a second factor is set up: disable it first"),
    "mfa_not_begun": Code(409, "no second factor was begun: begin with `/api/auth/mfa/setup`"),
    "mfa_unreadable": Code(
        409, "the stored second factor does not open any more: ask who runs this instance"
    ),
    "name_taken": Code(409, "the owner has one of this name: choose another"),
    "owner_membership": Code(409, "the owner's own membership cannot change: delete the agent instead"),
    "service_not_enabled": Code(409, "the service is not enabled for the agent: its owner can enable it"),
    "token_not_accepted": Code(409, "the service takes no pasted token: authorize it instead"),
    "too_many_agents": Code(409, "the account owns as many agents as it may: delete one first"),
    "too_many_invites": Code(409, "the agent has as many open invitations as it may: revoke one first"),
    "too_many_tokens": Code(409, "the account has as many tokens as it may: revoke one first"),
    "invite_expired": Code(410, "the invitation has expired: ask the agent's owner for another"),
    "invite_revoked": Code(410, "the invitation was revoked: ask the agent's owner for another"),
    "invite_used": Code(410, "the invitation was used"),
    "version_conflict": Code(412, "it changed since the version of `If-Match`: read it again"),
    "idempotency_key_reused": Code(
        422, "another request was sent with this `Idempotency-Key`: make a new key"
    ),
    # What there is too much of: `Retry-After` says when to try again.
    "invited_too_often": Code(429, "the address was invited too often of late"),
    "too_many_attempts": Code(429, "too many wrong codes: ask for another later"),
    "too_many_codes": Code(429, "too many codes were asked for"),
    "too_many_readers": Code(429, "so many exports or live views run already: end one first"),
    "too_many_requests": Code(429, "too many requests of late"),
    # What is not the asker's fault.
    "internal_error": Code(500, "something went wrong here: the server's log says what"),
    "seal_broken": Code(500, "a stored secret does not open any more: it was changed, or its key is gone"),
    "upstream_broken": Code(502, "the server behind the service did not answer properly"),
    "upstream_unreachable": Code(502, "the server behind the service cannot be reached"),
    "unavailable": Code(503, "we cannot now: try again after `Retry-After`"),
    "rules_unreadable": Code(503, "the agent's stored rules cannot be read: the server's log says why"),
    "upstream_timeout": Code(
        504, "the server behind the service was silent, or did not end its answer in time"
    ),
    # What the proxy refuses a call for, where it is tried through the API: reason codes.
    "agent_disabled": Code(403, "the agent is disabled: its owner can enable it"),
    "arguments_rejected": Code(400, "the arguments cannot be sent: `detail` says why"),
    "member_key_required": Code(
        412, "the credential is sealed under the member key: send it in `X-Wicket-Member-Key`"
    ),
    "no_credentials": Code(412, "the call is permitted, but no account is connected for the service"),
    "rate_limited": Code(429, "the key, or the member, makes more calls than its rate allows"),
    "audit_unavailable": Code(503, "nothing can be recorded now, so nothing is sent"),
    "decision_expired": Code(503, "the decision grew old before it could be sent"),
    # Only on the host: at the start of the server, and from commands.
    "data_dir_taken": Code(409, "the directory holds data already: name an empty one"),
    "database_damaged": Code(503, "the database file is damaged: restore a backup"),
    "database_newer": Code(409, "a newer release made the database: run that one"),
    "database_schema": Code(
        409, "the database has another schema than this release: run `wicket db upgrade`"
    ),
    "file_taken": Code(409, "the file exists: name another"),
    "port_taken": Code(409, "another process listens on the port: choose another"),
}
