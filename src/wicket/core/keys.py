"""Member keys, and what is sealed under them.

A member key is 24 random bytes in base64: 32 characters, shown once, stored nowhere. Two things come from it:
a digest keyed by the server, by which a request's bearer is recognised, and a key pair, whose public half the
server keeps. What is sealed under that half can be opened only with the key that each request carries.

Sealing is HPKE (RFC 9180, base mode) with X25519, HKDF-SHA256 and AES-256-GCM. The ids that a secret belongs
to are bound in as HPKE `info`, so a sealed token moved to another row does not open.
"""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wicket.core.errors import WicketError

KEY_BYTES = 24
KEY_LENGTH = 32
"""Characters of a member key; 24 bytes fill 32 of them exactly, so each key has one spelling."""
SECRET_BYTES_MIN = 32
SERVER_KEY_ID = "server"
"""Stands for the id of a member key where the server's own key seals."""

_KEY = re.compile(r"[A-Za-z0-9+/]{32}", re.ASCII)
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_FORMAT = b"\x01"
_INFO_LABEL = b"wicket/seal/1"
_MEMBER_PAIR = b"wicket/member-key-pair/1"
_SERVER_PAIR = b"wicket/server-key-pair/1"
_SERVER_DIGEST = b"wicket/server-key-digest/1"
_SERVER_REDACTION = b"wicket/server-redaction/1"
_SERVER_SESSION = b"wicket/server-session/1"
_SERVER_ROUND = b"wicket/server-round-state/1"
_SERVER_INVITE = b"wicket/server-invite/1"
_SERVER_REQUEST = b"wicket/server-request-digest/1"
_SERVER_SIGN_IN = b"wicket/server-sign-in/1"
_SERVER_CHECKPOINT = b"wicket/server-checkpoint/1"


class SealBroken(WicketError):
    """What was sealed does not open: another key, another owner, or other bytes."""

    code = "seal_broken"


@dataclass(frozen=True, slots=True)
class Binding:
    """Whom a sealed secret belongs to. Opens only with every field as it was when sealed."""

    agent_id: str
    member_id: str
    service: str
    connection_id: str
    key_id: str = SERVER_KEY_ID
    """Id of the member key's record, or `SERVER_KEY_ID`."""
    purpose: Literal["connection", "connector", "answer", "second-factor"] = "connection"

    @classmethod
    def of_connector(cls, connector_id: str) -> "Binding":
        """The shared credential of a custom connector, which belongs to no agent and to no member."""
        return cls("", "", "", connector_id, purpose="connector")

    @classmethod
    def of_answer(cls, account_id: str, key: str) -> "Binding":
        """What an account was answered under an idempotency key."""
        return cls("", account_id, "", key, purpose="answer")

    @classmethod
    def of_second_factor(cls, account_id: str) -> "Binding":
        """The secret that an account shares with an authenticator."""
        return cls("", account_id, "", "", purpose="second-factor")

    def encode(self) -> bytes:
        """HPKE's `info`: each field behind its length, so that no two bindings share an encoding."""
        texts = (self.purpose, self.agent_id, self.member_id, self.service, self.connection_id, self.key_id)
        parts = [_INFO_LABEL]
        for text in texts:
            encoded = text.encode()
            parts += (len(encoded).to_bytes(4, "big"), encoded)
        return b"".join(parts)


@dataclass(frozen=True, slots=True, repr=False)
class _Derived:
    """What one server secret gives."""

    digest_base: hmac.HMAC
    """Keyed, with nothing in it yet."""
    redaction_key: bytes
    session_key: bytes
    round_key: bytes
    invite_key: bytes
    request_key: bytes
    sign_in_key: bytes
    checkpoint_key: Ed25519PrivateKey
    private_key: X25519PrivateKey

    @classmethod
    def of(cls, secret: bytes) -> "_Derived":
        return cls(
            digest_base=hmac.new(_derive(secret, _SERVER_DIGEST), digestmod="sha256"),
            redaction_key=_derive(secret, _SERVER_REDACTION),
            session_key=_derive(secret, _SERVER_SESSION),
            round_key=_derive(secret, _SERVER_ROUND),
            invite_key=_derive(secret, _SERVER_INVITE),
            request_key=_derive(secret, _SERVER_REQUEST),
            sign_in_key=_derive(secret, _SERVER_SIGN_IN),
            checkpoint_key=Ed25519PrivateKey.from_private_bytes(_derive(secret, _SERVER_CHECKPOINT)),
            private_key=X25519PrivateKey.from_private_bytes(_derive(secret, _SERVER_PAIR)),
        )

    def digest(self, key: str) -> bytes:
        # A copy, and not `hmac.digest`, which lets other threads run: waiting for one of them takes longer than this.
        keyed = self.digest_base.copy()
        keyed.update(key.encode("ascii"))
        return keyed.digest()


