"""Strict JSON: bytes -> value, or a refusal.

Two parsers that read one text differently are how a decided call and a forwarded call come apart, so whatever
parsers disagree on is refused: encodings other than UTF-8, byte order marks, duplicate keys, NaN, integers that
a double cannot hold, numbers that overflow, U+0000, lone surrogates, deep nesting.

The judge is the standard library's scanner in C, with hooks. What it does not check is checked on the raw bytes
before it runs, and only where the bytes can hold the fault at all: this is on the path of every call. A document is
read faster, and not judged, where writing it again shows that it has one meaning only.

A document of more than `SHORT_BYTES` is read in steps, so that nobody waits for it. The judge knows no steps, and
takes long for many escapes; so here it is orjson that reads, whose refusals are the judge's, and what it lets pass
is looked for beside it: large integers, and whether there are as many members as colons.
"""

from collections.abc import Collection
from itertools import islice
from json import JSONDecodeError, JSONDecoder
from math import isfinite
from typing import Final, Never

import orjson

from wicket.core.errors import Refused, RpcCode
from wicket.core.jsonrpc.pieces import (
    BACKSLASH,
    PIECE_BYTES,
    SUSPECT,
    is_usable,
    is_usable_throughout,
    outside_strings,
    usable,
    usable_throughout,
)
from wicket.core.model import Json
from wicket.core.steps import Steps, finish

SHORT_BYTES: Final = 16 * 1024
"""A shorter document is read at once."""
INTEGER_MAX: Final = 2**53 - 1
DEPTH_MAX: Final = 32
VALUES_MAX: Final = 50_000
"""In one message of a client: so many commas, lists, or objects."""
UPSTREAM_DEPTH_MAX: Final = 128
"""Schemas and documents of upstream servers nest deeper than any call does."""
UPSTREAM_DIGITS_MAX: Final = 4000
"""Python converts no longer integers (`sys.get_int_max_str_digits`)."""

ITEMS_A_STEP: Final = 100

_INTEGER_DIGITS_SAFE: Final = 15
_INTEGER_DIGITS_MAX: Final = 17
_EXACT_DIGITS: Final = 18
"""Integers of no more digits are read exactly by every reader with 64 bits."""
_BLANKS: Final = b" \t\r\n"
_ANY_DIGIT: Final = bytes.maketrans(b"123456789", b"000000000")
_MANY_DIGITS: Final = b"0" * (_INTEGER_DIGITS_SAFE + 1)
"""What has so many in a row, once each is a zero, may hold an integer that is too large."""
_OF_NUMBERS: Final = bytes(byte if byte in b"0123456789.eE+-" else ord(" ") for byte in range(256))
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_MARK: Final = b"\xef\xbb\xbf"


_UNUSABLE: Final = "JSON strings must hold no U+0000 and no lone surrogate: remove or replace them"
_TWICE: Final = "JSON objects must not hold one key twice: send each key once"
_NOT_UTF8: Final = "JSON must be UTF-8: encode the body so"
_MARKED: Final = "JSON must not begin with a byte order mark: leave it out"


class _Fault(Exception):
    """What one of the scanner's hooks found; becomes a refusal with its sentence."""


def parse_json(body: bytes) -> Json:
    """The one strict JSON document in `body`; raises Refused (400, -32700) that says what is wrong with it."""
    if len(body) > SHORT_BYTES:
        return finish(parse_json_in_steps(body))
    if BACKSLASH in body and SUSPECT.search(body) and not is_usable(body):
        raise _malformed(_UNUSABLE)
    has_large_numbers = _MANY_DIGITS in body.translate(_ANY_DIGIT)
    value = None if has_large_numbers else _find_unambiguous(body, DEPTH_MAX)
    return value if value is not None else _parse(body, _STRICT, DEPTH_MAX)


def parse_json_in_steps(body: bytes) -> Steps[Json]:
    """The same, of a long document: what is refused and what is read are what `parse_json` says of a short one."""
    if not (yield from is_usable_throughout(body)):
        raise _malformed(_UNUSABLE)
    outside = yield from outside_strings(body)
    for marks in (b",", b"[", b"{"):
        if outside.count(marks) >= VALUES_MAX:
            raise _malformed(f"JSON must hold at most {VALUES_MAX} values: send less at once")
        yield
    if not (yield from _is_shallow_throughout(outside, DEPTH_MAX)):
        raise _too_deep(DEPTH_MAX)
    value = yield from _loaded(body)
    try:
        for digits in (yield from _integers_beyond(outside, _INTEGER_DIGITS_SAFE)):
            _integer(digits.decode())
    except _Fault as fault:
        raise _malformed(str(fault)) from fault
    yield from _check_keys(outside, value)
    return value


