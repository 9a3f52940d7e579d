"""The hash chain of the audit log: each row's hash covers the row and the hash before it.

Pure: rows in, hashes or the first flaw out. Which fields a row has, and where a chain begins, is the log's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TypeAlias

Field: TypeAlias = "str | int | bytes | None"
Row: TypeAlias = tuple[int, str, Sequence[Field], bytes]
"""(seq, kind, fields, hash) as stored."""

GENESIS = bytes(32)
"""What the first row of a chain follows."""

_LABEL = b"wicket/chain/1"


def link(previous: bytes, kind: str, fields: Sequence[Field]) -> bytes:
    """The hash of a row behind the row whose hash is `previous`: SHA-256, 32 bytes.

    Each value stands behind its type and its length in characters, so that no two rows share an encoding.
    A bool counts as the integer that databases make of it.
    """
    if len(previous) != len(GENESIS):
        raise ValueError(f"a hash has {len(GENESIS)} bytes, not {len(previous)}")
    text = "".join(
        [
            f"s{len(value)}:{value}"
            if type(value) is str
            else f"i{value};"
            if type(value) is int
            else _encoded(value)
            for value in fields
        ]
    )
    return sha256(b"".join((_LABEL, previous, f"k{len(kind)}:{kind}{text}".encode()))).digest()


def _encoded(value: Field) -> str:
    if value is None:
        return "n"
    if isinstance(value, int):
        return f"i{value:d};"
    if isinstance(value, str):  # an enum's
        return f"s{len(value)}:{value:s}"
    return f"b{len(value)}:{value.hex()}"


class Flaw(StrEnum):
    """What is wrong with a chain at a row."""

    CHANGED = "changed"
    """The row's hash is not that of its content behind the row before: content, hash or order was changed."""
    MISSING = "missing"
    """One row or several before the next one are not there."""
    INSERTED = "inserted"
    """The row's number was taken already, or is smaller than one that came before."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first bad row of a chain."""

    seq: int
    """Number of the row that is changed, missing or inserted."""
    flaw: Flaw


class ChainCheck:
    """Checks a chain row by row, in the order of its numbers, in constant memory.

    `seq` and `hash` are those of the last good row: compare them with a head that was noted elsewhere to find
    a chain that was cut off at its end.
    """

    def __init__(self, *, seq: int = 0, previous: bytes = GENESIS) -> None:
        """Begin behind the row `seq` whose hash is `previous`."""
        self.seq = seq
        self.hash = previous

    def take(self, seq: int, kind: str, fields: Sequence[Field], stored: bytes) -> Break | None:
        """Check the next row; after a Break the state is still that of the last good row."""
        if seq <= self.seq:
            return Break(seq, Flaw.INSERTED)
        if seq != self.seq + 1:
            return Break(self.seq + 1, Flaw.MISSING)
        if link(self.hash, kind, fields) != stored:
            return Break(seq, Flaw.CHANGED)
        self.seq, self.hash = seq, stored
        return None


def first_break(rows: Iterable[Row], *, seq: int = 0, previous: bytes = GENESIS) -> Break | None:
    """The first flaw of a chain that goes on behind row `seq` with hash `previous`, or None."""
    check = ChainCheck(seq=seq, previous=previous)
    return next((flaw for row in rows if (flaw := check.take(*row)) is not None), None)
