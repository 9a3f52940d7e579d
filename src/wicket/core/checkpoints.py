"""Signed statements about the log: how far its chains go, and what was pruned of them.

A statement is canonical JSON text, one line of ASCII, and exactly these bytes are signed with Ed25519 (RFC 8032).
Each has a number and names the digest of the one before it, so statements form a chain of their own: who holds one
of them, and the public key, can tell whether the log still has everything that it had then.

Pure: texts and keys in, statements or what is wrong with them out.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, TypeAlias, assert_never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT: Final = "wicket/checkpoint/1"
LINE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of a statement kept outside; far more than any log has chains for."""
_HEX_32: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

Head: TypeAlias = tuple[int, str]
"""(seq, hash in hex) of a row: all rows of its chain up to it are meant."""


class StatementKind(StrEnum):
    CHECKPOINT = "checkpoint"
    PRUNED = "pruned"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far the chains went."""

    heads: Mapping[int, Head]
    """Of those that may have moved since the checkpoint before; where the others ended has been said."""
    ended: frozenset[int]
    """Of these chains, those that will never move again."""
    known: int
    """The greatest writer id there was."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Up to where chains are pruned. Said before the first row is deleted, and again when the last one has been."""

    bounds: Mapping[int, Head]
    """writer -> its last row that is pruned; of the chains that this pruning shortened."""
    cutoff_us: int
    """All of it was older, microseconds since 1970 UTC."""
    rows: int
    is_done: bool


@dataclass(frozen=True, slots=True)
class Statement:
    number: int
    """From 1, without gaps."""
    at_us: int
    previous: str | None
    """Digest of the statement before it."""
    public_key: str
    """Of who signed it, hex."""
    says: Checkpoint | Pruned

    @property
    def kind(self) -> StatementKind:
        return StatementKind.CHECKPOINT if isinstance(self.says, Checkpoint) else StatementKind.PRUNED


class Signer:
    """Signs statements with the newest of the server's keys."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_key: str = private.public_key().public_bytes_raw().hex()

    def sign(self, body: str) -> bytes:
        """64 bytes over exactly this text."""
        return self._private.sign(body.encode("ascii"))


def render_statement(statement: Statement) -> str:
    """The text that is signed."""
    common: dict[str, object] = {
        "format": FORMAT,
        "kind": statement.kind,
        "number": statement.number,
        "at": statement.at_us,
        "previous": statement.previous,
        "publicKey": statement.public_key,
    }
    return json.dumps(common | _content(statement.says), sort_keys=True, separators=(",", ":"))


def _content(says: Checkpoint | Pruned) -> dict[str, object]:
    match says:
        case Checkpoint(heads, ended, known):
            return {"heads": _rendered(heads), "ended": sorted(ended), "known": known}
        case Pruned(bounds, cutoff_us, rows, is_done):
            return {"bounds": _rendered(bounds), "cutoff": cutoff_us, "rows": rows, "isDone": is_done}
        case _ as never:
            assert_never(never)


def parse_statement(body: str) -> Statement:
    """What `render_statement` wrote, to the letter; raises ValueError for anything else."""
    try:
        told = json.loads(body)
        statement = Statement(
            number=int(told["number"]),
            at_us=int(told["at"]),
            previous=None if told["previous"] is None else str(told["previous"]),
            public_key=str(told["publicKey"]),
            says=_said(told),
        )
        is_ours = told["format"] == FORMAT and render_statement(statement) == body
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not a statement about the log") from error
    if not (is_ours and _HEX_32.fullmatch(statement.public_key)):
        raise ValueError("not a statement about the log")
    return statement


def _said(told: Mapping[str, Any]) -> Checkpoint | Pruned:
    match StatementKind(told["kind"]):
        case StatementKind.CHECKPOINT:
            return Checkpoint(_heads(told["heads"]), frozenset(map(int, told["ended"])), int(told["known"]))
        case StatementKind.PRUNED:
            return Pruned(
                _heads(told["bounds"]), int(told["cutoff"]), int(told["rows"]), told["isDone"] is True
            )
        case _ as never:
            assert_never(never)


def _rendered(heads: Mapping[int, Head]) -> dict[str, list[int | str]]:
    return {str(writer): [seq, digest] for writer, (seq, digest) in heads.items()}


def _heads(told: Mapping[str, Sequence[Any]]) -> dict[int, Head]:
    return {int(writer): (int(seq), str(digest)) for writer, (seq, digest) in told.items()}


def digest_of(body: str) -> str:
    """By which the next statement names this one, hex."""
    return sha256(body.encode()).hexdigest()


def fingerprint_of(public_key: str) -> str:
    """A short name of a public key, for people and for rows; 32 hex digits."""
    return sha256(bytes.fromhex(public_key)).hexdigest()[:32]


def is_signed(body: str, signature: bytes, public_key: str) -> bool:
    """Whether the holder of the key has signed exactly this text."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(signature, body.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def parse_public_key(text: str) -> str:
    """A public key as it is written down, 64 hex digits, in small letters; raises ValueError."""
    key = text.strip().lower()
    if not _HEX_32.fullmatch(key):
        raise ValueError("a public key has 64 hexadecimal digits")
    return key


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement with its signature, as it is kept outside: one line of JSON."""

    body: str
    signature: bytes = field(repr=False)

    def render_line(self) -> str:
        """Without the line break."""
        told = {"body": self.body, "signature": self.signature.hex()}
        return json.dumps(told, separators=(",", ":"))

    @classmethod
    def parse_line(cls, line: str) -> "Signed":
        """What `render_line` wrote; raises ValueError. Says nothing of whether the signature is good."""
        if len(line) > LINE_BYTES_MAX:
            raise ValueError("too long for a statement about the log")
        try:
            told = json.loads(line)
            return cls(str(told["body"]), bytes.fromhex(told["signature"]))
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError("not a signed statement about the log") from error
