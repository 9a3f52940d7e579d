"""Nodes of Cedar's JSON expressions, as the compiler makes them (Cedar documentation, "JSON policy format")."""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from wicket.core.model import Json, JsonObject

Expression: TypeAlias = JsonObject

CONTEXT: Final[Expression] = {"Var": "context"}
RESOURCE: Final[Expression] = {"Var": "resource"}


def joined(operator: str, parts: Sequence[Expression]) -> Expression:
    """Join with `&&` or `||`, in a balanced tree: Cedar reads its JSON form to a depth of 128, a chain goes deeper."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return binary(operator, joined(operator, parts[:middle]), joined(operator, parts[middle:]))


def binary(operator: str, left: Expression, right: Expression) -> Expression:
    """Two expressions joined by an operator, or by the method of the left one."""
    return {str(operator): {"left": left, "right": right}}


def literal(value: Json) -> Expression:
    """A text, integer, bool or entity."""
    return {"Value": value}


def literals(values: Iterable[Json]) -> Expression:
    """A set of literals."""
    return {"Set": [literal(value) for value in values]}


def read(record: Expression, *path: str) -> Expression:
    """The attribute of an attribute of .. a record or entity."""
    for name in path:
        record = {".": {"left": record, "attr": str(name)}}
    return record


def context(*path: str) -> Expression:
    """An attribute of the request's context."""
    return read(CONTEXT, *path)


def has(record: Expression, attribute: str) -> Expression:
    """A record or entity has an attribute."""
    return {"has": {"left": record, "attr": attribute}}


def choose(test: Expression, then: Expression, other: Expression) -> Expression:
    """The one expression where the test holds, and the other where it does not."""
    return {"if-then-else": {"if": test, "then": then, "else": other}}


def is_type(entity: Expression, kind: str) -> Expression:
    """An entity is of a type."""
    return {"is": {"left": entity, "entity_type": kind}}


def within(entity: Expression, kind: str, ids: Iterable[str]) -> Expression:
    """The entity is one of those of a type, or lies in one; a set of several types has no type itself in Cedar."""
    return binary("in", entity, literals({"__entity": {"type": kind, "id": one}} for one in ids))


def like(text: Expression, pattern: Sequence[str | None]) -> Expression:
    """A text has the form of a pattern; None stands for any text."""
    parts: list[Json] = ["Wildcard" if part is None else {"Literal": part} for part in pattern]
    return {"like": {"left": text, "pattern": parts}}
