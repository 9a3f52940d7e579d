"""What an audit entry keeps of a call's arguments: everything but secrets and long texts.

A value that is taken out leaves a marker, `[redacted len=40 digest=0123456789abcdef]`: its length in bytes of
UTF-8 (of its JSON spelling, when it is no text) and the first 64 bits of a digest keyed by the server. Equal
values have equal markers, so they can be searched for and replayed for equality without being readable.

Taken out are
- values under a name that holds a secret's word (`SECRET_WORDS`, whole words of camelCase, snake_case and the
  like), with everything that is nested below, unless the catalog says that the argument names a resource;
- the `value` beside a `name` or `key` that says so: `{"name": "Authorization", "value": "..."}`;
- texts, and names, that hold a token of a known format, or that look like a marker of ours;
- texts over 1,024 bytes, and names over 1,024 characters, whose values count as secret: nobody reads through them.

What a long message holds is redacted in steps (`Redactor.redact_in_steps`), with the same outcome.
"""

import hmac
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count, pairwise

from wicket.core.model import Json, JsonObject
from wicket.core.steps import Steps

TEXT_BYTES_MAX = 1_024
NAMES_MAX = 4_096
"""Names of arguments that are remembered as secret or not: the same few come again and again."""
NAME_CHARS_MAX = 64
"""Longer ones are the caller's to invent, megabytes of them, and are not remembered."""
LONG_CHARS = 64 * 1024
"""Of a text of which no more is looked at in one step."""
VALUES_A_STEP = 16
"""Each of them may have a name and a text to look through."""
SECRET_WORDS = frozenset({
    "token", "tokens", "password", "passwords", "secret", "secrets", "authorization", "credential", "credentials",
    "cookie", "cookies", "apikey", "apikeys", "privatekey", "privatekeys",
})  # fmt: skip
SECRET_PAIRS = frozenset({("api", "key"), ("api", "keys"), ("private", "key"), ("private", "keys")})
"""Secrets that are two words."""

