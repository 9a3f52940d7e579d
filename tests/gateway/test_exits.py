"""Every way out of the proxy: what the client is told, and what the log says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.gateway.requests import (
    CALL,
    UNKNOWN_KEY,
    Ask,
    allowed,
    asking,
    bad_selector,
    behaving,
    calling,
    denied_without_account,
    disabled,
    disabled_list,
    ended_session,
    forbidden,
    held,
    not_enabled,
    not_enabled_at_endpoint,
    other_param_header,
    pending,
    posting,
    removed,
    revoked,
    rotated,
    session_of_another,
    tool_errs,
    tool_fails,
    unopenable,
    unreachable,
    unreadable,
    unreviewed,
    with_headers,
    with_key,
    without_body,
)
from tests.gateway.scene import scene
from tests.instance import MODERN_META
from tests.upstreams import faults
from wicket.core.model import AuthType, JsonObject, Tier

PARSE, INVALID, METHOD, PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603


@dataclass(frozen=True)
class Logged:
    """The one entry of an exit."""

    reason: str
    outcome: str = "refused"
    allowed: bool = False


def forwarded(outcome: str) -> Logged:
    return Logged("permitted", outcome, allowed=True)


@dataclass(frozen=True)
class Exit:
    name: str
    ask: Ask
    status: int
    code: int | None
    entry: Logged | None = None
    reason: str | None = None
    """`error.data.reason`; by default that of a denied entry."""
    headers: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    auth: AuthType = AuthType.NONE
    permit: bool = True


MODERN_HEADERS = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": "fake__echo"}
MODERN_CALL: JsonObject = {"name": "fake__echo", "_meta": MODERN_META}
QUICK = {"upstream_timeout_s": 0.2}
NOT_APPROVED, NOT_ENABLED = Logged("member_not_approved"), Logged("service_not_enabled")

EXITS = [
    Exit("malformed JSON", posting('{"jsonrpc": "2.0"'), 400, PARSE),
    Exit("a batch", posting([CALL]), 400, INVALID),
    Exit("jsonrpc of another version", posting(CALL | {"jsonrpc": "1.0"}), 400, INVALID),
    Exit("no method", posting({"jsonrpc": "2.0", "id": 1}), 400, INVALID),
    Exit("a call with a null id", posting(CALL | {"id": None}), 400, INVALID),
    Exit("a call without an id", posting({k: v for k, v in CALL.items() if k != "id"}), 400, INVALID),
    Exit("a name without prefix", calling({"name": "echo"}), 400, PARAMS, Logged("unknown_tool")),
    Exit("a name that is no text", calling({"name": 7}), 400, PARAMS, Logged("unknown_tool")),
    Exit("no name", calling({}), 400, PARAMS, Logged("unknown_tool")),
    Exit("a name with a space", calling({"name": "fake__ech o"}), 400, PARAMS, Logged("unknown_tool")),
    Exit(
        "arguments that are a list",
        calling({"name": "fake__echo", "arguments": []}),
        400,
        PARAMS,
        Logged("arguments_rejected"),
    ),
    Exit("no key", with_key(None), 401, INVALID, headers=("www-authenticate",)),
    Exit("an unknown key", with_key(UNKNOWN_KEY), 401, INVALID, headers=("www-authenticate",)),
    Exit("what is no key", with_key("letmein"), 401, INVALID),
    Exit("another scheme", with_headers(("authorization", "Basic {key}")), 401, INVALID),
    Exit("the key in the address", with_headers(path="/mcp?key={key}&access_token={key}"), 401, INVALID),
    Exit("the key as a cookie", with_headers(("cookie", "authorization={key}")), 401, INVALID),
    Exit(
        "two keys",
        with_headers(("authorization", "Bearer {key}"), ("authorization", f"Bearer {UNKNOWN_KEY}")),
        401,
        INVALID,
    ),
    Exit("a revoked key", revoked, 401, INVALID, Logged("key_revoked"), headers=("www-authenticate",)),
    Exit("a rotated key", rotated, 401, INVALID, Logged("key_revoked")),
    Exit("the key of a removed member", removed, 401, INVALID, Logged("key_revoked")),
    Exit("a disabled agent", disabled, 403, INVALID, Logged("agent_disabled")),
    Exit("a list of a disabled agent", disabled_list, 403, INVALID, reason="agent_disabled"),
    Exit("a membership that waits", pending, 403, INVALID, NOT_APPROVED),
    Exit("a foreign page", calling({"name": "fake__echo"}, origin="https://evil.example"), 403, INVALID),
    Exit("a rebound name", calling({"name": "fake__echo"}, host="evil.example"), 403, INVALID),
    Exit(
        "a guessed session",
        calling({"name": "fake__echo"}, mcp_session_id="guessed"),
        404,
        INVALID,
        Logged("unknown_session"),
    ),
    Exit("another member's session", session_of_another, 404, INVALID, Logged("unknown_session")),
    Exit("an ended session", ended_session, 404, INVALID, Logged("unknown_session")),
    Exit("DELETE of a guessed session", without_body("DELETE", mcp_session_id="guessed"), 404, INVALID),
    Exit("GET without a session", without_body("GET"), 405, None, headers=("allow",)),
    Exit("GET of a guessed session", without_body("GET", mcp_session_id="guessed"), 405, None),
    Exit("PUT", without_body("PUT", mcp_session_id="guessed"), 405, None),
    Exit(
        "no account connected",
        denied_without_account,
        412,
        INTERNAL,
        Logged("permitted", allowed=True),
        reason="no_credentials",
        auth=AuthType.BEARER,
    ),
    Exit(
        "an account that does not open",
        unopenable,
        412,
        INTERNAL,
        Logged("permitted", allowed=True),
        reason="no_credentials",
        auth=AuthType.BEARER,
    ),
    Exit(
        "a denial without an account",
        denied_without_account,
        200,
        INVALID,
        Logged("no_permit_matched"),
        auth=AuthType.BEARER,
        permit=False,
    ),
    Exit("a body that is too long", posting("x" * 2048), 413, INVALID, settings={"body_bytes_max": 1024}),
    Exit("an upstream that is gone", unreachable, 502, INTERNAL, forwarded("upstream_error")),
    Exit(
        "an upstream that breaks off",
        behaving("tools/call", faults.hang_up),
        502,
        INTERNAL,
        forwarded("upstream_error"),
    ),
    Exit(
        "a silent upstream",
        behaving("tools/call", faults.hang),
        504,
        INTERNAL,
        forwarded("timeout"),
        settings=QUICK,
    ),
    Exit("a tool that fails", behaving("tools/call", tool_fails), 200, None, forwarded("tool_error")),
    Exit("a tool's error", behaving("tools/call", tool_errs), 200, -32000, forwarded("tool_error")),
    Exit("no permit", allowed(modern=False), 200, INVALID, Logged("no_permit_matched"), permit=False),
    Exit("a forbid", forbidden, 200, INVALID, Logged("forbidden_by_policy")),
    Exit("a policy that errs", unreadable, 200, INVALID, Logged("policy_errored")),
    Exit("a service that is not enabled", not_enabled, 200, INVALID, NOT_ENABLED),
    Exit("its endpoint", not_enabled_at_endpoint, 200, INVALID, NOT_ENABLED),
    Exit(
        "a list at its endpoint",
        asking("tools/list", path="/mcp/github"),
        200,
        INVALID,
        reason="service_not_enabled",
    ),
    Exit("an unknown service", calling({"name": "nowhere__echo"}), 200, METHOD, NOT_ENABLED),
    Exit(
        "a list of it", asking("tools/list", path="/mcp/nowhere"), 200, METHOD, reason="service_not_enabled"
    ),
    Exit("an unknown tool", unreviewed(modern=False), 200, INVALID, Logged("unknown_tool")),
    Exit("an unknown tool, modern", unreviewed(modern=True), 200, PARAMS, Logged("unknown_tool")),
    Exit("a tool that is held", held, 200, INVALID, Logged("tool_changed")),
    Exit("arguments that hide what they do", bad_selector, 200, INVALID, Logged("arguments_rejected")),
    Exit("an unknown method", asking("tools/destroy"), 200, METHOD),
    Exit("an unknown method, modern", asking("tools/destroy", modern=True), 404, METHOD),
    Exit("a side door", asking("resources/read"), 200, METHOD),
    Exit(
        "a page that there is not",
        posting(CALL | {"method": "tools/list", "params": {"cursor": "2"}}),
        400,
        PARAMS,
    ),
    Exit(
        "a header against the body",
        calling(MODERN_CALL, **MODERN_HEADERS | {"mcp_name": "fake__other"}),
        400,
        -32020,
    ),
    Exit("a missing header", calling(MODERN_CALL, mcp_protocol_version="2026-07-28"), 400, -32020),
    Exit(
        "a version to come",
        calling(
            {**MODERN_CALL, "_meta": MODERN_META | {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}},
            **MODERN_HEADERS | {"mcp_protocol_version": "2099-01-01"},
        ),
        400,
        -32022,
    ),
    Exit("an argument's header against it", other_param_header, 400, -32020, Logged("arguments_rejected")),
    Exit("an answer", allowed(modern=False), 200, None, forwarded("ok")),
    Exit("an answer, modern", allowed(modern=True), 200, None, forwarded("ok")),
]


@pytest.mark.promise("P2")
@pytest.mark.parametrize("case", EXITS, ids=[case.name for case in EXITS])
async def test_every_exit_answers_and_enters_what_the_contract_says(case: Exit, tmp_path: Path) -> None:
    async with scene(tmp_path, settings=case.settings, auth=case.auth, permit=case.permit) as s:
        answer = await case.ask(s)
        log = await s.ended(0 if case.entry is None else 1)
        forwarded = len(s.upstream.calls)

    assert answer.status == case.status
    assert all(name in answer.headers for name in case.headers)
    if case.code is not None:
        assert answer.error["code"] == case.code
        assert answer.json["jsonrpc"] == "2.0"
    found = [Logged(entry.reason, entry.outcome, not entry.denied) for entry in log]
    assert found == ([] if case.entry is None else [case.entry])
    assert forwarded <= sum(logged.allowed for logged in found)
    expected = case.reason or (case.entry.reason if case.entry and not case.entry.allowed else None)
    if expected is not None and case.status != 401:
        assert answer.data["reason"] == expected
        assert case.entry is None or answer.data["decisionId"] == log[0].id


async def test_unknown_revoked_and_rotated_keys_hear_one_and_the_same_thing(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        unknown = await s.call(key=UNKNOWN_KEY)
        ill_formed = await s.call(key="letmein")
        of_rotated = await rotated(s)
        s.key = await s.agent.key()
        of_revoked = await revoked(s)

    assert {answer.body for answer in (unknown, ill_formed, of_rotated, of_revoked)} == {unknown.body}
    assert "data" not in unknown.error
    assert {tuple(sorted(a.headers)) for a in (unknown, of_rotated, of_revoked)} == {
        tuple(sorted(unknown.headers))
    }


async def test_an_agent_may_have_its_denials_as_tool_results(tmp_path: Path) -> None:
    async with scene(tmp_path, tiers={"echo": Tier.READ}) as s:
        await s.agent.settings(denialShape="toolResult")
        legacy = await forbidden(s)
        modern = await s.call(modern=True)
        log = await s.log()

    for answer, entry in zip((legacy, modern), log, strict=True):
        assert answer.status == 200
        assert answer.result["isError"] is True
        text = "Authorization denied: tool 'echo' is not permitted for agent 'helper'. Ask Ada."
        assert answer.result["content"] == [{"type": "text", "text": text}]
        denial = answer.result["_meta"]
        assert isinstance(denial, dict)
        data = denial["wicket/denial"]
        assert isinstance(data, dict)
        assert data["decisionId"] == entry.id
        assert data["reason"] == "forbidden_by_policy"
    assert modern.result["resultType"] == "complete"
    assert "resultType" not in legacy.result
