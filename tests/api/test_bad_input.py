"""Input that has a second meaning, or says more than it may: refused by every operation that takes a body or a query.

The operations and their bodies are those of the description; each is spoilt in one way, and nothing may come of it.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.api.as_described import description
from tests.api.callers import Caller, Operation, Scene, every_operation, set_scene
from tests.api.people import Instance
from tests.databases import Location
from wicket.api.guards import OPEN, Guard

Spoil = Callable[[str], bytes]
DEPTH: Final = 100_000
SEVERAL: Final = frozenset({"create_agent", "create_policy", "put_settings", "review_tool"})
"""One of each way in which a body is read: these get every kind of bad input, the others one."""
NOT_JSON: Final = (
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "",
    "json",
)
UNASKED: Final = ("id", "accountId", "ownerId", "createdAt", "isAdmin", "__proto__", "constructor", "$ref")
"""Fields that some server somewhere has taken from a body."""
TEXTS: Final = ("%00", "a" * 5_000, "%ed%a0%80", "%25", "%5f%5f%5f")
FREE: Final = frozenset({"search", "tag", "agent", "tool", "q", "service"})
"""Filters by a part of a text, or by a text that need not be a word of ours."""

SPOILT: Final[dict[str, Spoil]] = {
    "a key twice": lambda text: f'{{"a": 1, "a": 1, {text[1:]}'.encode(),
    "a key twice, once escaped": lambda text: f'{{"a": 1, "\\u0061": 1, {text[1:]}'.encode(),
    "a number that is none": lambda text: f'{{"a": NaN, {text[1:]}'.encode(),
    "a number without an end": lambda text: f'{{"a": -Infinity, {text[1:]}'.encode(),
    "half a character": lambda text: f'{{"a": "\\ud83d", {text[1:]}'.encode(),
    "half a character as a key": lambda text: f'{{"\\udc00": 1, {text[1:]}'.encode(),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "Latin-1": lambda text: f'{{"a": "\xe4", {text[1:]}'.encode("latin-1"),
    "text behind it": lambda text: f"{text} {text}".encode(),
    "a comment": lambda text: f"/* a */ {text}".encode(),
    "a comma too many": lambda text: f"{text[:-1]},}}".encode(),
    "single quotes": lambda text: text.replace('"', "'").encode(),
    "a line break in a text": lambda text: f'{{"a": "\n", {text[1:]}'.encode(),
    "a NUL": lambda text: f'{{"a": "\0", {text[1:]}'.encode(),
    "deep": lambda text: f'{{"a": {"[" * DEPTH}{"]" * DEPTH}, {text[1:]}'.encode(),
    "cut off": lambda text: text[:-1].encode(),
    "a list": lambda text: f"[{text}]".encode(),
    "a text": lambda text: json.dumps(text).encode(),
    "a number": lambda _: b"1",
}


@pytest.fixture
async def scene(wicket: Instance, location: Location) -> Scene:
    return await set_scene(wicket, location)


def taking_bodies(wicket: Instance) -> Iterator[Operation]:
    """Operations with a body that an account may ask for; who signs in is counted, and soon held back."""
    for operation in every_operation(wicket):
        if operation.body is not None and operation.guard not in {*OPEN, Guard.SESSION}:
            yield operation


async def send(
    wicket: Instance, scene: Scene, operation: Operation, content: bytes, kind: str = "application/json"
) -> Any:
    person = scene.people[Caller.OWNER]
    url = operation.url(scene.ids_for(operation, Caller.OWNER))
    headers = {"Content-Type": kind} if kind else {}
    return await person.http.request(operation.method.upper(), url, content=content, headers=headers)


async def test_a_spoilt_body_is_refused_everywhere(wicket: Instance, scene: Scene) -> None:
    before = await wicket.database.revision(scene.agent_id)
    for operation in taking_bodies(wicket):
        text = json.dumps(operation.body or {"b": 1})
        for how in SPOILT if operation.id in SEVERAL else ["a key twice"]:
            answer = await send(wicket, scene, operation, SPOILT[how](text))
            told = (answer.status_code, answer.json().get("code"))
            assert told == (400, "invalid"), (operation.id, how, answer.text)
    assert await wicket.database.revision(scene.agent_id) == before


async def test_a_body_of_another_kind_is_refused_everywhere(wicket: Instance, scene: Scene) -> None:
    for operation in taking_bodies(wicket):
        for kind in NOT_JSON if operation.id in SEVERAL else NOT_JSON[:1]:
            answer = await send(wicket, scene, operation, json.dumps(operation.body).encode(), kind)
            told = (answer.status_code, answer.json()["code"])
            assert told == (415, "unsupported_media_type"), (operation.id, kind)


async def test_nobody_sets_what_is_not_asked_for(wicket: Instance, scene: Scene) -> None:
    """Mass assignment: a field beside those that are described is refused by name, however harmless."""
    before = await wicket.database.revision(scene.agent_id)
    for operation in taking_bodies(wicket):
        for name in {*UNASKED} - fields_of(operation):
            answer = await send(
                wicket, scene, operation, json.dumps({**body_of(operation), name: "x"}).encode()
            )
            told = answer.json()
            assert (answer.status_code, told.get("code")) == (400, "invalid"), (
                operation.id,
                name,
                answer.text,
            )
            assert name in (told["field"], told["field"].rpartition(".")[2]), (operation.id, told)
    assert await wicket.database.revision(scene.agent_id) == before


def body_of(operation: Operation) -> dict[str, Any]:
    assert operation.body is not None
    return operation.body


def fields_of(operation: Operation) -> set[str]:
    schema = operation.described["requestBody"]["content"]["application/json"]["schema"]
    named = [one["$ref"].rpartition("/")[2] for one in (schema, *schema.get("anyOf", ())) if "$ref" in one]
    schemas = description()["components"]["schemas"]
    return {field for name in named for field in schemas[name]["properties"]}


async def test_a_number_that_is_not_one_of_ours_selects_nothing(wicket: Instance, scene: Scene) -> None:
    operation = next(one for one in taking_bodies(wicket) if one.id == "rollback_policy")
    for number in ("1e400", "9007199254740993", "1" * 400, "-0", "1.0", "true", '"1"', "[1]", "null"):
        answer = await send(wicket, scene, operation, f'{{"version": {number}}}'.encode())
        assert (answer.status_code, answer.json().get("code")) == (400, "invalid"), (number, answer.text)


async def test_no_text_in_a_query_is_more_than_a_text(wicket: Instance, scene: Scene) -> None:
    """Named as bad, or taken as it is: then it matches nothing, whatever it means to a database."""
    person = scene.people[Caller.OWNER]
    asked = [
        (operation, name)
        for operation in every_operation(wicket)
        if operation.reads and operation.guard not in OPEN and not operation.streams
        for name in sorted(operation.asked)
    ]
    assert len(asked) > 40
    for operation, name in asked:
        for value in TEXTS:
            url = operation.url(scene.ids_for(operation, Caller.OWNER))
            answer = await person.http.get(f"{url}?{name}={value}")
            if answer.status_code == 400:
                assert answer.json()["field"] == name, (operation.id, answer.text)
            else:
                assert answer.status_code in {200, 404}, (operation.id, name, answer.text)
                assert not found_by(answer, name), (operation.id, name, value, answer.text)


def found_by(answer: Any, name: str) -> bool:
    """Whether a filter by a part of a text found something with such a text."""
    is_list = answer.headers["content-type"] == "application/json" and "items" in answer.json()
    return name in FREE and is_list and any("id" in item for item in answer.json()["items"])


async def test_a_header_does_not_change_the_method(wicket: Instance, scene: Scene) -> None:
    owner = scene.people[Caller.OWNER]
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = await owner.http.post(
            f"/api/agents/{scene.agent_id}?_method=DELETE", headers={name: "DELETE"}
        )
        assert answer.status_code == 405
    await owner.get(f"/api/agents/{scene.agent_id}")


async def test_an_id_has_one_spelling(wicket: Instance, scene: Scene) -> None:
    owner, agent_id = scene.people[Caller.OWNER], scene.agent_id
    for spelling in (
        agent_id.upper(),
        f"{{{agent_id}}}",
        agent_id.replace("-", ""),
        f"urn:uuid:{agent_id}",
        f"{agent_id}%20",
        f"{agent_id}%00",
        f"%20{agent_id}",
        f"{agent_id}.json",
    ):
        assert (await owner.get(f"/api/agents/{spelling}", expect=404))["code"] == "not_found", spelling
