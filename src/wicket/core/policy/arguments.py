"""Conditions of a policy on the arguments of a call: as values, read and written.

A condition that cannot be told of a call (the argument is absent, null, of another type than what it is compared
with, or there in two spellings) is *unknown*: a permit's does not hold, a forbid's does.
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeAlias

from wicket.core.errors import Invalid
from wicket.core.jsonrpc import render_json_text
from wicket.core.model import Json, JsonObject
from wicket.core.policy.fields import (
    check_distinct,
    parse_boolean,
    parse_choice,
    parse_integer,
    parse_list,
    parse_match,
    parse_object,
    parse_required,
)

ARGUMENTS_MAX: Final = 20
CHOICES_MAX: Final = 200
VALUE_LENGTH_MAX: Final = 1_000
PATH_LENGTH_MAX: Final = 300
DEPTH_MAX: Final = 8
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
"""Of Cedar's integers."""
EACH: Final = "[*]"
EACH_KEPT_MAX: Final = 1_024
"""Conditions on each item that are read once."""

SEGMENT_GRAMMAR: Final = re.compile(r"[^\s.\[\]\"'`\\\x00-\x1f\x7f]+(\[\*\])?")
SINGLE_GRAMMAR: Final = re.compile(r"[^\ud800-\udfff\x00-\x08\x0b-\x1f\x7f]*")


class ArgumentOperator(StrEnum):
    EQUALS = "equals"
    NOT_EQUALS = "notEquals"
    IN = "in"
    NOT_IN = "notIn"
    CONTAINS = "contains"
    """A text holds a text, or a list holds an item."""
    STARTS_WITH = "startsWith"
    ENDS_WITH = "endsWith"
    AT_LEAST = "atLeast"
    AT_MOST = "atMost"
    EXISTS = "exists"


LISTING: Final = frozenset({ArgumentOperator.IN, ArgumentOperator.NOT_IN})
"""Compared with a list."""
TEXTUAL: Final = frozenset({ArgumentOperator.STARTS_WITH, ArgumentOperator.ENDS_WITH})
NUMERIC: Final = frozenset({ArgumentOperator.AT_LEAST, ArgumentOperator.AT_MOST})

Scalar: TypeAlias = str | int
"""A bool is one too; of a number with a fraction it is the text."""


@dataclass(frozen=True, slots=True)
class ArgumentCondition:
    """What is said of the argument at a path; of each of them, where the path goes through `[*]`."""

    path: str
    operator: ArgumentOperator
    values: tuple[Scalar, ...]
    """One, but for `in` and `notIn`; all of one type."""

    @property
    def of_each(self) -> bool:
        return EACH in self.path

    @property
    def value(self) -> Scalar:
        return self.values[0]

    @property
    def kind(self) -> type:
        """Of what it is compared with: `str`, `int` or `bool`."""
        return type(self.values[0])


def segments_of(path: str) -> list[tuple[str, bool]]:
    """The names that a path goes through, and of each whether it goes on in every item: `files[*].path`."""
    return [(part.removesuffix(EACH), part.endswith(EACH)) for part in path.split(".")]


def parse_arguments(raw: Json) -> tuple[ArgumentCondition, ...]:
    """Read `arguments`, a list of conditions that must all hold."""
    items = [] if raw is None else parse_list(raw, "arguments", count_max=ARGUMENTS_MAX)
    conditions = tuple(_parse_condition(item, f"arguments[{i}]") for i, item in enumerate(items))
    check_distinct(conditions, "arguments")
    return conditions


def _parse_condition(raw: Json, field: str) -> ArgumentCondition:
    raw = parse_object(raw, field, ("path", "operator", "value"))
    path = _parse_path(parse_required(raw, "path", f"{field}.path"), f"{field}.path")
    operator = parse_choice(
        parse_required(raw, "operator", f"{field}.operator"), f"{field}.operator", ArgumentOperator
    )
    value = parse_required(raw, "value", f"{field}.value")
    return ArgumentCondition(path, operator, _parse_values(operator, value, f"{field}.value"))


def _parse_path(raw: Json, field: str) -> str:
    problem = Invalid(f"`{field}` must be a path like `branch` or `files[*].path`", field=field)
    if not isinstance(raw, str) or len(raw) > PATH_LENGTH_MAX:
        raise problem
    parts = raw.split(".")
    if len(parts) > DEPTH_MAX or not all(SEGMENT_GRAMMAR.fullmatch(part) for part in parts):
        raise problem
    return raw


def _parse_values(operator: ArgumentOperator, raw: Json, field: str) -> tuple[Scalar, ...]:
    if operator in LISTING:
        items = parse_list(raw, field, count_min=1, count_max=CHOICES_MAX)
        values = tuple(_parse_scalar(item, f"{field}[{i}]") for i, item in enumerate(items))
        if len({type(value) for value in values}) > 1:
            raise Invalid(f"`{field}` must be all texts, all integers or all booleans", field=field)
        check_distinct(values, field)
        return values
    if operator is ArgumentOperator.EXISTS:
        return (parse_boolean(raw, field),)
    if operator in NUMERIC:
        return (parse_integer(raw, field, least=INTEGER_MIN, most=INTEGER_MAX),)
    value = _parse_scalar(raw, field)
    if operator in TEXTUAL and not isinstance(value, str):
        raise Invalid(f"`{field}` must be a text, `{operator}` compares texts", field=field)
    if operator is ArgumentOperator.CONTAINS and isinstance(value, bool):
        raise Invalid(f"`{field}` must be a text or an integer", field=field)
    return (value,)


def _parse_scalar(raw: Json, field: str) -> Scalar:
    match raw:
        case bool():
            return raw
        case int():
            return parse_integer(raw, field, least=INTEGER_MIN, most=INTEGER_MAX)
        case float():
            return text_of(raw)
        case str() if len(raw) <= VALUE_LENGTH_MAX:
            return parse_match(raw, field, SINGLE_GRAMMAR, "a text without control characters")
        case _:
            raise Invalid(
                f"`{field}` must be a text of at most {VALUE_LENGTH_MAX} characters, an integer or a boolean",
                field=field,
            )


def each_text(condition: ArgumentCondition) -> str:
    """A condition as one text: `files[*].path startsWith "src/"`."""
    value = [*condition.values] if condition.operator in LISTING else condition.value
    return f"{condition.path} {condition.operator} {json.dumps(value)}"


@lru_cache(maxsize=EACH_KEPT_MAX)
def parse_each(text: str) -> ArgumentCondition:
    """Read what `each_text` wrote."""
    path, operator, value = text.removeprefix(".").split(" ", 2)
    return _parse_condition({"path": path, "operator": operator, "value": json.loads(value)}, "arguments")


def text_of(number: float) -> str:
    """The text that a number with a fraction is compared as: its shortest JSON spelling."""
    return render_json_text(number)


def render_argument(condition: ArgumentCondition) -> JsonObject:
    """Write one item of what `parse_arguments` read."""
    value: Json = [*condition.values] if condition.operator in LISTING else condition.value
    return {"path": condition.path, "operator": condition.operator.value, "value": value}
