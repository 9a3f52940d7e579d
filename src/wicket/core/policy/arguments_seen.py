"""What policies see of a call's arguments: the values under `context.arguments`, see `compile_arguments`.

None is what is not known: the argument is absent or null, of another type, beyond Cedar's integers, or spelled twice
with nothing but the case of its letters to tell the two apart, of which upstreams may read either.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from wicket.core.model import Json, JsonObject
from wicket.core.policy.arguments import (
    INTEGER_MAX,
    INTEGER_MIN,
    ArgumentCondition,
    ArgumentOperator,
    parse_each,
    segments_of,
    text_of,
)
from wicket.core.policy.compile_arguments import Record

Seen: TypeAlias = str | int | tuple[str, ...] | tuple[int, ...] | None


class _Untold:
    """Of an argument that is there in two spellings, or of items of what is no list: it may be anything."""


UNTOLD: Final = _Untold()
Found: TypeAlias = "Json | _Untold"


def find_seen(arguments: JsonObject, record: str, key: str) -> Seen:
    """What stands under a key of one of the records; None where nothing does."""
    if record in (Record.ALL, Record.ANY):
        condition = parse_each(key)
        found = [_is_met(condition, item) for item in _spread(arguments, segments_of(condition.path))]
        if record == Record.ALL:
            return bool(found) and all(met is True for met in found)
        return any(met is not False for met in found)
    value = _spread(arguments, segments_of(key.removeprefix(".")))[0]
    return None if isinstance(value, _Untold) else _as_record(record, value)


def _as_record(record: str, value: Json) -> Seen:
    match record:
        case Record.PRESENT:
            return value is not None
        case Record.TEXTS:
            return _text(value)
        case Record.NUMBERS:
            return _number(value)
        case Record.FLAGS:
            return value if isinstance(value, bool) else None
        case Record.TEXT_LISTS if isinstance(value, list):
            texts = [text for item in value if (text := _text(item)) is not None]
            return tuple(sorted(set(texts))) if len(texts) == len(value) else None
        case Record.NUMBER_LISTS if isinstance(value, list):
            numbers = [number for item in value if (number := _number(item)) is not None]
            return tuple(sorted(set(numbers))) if len(numbers) == len(value) else None
        case _:
            return None


def _text(value: Json) -> str | None:
    if isinstance(value, float):
        return text_of(value)
    return value if isinstance(value, str) else None


def _number(value: Json) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if INTEGER_MIN <= value <= INTEGER_MAX else None


def _spread(node: Json, segments: Sequence[tuple[str, bool]]) -> list[Found]:
    """What a path leads to: one value, None where it leads nowhere, or as many as the lists on its way have items."""
    if not segments:
        return [node]
    (name, of_each), rest = segments[0], segments[1:]
    value = _step(node, name)
    if isinstance(value, _Untold) or (of_each and not isinstance(value, list)):
        return [UNTOLD]
    if not of_each or not isinstance(value, list):
        return _spread(value, rest)
    return [found for item in value for found in _spread(item, rest)]


def _step(node: Json, name: str) -> Found:
    if not isinstance(node, Mapping):
        return None
    folded = name.casefold()
    # Folding makes no name shorter: a longer one is not looked through, for it may have megabytes.
    longest = len(folded)
    if any(len(other) <= longest and other != name and other.casefold() == folded for other in node):
        return UNTOLD
    return node.get(name)


def _is_met(condition: ArgumentCondition, item: Found) -> bool | None:
    """Whether a condition holds of one item; None where that is unknown."""
    if isinstance(item, _Untold):
        return None
    if condition.operator is ArgumentOperator.EXISTS:
        return (item is not None) is condition.value
    if condition.operator is ArgumentOperator.CONTAINS:
        return _contains(item, condition.value)
    seen = {str: _text, int: _number, bool: _flag}[condition.kind](item)
    return None if seen is None else _compares(condition, seen)


def _flag(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


def _contains(item: Json, value: str | int) -> bool | None:
    text = _text(item)
    if isinstance(value, str) and text is not None:
        return value in text
    listed = _as_record(Record.TEXT_LISTS if isinstance(value, str) else Record.NUMBER_LISTS, item)
    return value in listed if isinstance(listed, tuple) else None


def _compares(condition: ArgumentCondition, seen: str | int) -> bool:
    match condition.operator, seen, condition.value:
        case ((ArgumentOperator.EQUALS | ArgumentOperator.IN), _, _):
            return seen in condition.values
        case ((ArgumentOperator.NOT_EQUALS | ArgumentOperator.NOT_IN), _, _):
            return seen not in condition.values
        case ArgumentOperator.STARTS_WITH, str(), str(start):
            return seen.startswith(start)
        case ArgumentOperator.ENDS_WITH, str(), str(end):
            return seen.endswith(end)
        case ArgumentOperator.AT_LEAST, int(), int(least):
            return seen >= least
        case ArgumentOperator.AT_MOST, int(), int(most):
            return seen <= most
        case _:
            return False
