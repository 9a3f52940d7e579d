"""Readers of one JSON field each: a value of the right shape, or `Invalid` that names the field.

Booleans are not integers here, and texts hold neither control characters nor halves of surrogate pairs.
"""

import re
import unicodedata
from collections.abc import Collection
from enum import StrEnum
from typing import TypeVar

from wicket.core.errors import Invalid
from wicket.core.model import Json, JsonObject

E = TypeVar("E", bound=StrEnum)

FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def parse_object(raw: Json, field: str, known: Collection[str]) -> JsonObject:
    """Read an object all of whose fields are `known`."""
    if not isinstance(raw, dict):
        raise Invalid(f"`{field or 'policy'}` must be an object", field=field or "policy")
    for name in raw:
        if name not in known:
            path = f"{field}.{name}" if field else name
            raise Invalid(
                f"`{path}` is not a field that is known here, use {', '.join(sorted(known))}", field=path
            )
    return raw


def parse_required(raw: JsonObject, name: str, field: str) -> Json:
    """Read what must be there and must not be null."""
    if raw.get(name) is None:
        raise Invalid(f"`{field}` is missing, give it a value", field=field)
    return raw[name]


def parse_text(raw: Json, field: str, *, length_max: int, keep: str = "") -> str:
    """Read a text that is not blank; of the control characters only those in `keep` may occur."""
    if not isinstance(raw, str) or not raw.strip():
        raise Invalid(f"`{field}` must be a text that is not empty", field=field)
    if len(raw) > length_max:
        raise Invalid(f"`{field}` must have at most {length_max} characters", field=field)
    if any(c not in keep and unicodedata.category(c) in FORBIDDEN_CATEGORIES for c in raw):
        raise Invalid(f"`{field}` must not hold control characters", field=field)
    return raw


def parse_match(raw: Json, field: str, grammar: re.Pattern[str], meaning: str) -> str:
    """Read a text that is wholly of a grammar; `meaning` tells people which."""
    if not isinstance(raw, str) or not grammar.fullmatch(raw):
        raise Invalid(f"`{field}` must be {meaning}", field=field)
    return raw


def parse_integer(raw: Json, field: str, *, least: int, most: int) -> int:
    """Read an integer between bounds, both inclusive."""
    if not isinstance(raw, int) or isinstance(raw, bool) or not least <= raw <= most:
        raise Invalid(f"`{field}` must be an integer from {least} to {most}", field=field)
    return raw


def parse_boolean(raw: Json, field: str) -> bool:
    """Read true or false, and nothing that merely counts as one of them."""
    if not isinstance(raw, bool):
        raise Invalid(f"`{field}` must be true or false", field=field)
    return raw


def parse_choice(raw: Json, field: str, choices: type[E]) -> E:
    """Read one of the values of an enumeration, spelled exactly."""
    for choice in choices:
        if raw == choice.value:
            return choice
    raise Invalid(f"`{field}` must be one of {', '.join(c.value for c in choices)}", field=field)


def parse_list(raw: Json, field: str, *, count_max: int, count_min: int = 0) -> list[Json]:
    """Read a list whose length is between bounds, both inclusive."""
    if not isinstance(raw, list) or not count_min <= len(raw) <= count_max:
        raise Invalid(f"`{field}` must be a list of {count_min} to {count_max} items", field=field)
    return raw


def check_distinct(items: Collection[object], field: str) -> None:
    """Raise `Invalid` when an item of `field` occurs twice."""
    if len(set(items)) != len(items):
        raise Invalid(f"`{field}` names an item twice, name each once", field=field)
