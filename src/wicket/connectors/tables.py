"""Strict reading of the catalog's files: each raises Invalid with the dotted path of what is wrong."""

import re
from collections.abc import Collection, Mapping
from typing import TypeAlias

from wicket.core.errors import Invalid
from wicket.core.model import Tier

Table: TypeAlias = Mapping[str, object]

ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def check_fields(raw: Table, known: frozenset[str], path: str) -> None:
    """Refuse fields that are not known."""
    for name in raw:
        if name not in known:
            raise Invalid(f"`{name}` is no field here: {', '.join(sorted(known))}", field=f"{path}.{name}")


def table(value: object, path: str) -> Table:
    """A table."""
    if not isinstance(value, dict):
        raise Invalid("a table is needed here", field=path)
    return value


def text(value: object, path: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise Invalid("a text is needed here", field=path)
    return value


def texts(value: object, path: str) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise Invalid("a list of texts is needed here", field=path)
    return tuple(text(item, path) for item in value)


def matching(value: object, grammar: re.Pattern[str], path: str) -> str:
    """A text of a grammar."""
    said = text(value, path)
    if grammar.fullmatch(said) is None:
        raise Invalid(f"`{said}` does not match {grammar.pattern}", field=path)
    return said


def arguments(value: object, path: str) -> tuple[str, ...]:
    """A list of names of arguments."""
    return tuple(matching(name, ARGUMENT, path) for name in texts(value, path))


def tier(value: object, path: str) -> Tier:
    """One of the tiers."""
    return Tier(one_of(value, tuple(Tier), path))


def pattern(value: object, path: str) -> str:
    """A regular expression, or nothing."""
    said = text(value, path)
    try:
        re.compile(said)
    except re.error as error:
        raise Invalid(f"`{said}` is no regular expression: {error}", field=path) from error
    return said


def flag(value: object, path: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Invalid("true or false is needed here", field=path)
    return value


def one_of(value: object, known: Collection[str], path: str) -> str:
    """A text of a closed list."""
    said = text(value, path)
    if said not in known:
        raise Invalid(f"`{said}` is none of {', '.join(known)}", field=path)
    return said
