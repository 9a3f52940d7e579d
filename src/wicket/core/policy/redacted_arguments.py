"""Redacted arguments put to conditions again: what equality can still tell of them, and what nothing can.

A marker holds a keyed digest of what it stands for, so a value that a condition compares with can be recognised. Beyond
that a marker says nothing: whoever asks how it begins, or whether it is large, gets no answer.
"""

from collections.abc import Sequence
from typing import Final

from wicket.core.model import Json, JsonObject
from wicket.core.policy.arguments import ArgumentCondition, ArgumentOperator, segments_of
from wicket.core.redaction import Redactor, is_marker

TOLD: Final = frozenset({
    ArgumentOperator.EQUALS, ArgumentOperator.NOT_EQUALS, ArgumentOperator.IN, ArgumentOperator.NOT_IN,
    ArgumentOperator.EXISTS,
})  # fmt: skip
"""What a marker is enough for."""


def recognise(
    arguments: JsonObject, conditions: Sequence[ArgumentCondition], redactor: Redactor | None
) -> tuple[JsonObject, str | None]:
    """The arguments with the values that the conditions name back in place; and the path that cannot be judged."""
    if not conditions or not _is_redacted(arguments):
        return arguments, None
    known: dict[str, Json] = {}
    told = frozenset({ArgumentOperator.EXISTS})
    if redactor is not None:
        known = {redactor.marker(value): value for one in conditions for value in one.values}
        told = TOLD
    restored = {name: _restored(value, known) for name, value in arguments.items()}
    for one in conditions:
        if one.operator not in told and any(map(_is_redacted, _at(restored, segments_of(one.path)))):
            return restored, one.path
    return restored, None


def _is_redacted(node: Json) -> bool:
    if isinstance(node, dict):
        return any(map(_is_redacted, node.values()))
    return any(map(_is_redacted, node)) if isinstance(node, list) else is_marker(node)


def _restored(node: Json, known: dict[str, Json]) -> Json:
    if isinstance(node, dict):
        return {name: _restored(value, known) for name, value in node.items()}
    if isinstance(node, list):
        return [_restored(value, known) for value in node]
    return known.get(node, node) if isinstance(node, str) else node


def _at(node: Json, segments: Sequence[tuple[str, bool]]) -> list[Json]:
    if not segments:
        return [node]
    (name, of_each), rest = segments[0], segments[1:]
    value = node.get(name) if isinstance(node, dict) else None
    if of_each and isinstance(value, list):
        return [found for item in value for found in _at(item, rest)]
    return _at(value, rest)
