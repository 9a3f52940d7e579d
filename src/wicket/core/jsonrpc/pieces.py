r"""Long documents piece by piece: what is looked for in the bytes of JSON, without a long stretch for a long text.

A piece ends where no escape does not: an escaped backslash, a `\u` and a pair of surrogates are whole in one of them.
"""

import re
from collections.abc import Iterator
from typing import Final

from wicket.core.steps import Steps

PIECE_BYTES: Final = 64 * 1024
"""Looked through in well below a millisecond, whatever they hold."""
BACKSLASH: Final = ord("\\")
"""As a number: what holds none is known for that at once."""
SUSPECT: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""A half of a pair of surrogates, or U+0000: what holds none needs no closer look."""
REPLACEMENT: Final = rb"\ufffd"
_PAIR_BYTES: Final = 12
_HALF_BYTES: Final = 6
_LOW: Final = re.compile(rb"\\u[dD][c-fC-F]")
_PAIR: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
# Read from the left, so that an escaped backslash and a pair of surrogates are consumed whole; what is left for
# the group stands for no character.
_ESCAPE: Final = re.compile(
    rb"\\\\"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<unusable>\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2}))"
)


def pieces_of(body: bytes) -> Iterator[bytes]:
    """The body in pieces of about `PIECE_BYTES`."""
    begin = 0
    while begin < len(body):
        end = begin + PIECE_BYTES
        end = _cut(body, begin, end) if end < len(body) else len(body)
        yield body[begin:end]
        begin = end


def _cut(body: bytes, begin: int, end: int) -> int:
    """Where near `end` a piece may end that began between two escapes, as the one before it ended."""
    at = body.rfind(b"\\", end - _PAIR_BYTES, end)
    if at < 0:
        return end
    before = body[begin : at + 1]
    if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
        return at + 1
    # It begins an escape, which may be the second half of a pair, or else the first.
    return at + _HALF_BYTES if _LOW.match(body, at) else at


def outside_strings(body: bytes) -> Steps[bytes]:
    """What of a document is in none of its strings; of what is no document, what is in none before the fault."""
    outside: list[bytes] = []
    is_inside = 0
    for piece in pieces_of(body):
        plain = piece
        if BACKSLASH in piece:
            plain = piece.replace(rb"\\", b"").replace(rb"\"", b"")
        parts = plain.split(b'"')
        outside.append(b"".join(parts[is_inside::2]))
        is_inside ^= (len(parts) - 1) & 1
        yield
    return b"".join(outside)


def is_usable(body: bytes) -> bool:
    """Whether each escape stands for a character: there is no U+0000, and no half of a pair of surrogates."""
    if SUSPECT.search(body) is None:
        return True
    return SUSPECT.search(_PAIR.sub(b" ", body.replace(rb"\\", b" "))) is None


def usable(body: bytes) -> bytes:
    """The body with U+FFFD for each escape that stands for no character."""
    if is_usable(body):
        return body
    return _ESCAPE.sub(lambda found: REPLACEMENT if found["unusable"] else found[0], body)


def is_usable_throughout(body: bytes) -> Steps[bool]:
    """`is_usable`, of a long body."""
    if BACKSLASH in body:
        for piece in pieces_of(body):
            if not is_usable(piece):
                return False
            yield
    return True


def usable_throughout(body: bytes) -> Steps[bytes]:
    """`usable`, of a long body."""
    if BACKSLASH not in body:
        return body
    mended: list[bytes] = []
    for piece in pieces_of(body):
        mended.append(usable(piece))
        yield
    return b"".join(mended)
