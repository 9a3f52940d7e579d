"""The state of a call that takes several rounds (MCP 2026-07-28, basic/utilities/mrtr), sealed for the way round.

An upstream that needs input answers with questions and a state, which the client sends back with the answers. On
the way it is in foreign hands, and what comes back must not open anything but the call that it was handed out
for: it is encrypted, dated, and bound to the member, the service, the method, the tool and the arguments.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wicket.core.model import JsonObject

STATE_TTL_S: Final = 900
"""For people to answer in."""
STATE_CHARS_MAX: Final = 64 * 1024
NONCE_BYTES: Final = 12
_DATE_BYTES: Final = 8
_LABEL: Final = b"wicket/round-state/1\0"


class StateBroken(Exception):
    """Not sealed here, sealed for another call, or too old; which of them is nobody's business."""


@dataclass(frozen=True, slots=True)
class Round:
    """The call that a state belongs to."""

    member_id: str
    service: str
    method: str
    tool: str
    arguments: JsonObject

    def digest(self) -> bytes:
        """Over everything, so that no two calls share one."""
        parts = [self.member_id, self.service, self.method, self.tool, self.arguments]
        return sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).digest()


def seal_state(state: str, call: Round, *, key: bytes, nonce: bytes, now: datetime) -> str:
    """What the client is given; `nonce` is 12 fresh random bytes."""
    until = int(now.timestamp()) + STATE_TTL_S
    plain = until.to_bytes(_DATE_BYTES, "big") + state.encode("utf-8", "surrogatepass")
    sealed = AESGCM(key).encrypt(nonce, plain, _LABEL + call.digest())
    return urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()


def open_state(sealed: str, call: Round, *, keys: Sequence[bytes], now: datetime) -> str:
    """What the upstream had said; raises StateBroken."""
    raw = _decoded(sealed)
    for key in keys:
        try:
            plain = AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _LABEL + call.digest())
        except InvalidTag:
            continue
        if int.from_bytes(plain[:_DATE_BYTES], "big") < now.timestamp():
            raise StateBroken
        return plain[_DATE_BYTES:].decode("utf-8", "surrogatepass")
    raise StateBroken


def _decoded(sealed: str) -> bytes:
    """Strict: only the spelling that was handed out."""
    if len(sealed) > 2 * STATE_CHARS_MAX:
        raise StateBroken
    try:
        raw = urlsafe_b64decode(sealed.encode() + b"=" * (-len(sealed) % 4))
    except (BadBase64, ValueError) as error:
        raise StateBroken from error
    if len(raw) <= NONCE_BYTES + _DATE_BYTES or urlsafe_b64encode(raw).rstrip(b"=").decode() != sealed:
        raise StateBroken
    return raw
