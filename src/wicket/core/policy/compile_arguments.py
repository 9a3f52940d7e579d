"""Conditions on arguments as Cedar expressions.

What a condition reads of the context is under its argument's path, as a value of the type that it compares with, and
absent where the argument is unknown:

    context.arguments.texts["branch"], .numbers, .flags, .textLists, .numberLists
    context.arguments.present["force"]          whether there is one
    context.arguments.all["files[*].size atMost 5"]     whether it holds of each item, and there is one
    context.arguments.any["files[*].size atMost 5"]     whether it holds, or is unknown, of one item

Cedar cannot look at the items of a list one by one, so the last two are found before it is asked.
"""

from enum import StrEnum
from typing import Final, assert_never

from wicket.core.model import PolicyEffect
from wicket.core.policy.arguments import ArgumentCondition, ArgumentOperator, each_text
from wicket.core.policy.expressions import (
    Expression,
    binary,
    choose,
    context,
    has,
    like,
    literal,
    literals,
)

ARGUMENTS: Final = "arguments"


class Record(StrEnum):
    """Records of `context.arguments`."""

    TEXTS = "texts"
    NUMBERS = "numbers"
    FLAGS = "flags"
    TEXT_LISTS = "textLists"
    NUMBER_LISTS = "numberLists"
    PRESENT = "present"
    ALL = "all"
    ANY = "any"


RECORDS: Final = {str: Record.TEXTS, int: Record.NUMBERS, bool: Record.FLAGS}


def compile_argument(condition: ArgumentCondition, effect: PolicyEffect) -> Expression:
    """What is said of the argument holds; where it is unknown, a forbid's does and a permit's does not."""
    is_permit = effect is PolicyEffect.PERMIT
    key = key_of(condition.path)
    if condition.of_each:
        return context(ARGUMENTS, Record.ALL if is_permit else Record.ANY, key_of(each_text(condition)))
    if condition.operator is ArgumentOperator.EXISTS:
        return _told(Record.PRESENT, key, condition, None if is_permit else literal(value=True))
    if condition.operator is not ArgumentOperator.CONTAINS:
        return _told(RECORDS[condition.kind], key, condition, None if is_permit else literal(value=True))
    if condition.kind is int:
        return _told(Record.NUMBER_LISTS, key, condition, None if is_permit else literal(value=True))
    if is_permit:
        parts = [_told(record, key, condition, None) for record in (Record.TEXTS, Record.TEXT_LISTS)]
        return binary("||", *parts)
    in_list = _told(Record.TEXT_LISTS, key, condition, literal(value=True))
    return _told(Record.TEXTS, key, condition, in_list)


def _told(record: Record, key: str, condition: ArgumentCondition, otherwise: Expression | None) -> Expression:
    """The condition where the record has the key; where it has not, `otherwise`, or else false."""
    test = _test(record, context(ARGUMENTS, record, key), condition)
    known = has(context(ARGUMENTS, record), key)
    # Cedar's type checker follows `has` into what `&&` and `if` guard with it, but not through `!` and `||`.
    return binary("&&", known, test) if otherwise is None else choose(known, test, otherwise)


def _test(record: Record, argument: Expression, condition: ArgumentCondition) -> Expression:
    values = condition.values
    match condition.operator:
        case ArgumentOperator.EQUALS | ArgumentOperator.EXISTS:
            return binary("==", argument, literal(values[0]))
        case ArgumentOperator.NOT_EQUALS:
            return binary("!=", argument, literal(values[0]))
        case ArgumentOperator.IN:
            return binary("contains", literals(values), argument)
        case ArgumentOperator.NOT_IN:
            return {"!": {"arg": binary("contains", literals(values), argument)}}
        case ArgumentOperator.CONTAINS if record is Record.TEXTS:
            return like(argument, [None, str(values[0]), None])
        case ArgumentOperator.CONTAINS:
            return binary("contains", argument, literal(values[0]))
        case ArgumentOperator.STARTS_WITH:
            return like(argument, [str(values[0]), None])
        case ArgumentOperator.ENDS_WITH:
            return like(argument, [None, str(values[0])])
        case ArgumentOperator.AT_LEAST:
            return binary(">=", argument, literal(values[0]))
        case ArgumentOperator.AT_MOST:
            return binary("<=", argument, literal(values[0]))
        case _:
            assert_never(condition.operator)


def key_of(path: str) -> str:
    """The attribute under which what a path leads to is found: names that begin with `__` are Cedar's own."""
    return f".{path}" if path.startswith("__") else path
