import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.core.errors import Refused, RpcCode
from wicket.core.jsonrpc import (
    DEPTH_MAX,
    INTEGER_MAX,
    SHORT_BYTES,
    parse_json,
    parse_upstream_json,
    render_json,
)
from wicket.core.model import Json

BODY_BYTES_MAX = 4 * 1024 * 1024
BLANKS = b" " * SHORT_BYTES
"""Behind a document, they make it one that is read in steps."""


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


REFUSED = {
    "nothing": b"",
    "only space": b" \n",
    "duplicate keys": b'{"a": 1, "a": 1}',
    "duplicate keys, deep": b'[{"x": {"a": 1, "b": 2, "a": 3}}]',
    "duplicate keys, one escaped": b'{"name": 1, "n\\u0061me": 2}',
    "duplicate keys, escaped in two ways": b'{"\\u00e9": 1, "\\u00E9": 2}',
    "duplicate keys, astral": '{"\\ud83d\\ude00": 1, "\U0001f600": 2}'.encode(),
    "duplicate empty keys": b'{"": 1, "": 2}',
    "not a number": b"[NaN]",
    "infinity": b"[Infinity]",
    "minus infinity": b"[-Infinity]",
    "a number that overflows": b"[1e400]",
    "a negative number that overflows": b"[-1e400]",
    "2^53": b"[9007199254740992]",
    "2^53+1": b"[9007199254740993]",
    "-2^53": b"[-9007199254740992]",
    "an integer of 20 digits": b"[12345678901234567890]",
    "an integer of 5000 digits": b"9" * 5000,
    "leading zero": b"[01]",
    "leading plus": b"[+1]",
    "bare point": b"[1.]",
    "hexadecimal": b"[0x10]",
    "digits of another script": "[\u0661]".encode(),
    "lone high surrogate": b'["\\ud800"]',
    "lone low surrogate": b'["\\udc00"]',
    "lone surrogate, upper case": b'["\\uDFFF"]',
    "surrogates in the wrong order": b'["\\ude00\\ud83d"]',
    "high, high, low": b'["\\ud83d\\ud83d\\ude00"]',
    "high, low, low": b'["\\ud83d\\ude00\\ude00"]',
    "surrogates with a backslash between them": b'["\\ud83d\\\\\\ude00"]',
    "lone surrogate behind an escaped backslash": b'["\\\\\\ud83d"]',
    "lone surrogate in a key": b'{"\\ud83d": 1}',
    "lone surrogate as raw bytes": b'["\xed\xa0\x80"]',
    "U+0000": b'["a\\u0000b"]',
    "U+0000 in a key": b'{"a\\u0000": 1}',
    "U+0000, raw": b'["a\x00b"]',
    "raw control character": b'["a\nb"]',
    "byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "UTF-16 with mark": '{"a": 1}'.encode("utf-16"),
    "UTF-16, little end first": '{"a": 1}'.encode("utf-16-le"),
    "UTF-16, big end first": '{"a": 1}'.encode("utf-16-be"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "Latin-1": '["\xe9"]'.encode("latin-1"),
    "overlong slash": b'["\xc0\xaf"]',
    "beyond U+10FFFF": b'["\xf4\x90\x80\x80"]',
    "33 deep": nested(DEPTH_MAX + 1),
    "33 deep, objects": b'{"a":' * 33 + b"1" + b"}" * 33,
    "33 deep, with strings of brackets": b'["]]]]", ' * 33 + b'"[["' + b"]" * 33,
    "33 deep, with an escaped quote": b'["\\"]]]", ' * 33 + b"1" + b"]" * 33,
    "33 deep, with an escaped backslash": b'["\\\\", ' * 33 + b"1" + b"]" * 33,
    "never closed": b"[" * 100_000,
    "closed by the other kind": b"[}" * 40,
    "trailing text": b'{"a": 1} x',
    "two documents": b'{"a": 1}{"a": 2}',
    "trailing comma": b"[1,]",
    "comment": b"[1] // one",
    "single quotes": b"{'a': 1}",
    "space of another kind": "\u00a0[1]".encode(),
    "unknown escape": b'["\\x41"]',
    "short escape": b'["\\u12"]',
    "a word": b"True",
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_json_that_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    for document in (body, body + BLANKS):
        with pytest.raises(Refused) as caught:
            parse_json(document)
        assert (caught.value.rpc_code, caught.value.status) == (RpcCode.PARSE_ERROR, 400)


ACCEPTED: dict[str, tuple[bytes, Json]] = {
    "largest integer": (b"[9007199254740991, -9007199254740991]", [INTEGER_MAX, -INTEGER_MAX]),
    "a double beyond the integers": (b"[1e20, 0.5, -1.5E-3]", [1e20, 0.5, -0.0015]),
    "32 deep": (nested(DEPTH_MAX), json.loads(nested(DEPTH_MAX))),
    "brackets in strings": (json.dumps(["[" * 99]).encode(), ["[" * 99]),
    "many brackets, shallow": (b"[" + b"[],{}," * 99 + b"1]", [*([], {}) * 99, 1]),
    "quotes and backslashes in strings": (json.dumps(['\\"[[', "\\"] * 33).encode(), ['\\"[[', "\\"] * 33),
    "a pair of surrogates": (b'["\\ud83d\\uDE00"]', ["\U0001f600"]),
    "an escape that is text": (b'["\\\\u0000 \\\\ud800"]', ["\\u0000 \\ud800"]),
    "a control character, escaped": (b'["\\u0001\\n"]', ["\x01\n"]),
    "keys that differ by case": (b'{"a": 1, "A": 2}', {"a": 1, "A": 2}),
    "one key in two objects": (b'[{"a": 1}, {"a": {"a": 2}}]', [{"a": 1}, {"a": {"a": 2}}]),
    "space around": (b" \r\n\t[1] \r\n\t", [1]),
    "a bare value": (b"null", None),
}


@pytest.mark.parametrize(("body", "value"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_plain_json_is_read_as_it_stands(body: bytes, value: Json) -> None:
    assert parse_json(body) == parse_json(body + BLANKS) == value


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-INTEGER_MAX, INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
)
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(KEYS, v, max_size=4))


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_what_is_written_is_read_back(value: Any, ensure_ascii: bool, indent: int | None) -> None:  # noqa: FBT001
    assert parse_json(render_json(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=ensure_ascii, indent=indent).encode()) == value


@given(st.recursive(st.text('[]{}"\\ a', max_size=6), lambda v: st.lists(v, max_size=3), max_leaves=60))
def test_depth_counts_brackets_and_not_what_strings_hold(value: Any) -> None:
    for _ in range(29):
        value = [value, "{"]
    for body in (json.dumps(value).encode(), json.dumps(value).encode() + BLANKS):
        if depth_of(value) <= DEPTH_MAX:
            assert parse_json(body) == value
        else:
            with pytest.raises(Refused):
                parse_json(body)


def depth_of(value: Any) -> int:
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(st.lists(st.sampled_from([*'{}[]:,"\\', "\\u", "d83d", "de00", "0000", "a", "1", "e", "-", " "])))
def test_whatever_we_accept_the_standard_library_reads_alike(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        value = parse_json(text.encode())
    except Refused:
        with pytest.raises(Refused):
            parse_json(text.encode() + BLANKS)
        return
    assert value == json.loads(text)
    assert parse_json(render_json(value)) == parse_json(text.encode() + BLANKS) == value


@given(st.binary(max_size=40) | st.builds(lambda b: b'["' + b + b'"]', st.binary(max_size=20)))
def test_any_bytes_are_a_value_or_a_refusal(body: bytes) -> None:
    try:
        value = parse_json(body)
    except Refused:
        with pytest.raises(Refused):
            parse_json(body + BLANKS)
        return
    assert parse_json(render_json(value)) == parse_json(body + BLANKS) == value


@pytest.mark.parametrize(
    "piece",
    [b"[", b"]", b'"', b"\\", b'\\"', b"[]", b'{"', b'"[', b"\\ud83d", b'["\\u0000",', b"9", b"-", b"1e9"],
)
def test_a_body_of_the_largest_size_is_answered_without_running_out_of_stack(piece: bytes) -> None:
    for opening in (b"", b'["', b"["):
        with pytest.raises(Refused):
            parse_json((opening + piece * (BODY_BYTES_MAX // len(piece)))[:BODY_BYTES_MAX])


UPSTREAM: dict[str, tuple[bytes, Json]] = {
    "a large integer": (b"[18446744073709551615]", [2**64 - 1]),
    "64 deep": (nested(64), json.loads(nested(64))),
    "U+0000": (b'["a\\u0000b"]', ["a\ufffdb"]),
    "lone surrogate": (b'["cut \\ud83d", "\\ude00"]', ["cut \ufffd", "\ufffd"]),
    "a pair of surrogates": (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
    "an escape that is text": (b'["\\\\ud800"]', ["\\ud800"]),
}


@pytest.mark.parametrize(("body", "value"), UPSTREAM.values(), ids=UPSTREAM.keys())
def test_an_answer_of_an_upstream_is_not_lost_for_what_it_holds(body: bytes, value: Json) -> None:
    assert parse_upstream_json(body) == parse_upstream_json(body + BLANKS) == value
    assert parse_upstream_json(render_json(parse_upstream_json(body))) == value


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"\\ud800": 1, "\\udc00": 2}',
        b"[NaN]",
        b"[1e999]",
        b"\xef\xbb\xbf[]",
        b'["\xff"]',
        nested(129),
        b"9" * 5000,
        b"<html>",
    ],
)
def test_an_answer_of_an_upstream_that_has_no_one_meaning_is_refused(body: bytes) -> None:
    for document in (body, body + BLANKS):
        with pytest.raises(Refused):
            parse_upstream_json(document)


_TEXT = st.sampled_from(
    ["", "a", "a, b", "a,b", "a: b", ", ", '"', "\\", "\u00e9", "\u2028", "\x00", "\x1f", "{", "/"]
)
_NUMBER = st.sampled_from(
    [
        *(
            "0",
            "-0",
            "1.0",
            "1e5",
            "0.1",
            "1e-400",
            "1E+2",
            "5e-324",
            "999999999999999",
            "0.1234567890123456",
        ),
        *(str(2**53 - 1), str(-(2**53)), str(2**63), str(2**64), "9" * 30),
    ]
)


@st.composite
def _spelled(draw: st.DrawFn, value: st.SearchStrategy[str], size_max: int = 4) -> str:
    """A JSON object or array as somebody may have written it, keys that come twice included."""
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (",", ": "), (" , ", ":"), (",\n", ": ")]))
    values = draw(st.lists(value, max_size=size_max))
    if draw(st.booleans()):
        return f"[{comma.join(values)}]"
    is_ascii = draw(st.booleans())
    keys = [json.dumps(draw(_TEXT), ensure_ascii=is_ascii) for _ in values]
    return "{" + comma.join(f"{key}{colon}{value}" for key, value in zip(keys, values, strict=True)) + "}"


_DOCUMENT = st.recursive(_NUMBER | _TEXT.map(json.dumps), _spelled, max_leaves=8)


def _keys_once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def _exactly_a_double(digits: str) -> int:
    assert abs(int(digits)) <= INTEGER_MAX
    return int(digits)


@given(_DOCUMENT)
def test_a_message_of_a_client_means_what_a_careful_reader_reads_in_it(text: str) -> None:
    try:
        expected = json.loads(text, object_pairs_hook=_keys_once, parse_int=_exactly_a_double)
        assert "\\u0000" not in text
    except AssertionError:
        for document in (text.encode(), text.encode() + BLANKS):
            with pytest.raises(Refused):
                parse_json(document)
        return
    for document in (text.encode(), text.encode() + BLANKS):
        read = parse_json(document)
        assert (read, repr(read)) == (expected, repr(expected))


@given(_DOCUMENT)
def test_an_answer_of_an_upstream_means_what_a_careful_reader_reads_in_it(text: str) -> None:
    try:
        expected = json.loads(text.replace("\\u0000", "\\ufffd"), object_pairs_hook=_keys_once)
    except AssertionError:
        for document in (text.encode(), text.encode() + BLANKS):
            with pytest.raises(Refused):
                parse_upstream_json(document)
        return
    for document in (text.encode(), text.encode() + BLANKS):
        read = parse_upstream_json(document)
        assert (read, repr(read)) == (expected, repr(expected))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_keeps_each_of_its_bits(value: float) -> None:
    read = parse_json(render_json(value))
    assert isinstance(read, float)
    assert struct.pack(">d", read) == struct.pack(">d", value)
