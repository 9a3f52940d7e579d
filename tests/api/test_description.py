"""The description of the API: a valid OpenAPI 3.1 document, complete, and with names that stay."""

import json
import re
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.api.as_described import Said, all_said, description, resolve
from wicket.api.description import TAGS
from wicket.api.examples import BODIES
from wicket.api.guards import OPEN, SCOPE
from wicket.core.codes import CODES

OPERATIONS = pytest.mark.parametrize("said", all_said(), ids=lambda said: said.name)


def test_the_description_is_valid_openapi() -> None:
    assert description()["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(description()).iter_errors()] == []


async def test_anybody_gets_the_description(anonymous: httpx2.AsyncClient) -> None:
    answer = await anonymous.get("/api/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert {**answer.json(), "info": None} == {**description(), "info": None}


def test_the_description_holds_what_it_refers_to_and_nothing_else() -> None:
    components = description()["components"]
    named = set(re.findall(r'"#/components/(\w+/[\w.-]+)"', json.dumps(description())))
    assert named == {f"{kind}/{name}" for kind in ("schemas", "responses") for name in components[kind]}


def test_names_are_those_of_our_words() -> None:
    """No name is made of a module's path, or of type parameters: clients are generated with them."""
    assert [name for name in description()["components"]["schemas"] if not name.isalnum()] == []
    ids = [said.name for said in all_said()]
    assert len(ids) == len(set(ids))


def test_no_example_is_of_an_operation_that_is_not_there() -> None:
    assert BODIES.keys() - {said.name for said in all_said()} == set()


@OPERATIONS
def test_an_operation_says_what_it_does_and_what_it_answers(said: Said) -> None:
    described = said.described
    assert described["summary"][0].isupper()
    assert described["summary"] != said.name.replace("_", " ").title()
    assert described["tags"]
    assert set(described["tags"]) <= TAGS.keys()
    statuses = {int(status) for status in described["responses"]}
    assert [status for status in statuses if 200 <= status < 300]
    assert 500 not in statuses
    for status, answer in described["responses"].items():
        answered = resolve(answer)
        assert answered["description"]
        if int(status) < 400 and int(status) != 204:
            assert all("schema" in content for content in answered["content"].values()), status
            assert answered["content"]


@OPERATIONS
def test_an_operation_says_who_may_ask_and_with_what(said: Said) -> None:
    described = said.described
    assert described[SCOPE] == ("read" if said.method == "GET" else "write")
    if said.described["x-wicket-guard"] in OPEN:
        assert {} in (described["security"] or [{}])
        return
    for alternative in described["security"]:
        needs_csrf = "session" in alternative and said.method != "GET"
        assert ("csrf" in alternative) is needs_csrf
    assert "401" in described["responses"]


@OPERATIONS
def test_the_codes_of_an_operation_are_of_their_status(said: Said) -> None:
    for status, answer in said.described["responses"].items():
        content: Any = resolve(answer).get("content", {}).get("application/problem+json")
        if content is None:
            assert int(status) < 400
            continue
        (_, narrowed) = content["schema"]["allOf"]
        assert {CODES[code].status for code in narrowed["properties"]["code"]["enum"]} == {int(status)}


@pytest.mark.parametrize(
    "said", [one for one in all_said() if "requestBody" in one.described], ids=lambda said: said.name
)
def test_a_body_that_is_shown_is_of_the_shape_that_is_described(said: Said) -> None:
    content = said.described["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": description()["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(content["example"])] == []