_NUMBERS = (int, float)
_DIGEST_LENGTH = 16
_MARKER_START = "[redacted len="
_SECRET_HINT = re.compile(r"token|password|secret|authorization|credential|cookie|key", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TOKEN_LENGTH_MIN = 10
_TOKEN = re.compile(
    r"gh[pousr]_[A-Za-z0-9]{10}"  # GitHub
    r"|github_pat_[A-Za-z0-9_]{10}"
    r"|xox[a-z]-[A-Za-z0-9-]{8}|xapp-[0-9]"  # Slack
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{4}|whsec_[A-Za-z0-9]{8}"  # Stripe
    r"|lin_(?:api|oauth)_[A-Za-z0-9]{4}"  # Linear
    r"|wkt_[A-Za-z0-9_-]{4}"  # our own API tokens
    r"|eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4}"  # JSON Web Tokens
    r"|A(?:KIA|SIA)[A-Z0-9]{12}|AIza[A-Za-z0-9_-]{30}|ya29\.[A-Za-z0-9_-]{10}"  # AWS, Google
    r"|hf_[A-Za-z0-9]{20}|ntn_[A-Za-z0-9]{20}|secret_[A-Za-z0-9]{30}"  # Hugging Face, Notion
    r"|pat[A-Za-z0-9]{14}\.[0-9a-f]{32}|pat-[a-z]{2}[0-9]-[0-9a-f]{8}"  # Airtable, HubSpot
    r"|sbp_[0-9a-f]{20}|pscale_[a-z]+_[A-Za-z0-9._-]{8}|sntry[su]_[A-Za-z0-9]{8}"  # Supabase, PlanetScale, Sentry
    r"|ATATT3[A-Za-z0-9_=-]{10}|sk-[A-Za-z0-9_-]{20}|glpat-[A-Za-z0-9_-]{10}|npm_[A-Za-z0-9]{20}"
    r"|[Bb](?:earer|EARER)\s+(?=\S*[0-9A-Z_.~+/=-])[A-Za-z0-9._~+/=-]{6}"
    r"|[Bb](?:asic|ASIC)\s+(?=\S*[0-9A-Z+/=])[A-Za-z0-9+/=]{8}"
    r"|-----BEGIN [A-Z0-9 ]*PRIVATE KEY"
    r"|\[redacted len="
)

_TOKEN_HINTS = (
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "xox", "xapp-", "k_live_", "k_test_", "whsec_", "lin_api_",
    "lin_oauth_", "wkt_", "eyJ", "AKIA", "ASIA", "AIza", "ya29.", "hf_", "ntn_", "secret_", "pat", "sbp_", "pscale_",
    "sntrys_", "sntryu_", "ATATT3", "sk-", "glpat-", "npm_", "earer", "EARER", "asic", "ASIC", "PRIVATE KEY",
    "[redacted",
)  # fmt: skip
"""One of these is in every text that `_TOKEN` finds something in: searching for them is cheap in a long text."""
_SHORT = 40


class Redactor:
    """Redacts with one digest key."""

    __slots__ = ("_digest_key",)

    def __init__(self, digest_key: bytes) -> None:
        """`digest_key` keys the markers' digests (`ServerKeys.redaction_key`)."""
        self._digest_key = digest_key

    def redact(
        self, arguments: JsonObject, *, keep: frozenset[str] = frozenset(), hide: frozenset[str] = frozenset()
    ) -> JsonObject:
        """The arguments as an entry stores them, built anew.

        `keep` names the arguments that the catalog knows to name resources: their own names do not count as
        secret. `hide` names those that the catalog knows to hold secrets, at whatever depth they stand.
        """
        redacted: JsonObject = {}
        for name, value in arguments.items():
            secret = name in hide or (name not in keep and is_secret_name(name))
            kept = name if len(name) < _TOKEN_LENGTH_MIN else self._clean_name(name)
            is_plain = not secret and (value is None or isinstance(value, _NUMBERS))
            redacted[kept] = value if is_plain else self._clean(value, hide, secret=secret)
        return redacted

    def redact_in_steps(
        self, arguments: JsonObject, *, keep: frozenset[str] = frozenset(), hide: frozenset[str] = frozenset()
    ) -> Steps[JsonObject]:
        """As `redact`, of arguments that are long, or many."""
        redacted: JsonObject = {}
        pace = count()
        for name, value in arguments.items():
            secret = name in hide or (name not in keep and is_secret_name(name))
            kept = (yield from self._marker_in_steps(name)) if _is_long(name) else self._clean_name(name)
            redacted[kept] = yield from self._clean_in_steps(value, hide, pace, secret=secret)
        return redacted

    def marker(self, value: Json) -> str:
        """What stands in the place of `value`; the same for the same value."""
        if isinstance(value, str):
            kind, data = b"s", value.encode("utf-8", "surrogatepass")
        else:
            kind, data = b"j", json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
        return _marker(len(data), hmac.digest(self._digest_key, kind + data, "sha256").hex())

    def _clean(self, value: Json, hide: frozenset[str], *, secret: bool) -> Json:
        if isinstance(value, str):
            if secret or (len(value) >= _TOKEN_LENGTH_MIN and is_secret_text(value)):
                return self.marker(value)
            return value
        if isinstance(value, dict):
            return self._clean_object(value, hide, secret=secret)
        if isinstance(value, list):
            return [self._clean(item, hide, secret=secret) for item in value]
        return self.marker(value) if secret and value is not None else value

    def _clean_object(self, value: JsonObject, hide: frozenset[str], *, secret: bool) -> JsonObject:
        value_is_secret = "value" in value and _names_a_secret(value)
        return {
            self._clean_name(name): self._clean(
                item,
                hide,
                secret=secret
                or name in hide
                or (value_is_secret and name == "value")
                or is_secret_name(name),
            )
            for name, item in value.items()
        }

    def _clean_in_steps(
        self, value: Json, hide: frozenset[str], pace: Iterator[int], *, secret: bool
    ) -> Steps[Json]:
        if next(pace) % VALUES_A_STEP == 0:
            yield
        if isinstance(value, dict):
            return (yield from self._clean_object_in_steps(value, hide, pace, secret=secret))
        if isinstance(value, list):
            return (yield from self._clean_list_in_steps(value, hide, pace, secret=secret))
        if isinstance(value, str) and _is_long(value):
            return (yield from self._marker_in_steps(value))
        return self._clean(value, hide, secret=secret)

    def _clean_list_in_steps(
        self, value: Sequence[Json], hide: frozenset[str], pace: Iterator[int], *, secret: bool
    ) -> Steps[Json]:
        cleaned: list[Json] = [None] * len(value)
        for at, item in enumerate(value):
            if _is_long(item):
                cleaned[at] = yield from self._clean_in_steps(item, hide, pace, secret=secret)
            else:
                cleaned[at] = self._clean(item, hide, secret=secret)
                if next(pace) % VALUES_A_STEP == 0:
                    yield
        return cleaned

    def _clean_object_in_steps(
        self, value: JsonObject, hide: frozenset[str], pace: Iterator[int], *, secret: bool
    ) -> Steps[JsonObject]:
        cleaned: JsonObject = {}
        value_is_secret = "value" in value and _names_a_secret(value)
        for name, item in value.items():
            of_secret = (
                secret or name in hide or (value_is_secret and name == "value") or is_secret_name(name)
            )
            kept = (yield from self._marker_in_steps(name)) if _is_long(name) else self._clean_name(name)
            if _is_long(item):
                cleaned[kept] = yield from self._clean_in_steps(item, hide, pace, secret=of_secret)
            else:
                cleaned[kept] = self._clean(item, hide, secret=of_secret)
                if next(pace) % VALUES_A_STEP == 0:
                    yield
        return cleaned

    def _marker_in_steps(self, text: str) -> Steps[str]:
        digest, length = hmac.new(self._digest_key, b"s", "sha256"), 0
        for begin in range(0, len(text), LONG_CHARS):
            data = text[begin : begin + LONG_CHARS].encode("utf-8", "surrogatepass")
            digest.update(data)
            length += len(data)
            yield
        return _marker(length, digest.hexdigest())

    def _clean_name(self, name: str) -> str:
        return self.marker(name) if len(name) >= _TOKEN_LENGTH_MIN and is_secret_text(name) else name


def _is_long(value: Json) -> bool:
    """Whether a value may take more than one step."""
    return isinstance(value, dict | list) or (isinstance(value, str) and len(value) > LONG_CHARS)


def _marker(length: int, digest: str) -> str:
    return f"{_MARKER_START}{length} digest={digest[:_DIGEST_LENGTH]}]"


def is_marker(value: Json) -> bool:
    """Whether a stored value is a marker: a text of that form in a call's own arguments is redacted too."""
    return isinstance(value, str) and value.startswith(_MARKER_START)


def is_secret_name(name: str) -> bool:
    """Whether a name holds a secret's word: `apiKey`, `x-api-key`, `TOKEN_2`; not `projectKey` or `keyword`."""
    return _is_secret_name(name) if len(name) > NAME_CHARS_MAX else _is_known_secret_name(name)


def _is_secret_name(name: str) -> bool:
    if len(name) > TEXT_BYTES_MAX:
        return True
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
    if _SECRET_HINT.search(name) is None:
        return False
    # Once by case, for `accessToken`, and once without, for `PassWord`.
    return _holds_secret_word(_WORD.findall(name)) or _holds_secret_word(_WORD.findall(name.lower()))


_is_known_secret_name = lru_cache(maxsize=NAMES_MAX)(_is_secret_name)


def is_secret_text(text: str) -> bool:
    """Whether a text is too long to keep, or holds a token of a known format."""
    if len(text) < _TOKEN_LENGTH_MIN:
        return False
    if len(text) > TEXT_BYTES_MAX:
        return True
    if (len(text) <= _SHORT or any(map(text.__contains__, _TOKEN_HINTS))) and _TOKEN.search(text) is not None:
        return True
    return not text.isascii() and len(text.encode("utf-8", "surrogatepass")) > TEXT_BYTES_MAX


def _holds_secret_word(words: list[str]) -> bool:
    lower = [word.lower() for word in words]
    return not SECRET_WORDS.isdisjoint(lower) or any(pair in SECRET_PAIRS for pair in pairwise(lower))


def _names_a_secret(value: JsonObject) -> bool:
    return any(
        isinstance(name := value.get(field), str) and is_secret_name(name) for field in ("name", "key")
    )
