"""Which conversation a request belongs to (product contract, "Tool sessions").

Two things are called session. The *MCP session* of the legacy era is a value that we hand out at `initialize`:
random, signed, bound to one member key, so that every replica accepts it without having to remember it. The
*tool session* is what policies count by: its id comes from the client, and is always bound to the key, so that
sessions never mix across members.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Final

from wicket.core.model import JsonObject
from wicket.gateway.http import Inbound

MCP_SESSION_HEADER: Final = "mcp-session-id"
ENDED_MAX: Final = 100_000
SESSIONS_KNOWN_MAX: Final = 1_000
"""Tool sessions whose slots are remembered."""
_RANDOM_BYTES = 16
_TAG_BYTES = 16
_CLIENT_AT = _RANDOM_BYTES + _TAG_BYTES
_NAME_BYTES_MAX, _VERSION_BYTES_MAX = 40, 22  # with the rest, 127 characters: what is longer is not echoed
_SAFE = re.compile(r"[A-Za-z0-9._:\-]{1,128}\Z")
_BEFORE_MCP = ("x-claude-code-session-id",)
_AFTER_MCP = ("openai-conversation-id", "x-mcp-session-id")
_META_KEYS = ("sessionId", "session_id", "conversationId", "conversation_id")


@dataclass(frozen=True, slots=True)
class ClientSession:
    """The tool session that a request names."""

    external_id: str
    """As the client said it, or a fingerprint; safe to echo."""
    slot: str
    """Hex digest of (key, external id): where its facts are kept."""


class McpSessions:
    """Hands out and recognises the values of `Mcp-Session-Id`."""

    def __init__(self, secret: bytes, *, random: Callable[[int], bytes]) -> None:
        self._secret = secret
        self._random = random
        self._ended: dict[str, None] = {}

    def issue(self, key_id: str, *, client_name: str = "", client_version: str = "") -> str:
        """A new unguessable value that only this member key may use; it keeps what the client called itself."""
        nonce = self._random(_RANDOM_BYTES)
        client = _clipped(client_name, _NAME_BYTES_MAX) + b"\0" + _clipped(client_version, _VERSION_BYTES_MAX)
        return _spelled(nonce + self._tag(nonce, key_id, client) + client)

    def is_open(self, value: str, key_id: str) -> bool:
        """Whether we handed `value` out to this member key and it has not been ended."""
        return value not in self._ended and self._is_ours(value, key_id)

    def end(self, value: str) -> None:
        """Remember that the client ended it; the oldest endings are forgotten first."""
        self._ended[value] = None
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    def _is_ours(self, value: str, key_id: str) -> bool:
        try:
            raw = _read(value)
        except (BadBase64, ValueError):
            return False
        if len(raw) <= _CLIENT_AT or _spelled(raw) != value:
            return False  # decoding is lenient; with two spellings, one would outlive the end of the other
        nonce, tag, client = raw[:_RANDOM_BYTES], raw[_RANDOM_BYTES:_CLIENT_AT], raw[_CLIENT_AT:]
        return compare_digest(tag, self._tag(nonce, key_id, client))

    def _tag(self, nonce: bytes, key_id: str, client: bytes) -> bytes:
        signed = b"mcp-session\0" + nonce + key_id.encode() + b"\0" + client
        return hmac_digest(self._secret, signed, "sha256")[:_TAG_BYTES]


@lru_cache(maxsize=SESSIONS_KNOWN_MAX)
def client_of(value: str) -> tuple[str, str]:
    """Name and version of the client that an open `Mcp-Session-Id` was handed out to."""
    name, _, version = _read(value)[_CLIENT_AT:].partition(b"\0")
    return name.decode("utf-8", "ignore"), version.decode("utf-8", "ignore")


def _clipped(text: str, bytes_max: int) -> bytes:
    return text.replace("\0", "").encode("utf-8", "ignore")[:bytes_max]


def _spelled(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _read(value: str) -> bytes:
    return urlsafe_b64decode(value.encode() + b"=" * (-len(value) % 4))


def identify(inbound: Inbound, meta: JsonObject, key_id: str, *, is_session_ours: bool) -> ClientSession:
    """The tool session of a request; its `Mcp-Session-Id` counts only where we handed it out."""
    ours = (MCP_SESSION_HEADER,) if is_session_ours else ()
    for name in (*_BEFORE_MCP, *ours, *_AFTER_MCP):
        if value := inbound.header(name):
            return _session(value, key_id)
    for name in _META_KEYS:
        named = meta.get(name)
        if isinstance(named, str) and named:
            return _session(named, key_id)
    seen = f"{inbound.caller_ip}\0{inbound.header('user-agent') or ''}"
    return _session("fp-" + sha256(seen.encode()).hexdigest()[:24], key_id)


def _session(value: str, key_id: str) -> ClientSession:
    if _SAFE.match(value):
        return _known_session(value, key_id)
    return _known_session("h-" + sha256(value.encode("utf-8", "replace")).hexdigest()[:32], key_id)


@lru_cache(maxsize=SESSIONS_KNOWN_MAX)
def _known_session(external_id: str, key_id: str) -> ClientSession:
    """Remembered for ids that are short: others are the client's to invent, megabytes of them."""
    return ClientSession(external_id, slot=sha256(f"{key_id}\0{external_id}".encode()).hexdigest())
