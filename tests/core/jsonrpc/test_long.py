"""Long documents are read in steps: short ones, whatever they hold, and with the outcome of reading at once."""

import json
import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.core.errors import Refused
from wicket.core.jsonrpc import parse_json, parse_upstream_json
from wicket.core.jsonrpc.pieces import (
    PIECE_BYTES,
    is_usable,
    is_usable_throughout,
    outside_strings,
    pieces_of,
    usable,
    usable_throughout,
)
from wicket.core.jsonrpc.strict import VALUES_MAX, parse_json_in_steps
from wicket.core.redaction import LONG_CHARS, Redactor
from wicket.core.steps import Steps, finish

BODY_BYTES_MAX = 4 * 1024 * 1024
CALLS_A_STEP_MAX = 1_000
"""Of functions, Python's and C's, between two steps: well below a millisecond."""
REDACTOR = Redactor(b"digest key of the tests, 32 bytes")


def text_of(piece: str) -> bytes:
    """A message of the largest size, of one text."""
    return b'{"text":"' + (piece * (BODY_BYTES_MAX // len(piece.encode()) - 16)).encode() + b'"}'


LARGEST = {
    "plain": text_of("x"),
    "of two bytes each": text_of("\u00e9"),
    "escaped": text_of("\\u00e9"),
    "pairs": text_of("\\ud83d\\ude00"),
    "backslashes": text_of("\\\\"),
    "quotes": text_of('\\"'),
    "marks": text_of(",[{"),
    "texts": json.dumps(["x" * 1_000] * 4_000).encode(),
    "numbers": json.dumps([1.5, -7, True] * (VALUES_MAX // 3)).encode(),
    "members": json.dumps([{"name": "a", "key": None}] * (VALUES_MAX // 2)).encode(),
    "names": json.dumps({f"name {number}": number for number in range(VALUES_MAX - 1)}).encode(),
    "long names": json.dumps({"secret" * 150 + str(number): number for number in range(4_000)}).encode(),
    "a name": b'{"' + b"x" * (BODY_BYTES_MAX - 20) + b'":{"value":1}}',
    "nested": json.dumps([[[[[[[["x"]]]]]]]] * (VALUES_MAX // 9)).encode(),
}


def calls_of_steps(steps: Steps[Any]) -> tuple[Any, list[Counter[str]]]:
    """What comes of it; and of each step, which functions it called, how often."""
    seen: list[Counter[str]] = [Counter()]

    def note(_frame: FrameType, event: str, called: Any) -> None:
        if event in {"call", "c_call"}:
            seen[-1][getattr(called, "__name__", event)] += 1

    sys.setprofile(note)
    try:
        while True:
            next(steps)
            seen.append(Counter())
    except StopIteration as end:
        return end.value, seen
    finally:
        sys.setprofile(None)


@pytest.mark.promise("P10")
@pytest.mark.parametrize("body", LARGEST.values(), ids=LARGEST.keys())
def test_nobody_waits_for_a_large_message_as_a_whole(body: bytes) -> None:
    assert len(body) <= BODY_BYTES_MAX
    value, read = calls_of_steps(parse_json_in_steps(body))
    kept, redacted = calls_of_steps(REDACTOR.redact_in_steps({"said": value}))
    assert value == json.loads(body)
    assert kept == REDACTOR.redact({"said": value})
    assert len(read) > len(body) / PIECE_BYTES
    assert max(calls.total() for calls in read + redacted) < CALLS_A_STEP_MAX
    whole_passes = Counter(name for step in read for name in step if name in {"loads", "dumps"})
    assert whole_passes == {"loads": 1}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([[]] * VALUES_MAX).encode(),
        b"[" + b",".join([b"[" * 30 + b"]" * 30] * (VALUES_MAX // 25)) + b"]",
        b"[" + b",".join([b'{"a":{}}'] * (VALUES_MAX // 2 + 1)) + b"]",
    ],
)
def test_lists_and_objects_are_values_too(body: bytes) -> None:
    with pytest.raises(Refused, match="values"):
        parse_json(body)


ESCAPES = st.lists(
    st.sampled_from(
        ["\\\\", '\\"', "\\n", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\\u0000", "\\u00e9", "u", "x", '"']
    ),
    max_size=24,
).map("".join)


@given(ESCAPES, st.integers(-40, 40), st.booleans())
def test_what_is_cut_in_pieces_is_read_like_the_whole(text: str, at: int, is_filled: bool) -> None:  # noqa: FBT001
    filler = "\\u00e9" if is_filled else "x"
    before = filler * ((PIECE_BYTES - 60 + at) // len(filler))
    body = f'["{before}{text}{text}{text}", 1, "{text}"]'.encode()
    assert b"".join(pieces_of(body)) == body
    assert finish(is_usable_throughout(body)) == is_usable(body)
    assert finish(usable_throughout(body)) == usable(body)
    try:
        value = json.loads(body)
    except json.JSONDecodeError:
        with pytest.raises(Refused):
            parse_json(body)
        return
    assert finish(outside_strings(body)) == b"[, 1, ]"
    assert finish(outside_strings(usable(body))) == b"[, 1, ]"
    if is_usable(body):
        assert parse_json(body) == parse_upstream_json(body) == value


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
NAMES = st.text(max_size=6) | st.sampled_from(
    ["name", "key", "value", "token", "ghp_16C7e42F292c6912E7710c83"]
)
VALUES = st.recursive(
    LEAVES | st.sampled_from(["token", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=20,
)


@given(
    st.dictionaries(NAMES, VALUES, max_size=4),
    st.frozensets(NAMES, max_size=2),
    st.frozensets(NAMES, max_size=2),
)
def test_what_is_redacted_in_steps_is_what_is_redacted_at_once(
    arguments: dict[str, Any], keep: frozenset[str], hide: frozenset[str]
) -> None:
    in_steps = finish(REDACTOR.redact_in_steps(arguments, keep=keep, hide=hide))
    assert in_steps == REDACTOR.redact(arguments, keep=keep, hide=hide)
    assert list(in_steps) == list(REDACTOR.redact(arguments, keep=keep, hide=hide))


@pytest.mark.parametrize("character", ["x", "\u00e9", "\U0001f600", "\ud83d"])
def test_a_long_text_has_the_same_marker_in_steps(character: str) -> None:
    text = character * (2 * LONG_CHARS + 1)
    arguments: dict[str, Any] = {"said": [text], text: 1, "token": text}
    assert finish(REDACTOR.redact_in_steps(arguments)) == REDACTOR.redact(arguments)
