"""The state of a call that takes several rounds opens for that call alone, and not for ever."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from wicket.core.rounds import STATE_TTL_S, Round, StateBroken, open_state, seal_state

NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEY, OLD = bytes(32), bytes([7]) * 32
CALL = Round("member", "fake", "tools/call", "echo", {"text": "a", "n": 1})


def sealed(state: str = "of the upstream", key: bytes = KEY) -> str:
    return seal_state(state, CALL, key=key, nonce=b"n" * 12, now=NOW)


@pytest.mark.parametrize("state", ["", "of the upstream", "\u00fc \U0001f600", "\ud800", "x" * 60_000])
def test_a_state_comes_back_as_it_was(state: str) -> None:
    assert open_state(sealed(state), CALL, keys=[KEY], now=NOW) == state


def test_the_order_of_arguments_does_not_matter() -> None:
    again = replace(CALL, arguments={"n": 1, "text": "a"})
    assert open_state(sealed(), again, keys=[KEY], now=NOW) == "of the upstream"


def test_it_opens_after_the_server_key_was_rotated() -> None:
    assert open_state(sealed(key=OLD), CALL, keys=[KEY, OLD], now=NOW) == "of the upstream"


@pytest.mark.parametrize(
    "other",
    [
        replace(CALL, member_id="another"),
        replace(CALL, service="other"),
        replace(CALL, method="prompts/get"),
        replace(CALL, tool="wipe"),
        replace(CALL, arguments={"text": "b", "n": 1}),
        replace(CALL, arguments={}),
    ],
    ids=["member", "service", "method", "tool", "argument", "no arguments"],
)
def test_it_opens_for_no_other_call(other: Round) -> None:
    with pytest.raises(StateBroken):
        open_state(sealed(), other, keys=[KEY], now=NOW)


def test_it_opens_until_it_is_too_old() -> None:
    last = NOW + timedelta(seconds=STATE_TTL_S)
    assert open_state(sealed(), CALL, keys=[KEY], now=last) == "of the upstream"
    with pytest.raises(StateBroken):
        open_state(sealed(), CALL, keys=[KEY], now=last + timedelta(seconds=1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ü",
        "A" * 40,
        "A" * 200_000,
        sealed() + "=",
        sealed() + "-TAMPERED",
        sealed()[:-1],
        sealed()[1:],
    ],
    ids=["nothing", "a letter", "no ASCII", "made up", "huge", "padded", "longer", "cut off", "beheaded"],
)
def test_what_was_not_sealed_here_does_not_open(text: str) -> None:
    with pytest.raises(StateBroken):
        open_state(text, CALL, keys=[KEY], now=NOW)
