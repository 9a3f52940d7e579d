"""Two versions of a policy compared: what a person would say has changed, field by field, and their text.

Documents are compared as they stand on the wire, so a field that is added to the policy is compared from its first
day; what this file knows of a field is only how to say it better.
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from wicket.core.model import Json, JsonObject
from wicket.core.policy.document import PolicyDocument, render_policy

DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
NOUNS: Final[Mapping[str, str]] = {
    "tools": "tool",
    "principal.userIds": "member",
    "denyMessage": "deny message",
    "time.daysOfWeek": "day",
    "time.hours": "hours",
    "time.activeFrom": "first day",
    "time.activeTo": "last day",
    "time.timeZone": "time zone",
    "session": "session condition",
    "network.in": "network",
    "network.notIn": "excepted network",
    "restrictions.repositories": "repository",
    "restrictions.channels": "channel",
    "restrictions.pages": "page",
    "resourceScope": "resource type",
    "conditions.match": "joining of conditions",
    "conditions.items": "condition",
    "arguments": "argument condition",
    "memberId": "member whose policy it is",
}
"""What the fields are called where the last part of their name does not say it."""


class ChangeKind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that one version says and the other does not, or says otherwise."""

    field: str
    """As on the wire, dotted: `time.hours` stands for `hoursFrom` and `hoursTo`, which only go together."""
    kind: ChangeKind
    before: Json
    after: Json
    text: str
    """`adds tool delete_file`, `hours 9-17 -> 8-18`."""


def compare(before: PolicyDocument, after: PolicyDocument) -> tuple[Change, ...]:
    """What makes `after` another policy than `before`; whether they are enabled is no part of it."""
    old, new = _fields(before), _fields(after)
    return tuple(
        change
        for field in dict.fromkeys((*old, *new))
        for change in _compare(field, old.get(field), new.get(field))
    )


def unified(before: str, after: str, *, names: tuple[str, str]) -> str:
    """The lines that two texts differ in, with those around them, as `diff -u` prints them; empty: none."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _fields(document: PolicyDocument) -> dict[str, Json]:
    """Every field by its dotted name, lists whole."""
    rendered = render_policy(document)
    del rendered["enabled"]
    fields: dict[str, Json] = {}
    _flatten("", rendered, fields)
    first, last = fields.pop("time.hoursFrom", None), fields.pop("time.hoursTo", None)
    if first is not None:
        fields["time.hours"] = f"{first}-{last}"
    return fields


def _flatten(path: str, node: JsonObject, fields: dict[str, Json]) -> None:
    for name, value in node.items():
        field = f"{path}.{name}" if path else name
        if isinstance(value, dict):
            _flatten(field, value, fields)
        else:
            fields[field] = value


def _compare(field: str, before: Json, after: Json) -> Iterator[Change]:
    if before == after:
        return
    noun = NOUNS.get(field, field.rpartition(".")[2])
    if isinstance(before, list) or isinstance(after, list):
        old, new = _items(before), _items(after)
        for item in (item for item in old if item not in new):
            yield Change(field, ChangeKind.REMOVED, item, None, f"removes {noun} {_say(field, item)}")
        for item in (item for item in new if item not in old):
            yield Change(field, ChangeKind.ADDED, None, item, f"adds {noun} {_say(field, item)}")
    elif before is None:
        yield Change(field, ChangeKind.ADDED, None, after, f"adds {noun} {_say(field, after)}")
    elif after is None:
        yield Change(field, ChangeKind.REMOVED, before, None, f"removes {noun} {_say(field, before)}")
    else:
        text = f"{noun} {_say(field, before)} -> {_say(field, after)}"
        yield Change(field, ChangeKind.CHANGED, before, after, text)


def _items(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


def _say(field: str, value: Json) -> str:
    if isinstance(value, int) and field == "time.daysOfWeek":
        return DAYS[value]
    return _say_object(value) if isinstance(value, dict) else _plain(value)


def _say_object(value: JsonObject) -> str:
    match value:
        case {"owner": str(owner)}:
            return f"{owner}/{_plain(value.get('repo', '*'))}"
        case {"type": str(kind), "value": wanted}:
            about = [str(value[name]) for name in ("tool", "policy") if name in value]
            scope = [f"of the {value['scope']}"] if "scope" in value else []
            return " ".join((kind, *about, *scope, str(value.get("operator", "is")), _plain(wanted)))
        case {"path": str(path), "operator": str(operator)}:
            return f"{path} {operator} {_plain(value.get('value'))}"
        case _:
            return _plain(value)


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
