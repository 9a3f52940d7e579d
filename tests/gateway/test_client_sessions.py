"""Which conversation a request belongs to, as functions of the request."""

import os
import tracemalloc

import pytest

from wicket.core.model import JsonObject
from wicket.gateway.client_sessions import ENDED_MAX, ClientSession, McpSessions, client_of, identify
from wicket.gateway.http import Inbound

CLAUDE, MCP, OPENAI, OTHER, AGENT = (
    "x-claude-code-session-id", "mcp-session-id", "openai-conversation-id", "x-mcp-session-id", "user-agent",
)  # fmt: skip
ALL = ((OTHER, "d"), (OPENAI, "c"), (MCP, "b"), (CLAUDE, "a"))


def session(
    *headers: tuple[str, str],
    meta: JsonObject | None = None,
    key: str = "key",
    ip: str = "192.0.2.1",
    ours: bool = True,
) -> ClientSession:
    inbound = Inbound("POST", None, headers, b"", ip)
    return identify(inbound, meta or {}, key, is_session_ours=ours)


LADDER: list[tuple[tuple[tuple[str, str], ...], JsonObject, str]] = [
    (ALL, {}, "a"),
    (ALL[:3], {}, "b"),
    (ALL[:2], {}, "c"),
    (ALL[:1], {}, "d"),
    (ALL[:1], {"sessionId": "e"}, "d"),
    ((), {"sessionId": "e", "conversationId": "f"}, "e"),
    ((), {"conversation_id": "f"}, "f"),
    (((CLAUDE, ""), (OTHER, "d")), {}, "d"),
    (((CLAUDE, "first"), (CLAUDE, "second")), {}, "first"),
]


@pytest.mark.parametrize(("headers", "meta", "expected"), LADDER)
def test_the_first_that_is_present_names_the_session(
    headers: tuple[tuple[str, str], ...], meta: JsonObject, expected: str
) -> None:
    assert session(*headers, meta=meta).external_id == expected


def test_an_mcp_session_that_is_not_ours_names_nothing() -> None:
    assert session(*ALL[:3], ours=False).external_id == "c"


@pytest.mark.parametrize("value", [1, None, True, "", ["x"], {"a": 1}])
def test_metadata_that_is_no_text_names_nothing(value: object) -> None:
    assert session(meta={"sessionId": value}) == session()  # type: ignore[dict-item]


def test_a_fingerprint_is_of_address_and_user_agent() -> None:
    plain = session((AGENT, "one"))
    assert plain == session((AGENT, "one"))
    assert plain.external_id.startswith("fp-")
    others = [session((AGENT, "two")), session((AGENT, "one"), ip="192.0.2.2"), session()]
    assert len({plain.external_id, *(other.external_id for other in others)}) == 4


def test_sessions_are_bound_to_the_key() -> None:
    ours, theirs = session((CLAUDE, "a"), key="one"), session((CLAUDE, "a"), key="two")
    assert ours.external_id == theirs.external_id
    assert ours.slot != theirs.slot
    assert session((CLAUDE, "x"), key="a\0b").slot != session((CLAUDE, "b\0x"), key="a").slot


@pytest.mark.parametrize(
    "value", ["a b", "a\r\nset-cookie: x", "ä", "x" * 129, '"', "a/b", "\ud800", "a\n", "\0"]
)
def test_a_value_that_could_not_be_echoed_is_replaced_by_its_digest(value: str) -> None:
    safe = session((CLAUDE, value)).external_id
    assert safe.startswith("h-")
    assert safe[2:].isalnum()
    assert len(safe) == 34
    assert safe == session((CLAUDE, value)).external_id
    assert safe != session((CLAUDE, value + "x")).external_id


def test_of_a_long_value_nothing_but_its_digest_is_remembered() -> None:
    long, found = "x" * 1_000_000, session((CLAUDE, "x"))
    tracemalloc.start()
    try:
        for number in range(20):
            found = session((CLAUDE, f"{long}{number}"))
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.external_id.startswith("h-")
    assert held_bytes < 2 * len(long)


@pytest.fixture
def mcp() -> McpSessions:
    return McpSessions(b"secret of this server............", random=os.urandom)


def test_a_value_is_good_for_the_key_that_it_was_given_to_and_on_every_replica(mcp: McpSessions) -> None:
    value = mcp.issue("key")
    replica = McpSessions(b"secret of this server............", random=os.urandom)
    assert mcp.is_open(value, "key")
    assert replica.is_open(value, "key")
    assert not mcp.is_open(value, "another")
    assert not McpSessions(b"another secret", random=os.urandom).is_open(value, "key")
    assert value.isascii()
    assert value.isprintable()
    assert value != mcp.issue("key")


@pytest.mark.parametrize(
    ("name", "version", "kept"),
    [
        ("claude-ai", "0.1.0", ("claude-ai", "0.1.0")),
        ("", "", ("", "")),
        ("ä" * 50, "9" * 50, ("ä" * 20, "9" * 22)),
        ("x" + "ä" * 50, "1", ("x" + "ä" * 19, "1")),
        ("a\0b", "\ud800c", ("ab", "c")),
    ],
)
def test_a_value_keeps_what_the_client_called_itself(
    name: str, version: str, kept: tuple[str, str], mcp: McpSessions
) -> None:
    value = mcp.issue("key", client_name=name, client_version=version)
    assert mcp.is_open(value, "key")
    assert client_of(value) == kept
    assert session((MCP, value)).external_id == value


def test_a_value_with_another_client_in_it_is_not_ours(mcp: McpSessions) -> None:
    value = mcp.issue("key", client_name="honest")
    assert not mcp.is_open(value[:43], "key")
    assert not mcp.is_open(value[:44] + mcp.issue("key", client_name="others")[44:], "key")


def test_guesses_are_not_ours(mcp: McpSessions) -> None:
    value = mcp.issue("key")
    flipped = value[:5] + ("A" if value[5] != "A" else "B") + value[6:]
    guesses = [
        "",
        "x",
        "ä",
        "\ud800",
        "A" * len(value),
        value[:-1],
        value + "A",
        flipped,
        value.lower(),
        value * 2,
    ]
    assert [guess for guess in guesses if mcp.is_open(guess, "key")] == []


def test_an_ended_value_stays_ended_in_every_spelling(mcp: McpSessions) -> None:
    value = mcp.issue("key")
    mcp.end(value)
    last = value[-1]
    spellings = [value, value + "=", value + "!", " " + value, value[:8] + "\n" + value[8:]]
    spellings += [value[:-1] + chr(ord(last) + step) for step in (1, 2, 3)]
    assert [spelling for spelling in spellings if mcp.is_open(spelling, "key")] == []


def test_endings_are_remembered_within_a_bound(mcp: McpSessions) -> None:
    first, last = mcp.issue("key"), mcp.issue("key")
    mcp.end(first)
    for number in range(ENDED_MAX - 1):
        mcp.end(str(number))
    mcp.end(last)
    assert mcp.is_open(first, "key")
    assert not mcp.is_open(last, "key")
