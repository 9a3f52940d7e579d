"""Strict JSON: bytes -> value, or a refusal.

Two parsers that read one text differently are how a decided call and a forwarded call come apart, so whatever
parsers disagree on is refused: encodings other than UTF-8, byte order marks, duplicate keys, NaN, integers that
a double cannot hold, numbers that overflow, U+0000, lone surrogates, deep nesting.

The judge is the standard library's scanner in C, with hooks. What it does not check is checked on the raw bytes
before it runs, and only where the bytes can hold the fault at all: this is on the path of every call. A document is
read faster, and not judged, where writing it again shows that it has one meaning only.
"""

import re
from json import JSONDecodeError, JSONDecoder
from math import isfinite
from typing import Final, Never

import orjson

from wicket.core.errors import Refused, RpcCode
from wicket.core.model import Json

INTEGER_MAX: Final = 2**53 - 1
DEPTH_MAX: Final = 32
VALUES_MAX: Final = 50_000
"""In one message of a client: all others wait while they are parsed and redacted, one by one."""
UPSTREAM_DEPTH_MAX: Final = 128
"""Schemas and documents of upstream servers nest deeper than any call does."""
UPSTREAM_DIGITS_MAX: Final = 4000
"""Python converts no longer integers (`sys.get_int_max_str_digits`)."""

_INTEGER_DIGITS_SAFE: Final = 15
_INTEGER_DIGITS_MAX: Final = 17
_BLANKS: Final = b" \t\r\n"
_BACKSLASH: Final = ord("\\")
"""As a number: what holds none is known for that at once."""
_ANY_DIGIT: Final = bytes.maketrans(b"123456789", b"000000000")
_MANY_DIGITS: Final = b"0" * (_INTEGER_DIGITS_SAFE + 1)
"""What has so many in a row, once each is a zero, may hold an integer that is too large."""
_STRING: Final = re.compile(rb'"[^"]*"?')
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_SUSPECT: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
# Read from the left, so that an escaped backslash and a pair of surrogates are consumed whole; what is left for
# the group stands for no character.
_ESCAPE: Final = re.compile(
    rb"\\\\"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<unusable>\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2}))"
)


class _Fault(Exception):
    """What one of the scanner's hooks found; becomes a refusal with its sentence."""


def parse_json(body: bytes) -> Json:
    """The one strict JSON document in `body`; raises Refused (400, -32700) that says what is wrong with it."""
    if _BACKSLASH in body and _SUSPECT.search(body) and _has_unusable_escape(body):
        raise _malformed("JSON strings must hold no U+0000 and no lone surrogate: remove or replace them")
    if body.count(b",") >= VALUES_MAX and _outside_strings(body).count(b",") >= VALUES_MAX:
        raise _malformed(f"JSON must hold at most {VALUES_MAX} values: send less at once")
    has_large_numbers = _MANY_DIGITS in body.translate(_ANY_DIGIT)
    value = None if has_large_numbers else _find_unambiguous(body, DEPTH_MAX)
    return value if value is not None else _parse(body, _STRICT, DEPTH_MAX)


def parse_upstream_json(body: bytes) -> Json:
    """The JSON document of an upstream server, kept as it came as far as it has one meaning; raises Refused.

    Larger integers and deeper nesting are let through, for a call that was made should not lose its answer. What
    has no form in UTF-8 or in a database's text, lone surrogates and U+0000, becomes U+FFFD.
    """
    if _BACKSLASH in body and _SUSPECT.search(body):
        body = _ESCAPE.sub(lambda m: rb"\ufffd" if m["unusable"] else m[0], body)
    value = _find_unambiguous(body, UPSTREAM_DEPTH_MAX)
    return value if value is not None else _parse(body, _UPSTREAM, UPSTREAM_DEPTH_MAX)


def _find_unambiguous(body: bytes, depth_max: int) -> Json:
    """The value of a document that is written again just so; None where it is not, or is not to be had.

    orjson keeps the last of two keys and rounds long integers. Whatever it changed shows when the value is written:
    without its blanks, too, a document says how many members it has and how its numbers are spelled. Nearly all
    clients and servers write JSON as orjson does, but for blanks.
    """
    if body.count(b"{") + body.count(b"[") > depth_max and not _is_shallow(body, depth_max):
        return None
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    written = orjson.dumps(value)
    if written == body or written.translate(None, _BLANKS) == body.translate(None, _BLANKS):
        return value
    return None


def _parse(body: bytes, decoder: JSONDecoder, depth_max: int) -> Json:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _malformed("JSON must be UTF-8: encode the body so") from error
    if text.startswith("\ufeff"):
        raise _malformed("JSON must not begin with a byte order mark: leave it out")
    if body.count(b"{") + body.count(b"[") > depth_max and not _is_shallow(body, depth_max):
        raise _malformed(f"JSON must close its brackets and nest at most {depth_max} deep: make it flatter")
    try:
        value: Json = decoder.decode(text)
    except _Fault as fault:
        raise _malformed(str(fault)) from fault
    except JSONDecodeError as error:
        raise _malformed(f"malformed JSON at character {error.pos}: send one whole document") from error
    return value


def _is_shallow(body: bytes, depth_max: int) -> bool:
    """Whether brackets match and nest at most so deep; decided without recursion, in time linear in the body.

    Text that is not JSON may be misread here, never its longest valid beginning: the scanner gets no deeper.
    """
    brackets = _outside_strings(body).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(depth_max):
        without_innermost = brackets.replace(b"[]", b"")
        if len(without_innermost) == len(brackets):
            break
        brackets = without_innermost
    return not brackets


def _outside_strings(body: bytes) -> bytes:
    return _STRING.sub(b"", body.replace(rb"\\", b"").replace(rb"\"", b""))


def _has_unusable_escape(body: bytes) -> bool:
    return any(found["unusable"] for found in _ESCAPE.finditer(body))


def _malformed(sentence: str) -> Refused:
    return Refused(sentence, rpc_code=RpcCode.PARSE_ERROR)


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise _Fault("JSON objects must not hold one key twice: send each key once")
    return built


def _integer(digits: str) -> int:
    if len(digits) <= _INTEGER_DIGITS_SAFE:
        return int(digits)
    if len(digits) <= _INTEGER_DIGITS_MAX and -INTEGER_MAX <= (value := int(digits)) <= INTEGER_MAX:
        return value
    raise _Fault("JSON integers must lie within 2^53-1: send a larger one as a string")


def _upstream_integer(digits: str) -> int:
    if len(digits) > UPSTREAM_DIGITS_MAX:
        raise _Fault(f"JSON integers must have at most {UPSTREAM_DIGITS_MAX} digits: send it as a string")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise _Fault("JSON numbers must fit a double: send a larger one as a string")
    return value


def _constant(name: str) -> Never:
    raise _Fault(f"JSON has no {name}: send null or a string")


_STRICT: Final = JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)
_UPSTREAM: Final = JSONDecoder(
    object_pairs_hook=_object, parse_int=_upstream_integer, parse_float=_number, parse_constant=_constant
)
