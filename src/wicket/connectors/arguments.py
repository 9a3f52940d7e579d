"""Arguments that name resources, read by strict grammars and never repaired.

A value is what its grammar says, or the call is refused: what we would read one way and an upstream another must
not be decided at all. So the name of such an argument has one spelling too, because some upstreams read names
without regard to case.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wicket.core.errors import Invalid
from wicket.core.model import Json, JsonObject

NUMBER_MAX: Final = 2**53 - 1
"""Beyond it, not every reader of JSON sees the same number."""
NAME_CHARS_MAX: Final = 256
"""No service has an argument of a longer name; those of callers may have megabytes, and folding makes none shorter."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a text must look like, for the machine and for people."""

    pattern: re.Pattern[str]
    says: str
    """How a refusal goes on: `owner` must be ..."""


class Arguments:
    """The arguments of one call."""

    __slots__ = ("_folded", "_raw", "replaced")

    def __init__(self, raw: Mapping[str, Json]) -> None:
        self._raw = raw
        self._folded: dict[str, str] = {}
        for name in raw:
            if len(name) > NAME_CHARS_MAX:
                continue
            key = name.casefold()
            # The one that is not spelled as it folds is the one to stumble over.
            if key not in self._folded or name != key:
                self._folded[key] = name
        self.replaced: JsonObject = {}
        """Arguments that are forwarded in another, canonical spelling."""

    def has(self, name: str) -> bool:
        """Whether an argument is there; raises Invalid where one is that another reader may take for it."""
        raw = self._raw
        if name in raw:
            folded = name.casefold()
            if self._folded[folded] == name or not self._has_other(name, folded):
                return True
            raise Invalid(f"`{name}` is there in two spellings: say it once", field=name)
        if name.casefold() in self._folded:
            raise Invalid(f"the argument is spelled `{name}`", field=name)
        return False

    def text(self, name: str, grammar: Grammar) -> str | None:
        """The text, or None where there is none; raises Invalid for anything that the grammar does not know."""
        if not self.has(name):
            return None
        value = self._raw[name]
        if not isinstance(value, str) or grammar.pattern.fullmatch(value) is None:
            raise Invalid(f"`{name}` must be {grammar.says}", field=name)
        return value

    def number(self, name: str) -> int | None:
        """The whole number from 1, or None where there is none; raises Invalid for anything else."""
        if not self.has(name):
            return None
        value = self._raw[name]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= NUMBER_MAX:
            raise Invalid(f"`{name}` must be a whole number from 1, not written as a text", field=name)
        return value

    def _has_other(self, name: str, folded: str) -> bool:
        return any(
            len(other) <= NAME_CHARS_MAX and other != name and other.casefold() == folded
            for other in self._raw
        )