def parse_upstream_json(body: bytes) -> Json:
    """The JSON document of an upstream server, kept as it came as far as it has one meaning; raises Refused.

    Larger integers and deeper nesting are let through, for a call that was made should not lose its answer. What
    has no form in UTF-8 or in a database's text, lone surrogates and U+0000, becomes U+FFFD.
    """
    if len(body) > SHORT_BYTES:
        return finish(parse_upstream_json_in_steps(body))
    if BACKSLASH in body and SUSPECT.search(body):
        body = usable(body)
    value = _find_unambiguous(body, UPSTREAM_DEPTH_MAX)
    return value if value is not None else _parse(body, _UPSTREAM, UPSTREAM_DEPTH_MAX)


def parse_upstream_json_in_steps(body: bytes) -> Steps[Json]:
    """The same, of a long document; one that orjson does not read is judged in one long step."""
    body = yield from usable_throughout(body)
    outside = yield from outside_strings(body)
    if not (yield from _is_shallow_throughout(outside, UPSTREAM_DEPTH_MAX)):
        raise _too_deep(UPSTREAM_DEPTH_MAX)
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse(body, _UPSTREAM, UPSTREAM_DEPTH_MAX)
    yield
    if (yield from _integers_beyond(outside, _EXACT_DIGITS)):
        return _parse(body, _UPSTREAM, UPSTREAM_DEPTH_MAX)
    yield from _check_keys(outside, value)
    return value


def _loaded(body: bytes) -> Steps[Json]:
    """As orjson reads it, which refuses what the judge does, but for keys that come twice and large integers."""
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        yield
        if body.startswith(_MARK):
            raise _malformed(_MARKED) from error
        try:
            body.decode()
        except UnicodeDecodeError:
            raise _malformed(_NOT_UTF8) from error
        raise _malformed(f"malformed JSON at character {error.pos}: send one whole document") from error
    yield
    return value


def _check_keys(outside: bytes, value: Json) -> Steps[None]:
    """Whether no key came twice: orjson keeps the last of two, and has a member less than there are colons."""
    members = outside.count(b":")
    waiting = [value] if members else []
    taken = 0
    while waiting:
        node = waiting.pop()
        items: Collection[Json] = ()
        if isinstance(node, dict):
            members -= len(node)
            items = node.values()
        elif isinstance(node, list):
            items = node
        if len(items) <= ITEMS_A_STEP:
            waiting += [item for item in items if isinstance(item, dict | list)]
            taken += len(items) + 1
        else:
            many = iter(items)
            while some := list(islice(many, ITEMS_A_STEP)):
                waiting += [item for item in some if isinstance(item, dict | list)]
                yield
        if taken > ITEMS_A_STEP:
            taken = 0
            yield
    if members:
        raise _malformed(_TWICE)


def _integers_beyond(outside: bytes, digits_max: int) -> Steps[list[bytes]]:
    """Integers of more digits, of what is outside of the strings of a valid document."""
    if b"0" * (digits_max + 1) not in outside.translate(_ANY_DIGIT):
        return []
    yield
    numbers = outside.translate(_OF_NUMBERS).split()
    yield
    return [number for number in numbers if len(number) > digits_max and number.lstrip(b"-").isdigit()]


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
        raise _malformed(_NOT_UTF8) from error
    if text.startswith("\ufeff"):
        raise _malformed(_MARKED)
    if body.count(b"{") + body.count(b"[") > depth_max and not _is_shallow(body, depth_max):
        raise _too_deep(depth_max)
    try:
        value: Json = decoder.decode(text)
    except _Fault as fault:
        raise _malformed(str(fault)) from fault
    except JSONDecodeError as error:
        raise _malformed(f"malformed JSON at character {error.pos}: send one whole document") from error
    return value


def _is_shallow(body: bytes, depth_max: int) -> bool:
    return finish(_is_shallow_throughout(finish(outside_strings(body)), depth_max))


def _is_shallow_throughout(outside: bytes, depth_max: int) -> Steps[bool]:
    """Whether brackets match and nest at most so deep; decided without recursion, in time linear in the text.

    Text that is not JSON may be misread here, never its longest valid beginning: the scanner gets no deeper.
    """
    found: list[bytes] = []
    for begin in range(0, len(outside), PIECE_BYTES):
        found.append(outside[begin : begin + PIECE_BYTES].translate(_ONE_KIND, _NOT_BRACKETS))
        yield
    brackets = b"".join(found)
    for _ in range(depth_max):
        without_innermost = brackets.replace(b"[]", b"")
        if len(without_innermost) == len(brackets):
            break
        brackets = without_innermost
        yield
    return not brackets


def _too_deep(depth_max: int) -> Refused:
    return _malformed(f"JSON must close its brackets and nest at most {depth_max} deep: make it flatter")


def _malformed(sentence: str) -> Refused:
    return Refused(sentence, rpc_code=RpcCode.PARSE_ERROR)


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise _Fault(_TWICE)
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