class ServerKeys:
    """The server's keys, newest first: the newest seals and digests, each of them recognises and opens."""

    __slots__ = ("_derived", "public_key")

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Derive from one or several secrets of at least 32 bytes; raises ValueError when there is none."""
        if not secrets or any(len(secret) < SECRET_BYTES_MIN for secret in secrets):
            raise ValueError(
                f"the server needs one secret or several, each of at least {SECRET_BYTES_MIN} bytes"
            )
        self._derived = tuple(_Derived.of(secret) for secret in secrets)
        self.public_key: bytes = self._derived[0].private_key.public_key().public_bytes_raw()
        """The newest sealing key's public half, 32 bytes."""

    @property
    def redaction_key(self) -> bytes:
        """Keys the digests in audit entries (`core.redaction`), 32 bytes."""
        return self._derived[0].redaction_key

    @property
    def session_key(self) -> bytes:
        """Signs the values of `Mcp-Session-Id`, 32 bytes."""
        return self._derived[0].session_key

    @property
    def checkpoint_keys(self) -> tuple[Ed25519PrivateKey, ...]:
        """The newest signs statements about the log (`core.checkpoints`); the older ones have signed some."""
        return tuple(derived.checkpoint_key for derived in self._derived)

    @property
    def round_keys(self) -> tuple[bytes, ...]:
        """Seal what an upstream wants back with a caller's next round, 32 bytes each, newest secret first."""
        return tuple(derived.round_key for derived in self._derived)

    @property
    def invite_keys(self) -> tuple[bytes, ...]:
        """Sign invitations, 32 bytes each, newest secret first."""
        return tuple(derived.invite_key for derived in self._derived)

    @property
    def request_keys(self) -> tuple[bytes, ...]:
        """Key the digests of requests that may be repeated, 32 bytes each, newest secret first."""
        return tuple(derived.request_key for derived in self._derived)

    @property
    def sign_in_keys(self) -> tuple[bytes, ...]:
        """Key the digests of sign-in codes, which are short, 32 bytes each, newest secret first."""
        return tuple(derived.sign_in_key for derived in self._derived)

    def digest(self, key: str) -> bytes:
        """The digest that a new key is stored under: HMAC-SHA256 with the newest secret, 32 bytes."""
        return self._derived[0].digest(key)

    def digests(self, key: str) -> tuple[bytes, ...]:
        """Every digest under which `key` may be stored, newest secret first."""
        return tuple(derived.digest(key) for derived in self._derived)

    def seal(self, plaintext: bytes, binding: Binding) -> bytes:
        """Seal under the newest secret."""
        return seal(plaintext, self.public_key, binding)

    def open_sealed(self, sealed: bytes, binding: Binding) -> bytes:
        """Open what any of the secrets has sealed; raises SealBroken."""
        for derived in self._derived[:-1]:
            try:
                return open_sealed(sealed, derived.private_key, binding)
            except SealBroken:
                continue
        return open_sealed(sealed, self._derived[-1].private_key, binding)


def make_key(random: bytes) -> str:
    """The member key of 24 random bytes."""
    if len(random) != KEY_BYTES:
        raise ValueError(f"a member key is made of {KEY_BYTES} bytes, not of {len(random)}")
    return b64encode(random).decode("ascii")


def is_key(text: str) -> bool:
    """Whether this can be a member key at all: 32 characters of the standard base64 alphabet."""
    return _KEY.fullmatch(text) is not None


def digest(server: ServerKeys, key: str) -> bytes:
    """The digest by which a request's bearer is recognised."""
    return server.digest(key)


def private_key(key: str) -> X25519PrivateKey:
    """The half that opens what is sealed under a member key; raises ValueError for text that is no key."""
    if not is_key(key):
        raise ValueError("not a member key: 32 characters of the standard base64 alphabet")
    return X25519PrivateKey.from_private_bytes(_derive(b64decode(key), _MEMBER_PAIR))


def key_pair(key: str) -> tuple[X25519PrivateKey, bytes]:
    """The private half, and the public half as the 32 bytes that are stored."""
    private = private_key(key)
    return private, private.public_key().public_bytes_raw()


def seal(plaintext: bytes, public_key: bytes, binding: Binding) -> bytes:
    """Seal for the holder of a key pair; two seals of one plaintext differ."""
    receiver = X25519PublicKey.from_public_bytes(public_key)
    return _FORMAT + _SUITE.encrypt(plaintext, receiver, binding.encode())


def open_sealed(sealed: bytes, private: X25519PrivateKey, binding: Binding) -> bytes:
    """What was sealed; raises SealBroken when key, binding or bytes are not those of the seal."""
    if not sealed.startswith(_FORMAT):
        raise SealBroken("the stored credential is of an unknown format: connect the service again")
    try:
        return _SUITE.decrypt(sealed[len(_FORMAT) :], private, binding.encode())
    except InvalidTag as broken:
        raise SealBroken(
            "the stored credential does not open with this key: connect the service again"
        ) from broken


def reseal(
    sealed: bytes, *, private: X25519PrivateKey, binding: Binding, public_key: bytes, new_binding: Binding
) -> bytes:
    """Open under the old key and seal under the new one; raises SealBroken."""
    return seal(open_sealed(sealed, private, binding), public_key, new_binding)


def _derive(secret: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=label).derive(secret)
