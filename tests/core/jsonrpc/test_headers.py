from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.core.errors import Invalid, Refused, RpcCode
from wicket.core.jsonrpc import (
    check_param_headers,
    decode_header_value,
    encode_header_value,
    param_headers,
    parse_param_headers,
)
from wicket.core.model import Json, JsonObject

ENCODED = {
    "us-west1": "us-west1",
    "Hello, \u4e16\u754c": "=?base64?SGVsbG8sIOS4lueVjA==?=",
    " padded ": "=?base64?IHBhZGRlZCA=?=",
    "line1\nline2": "=?base64?bGluZTEKbGluZTI=?=",
    "=?base64?literal?=": "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
    "": "",
    "=?base64?=": "=?base64?=",
    "=?BASE64?eA==?=": "=?BASE64?eA==?=",
    "tab\there": "=?base64?dGFiCWhlcmU=?=",
}


@pytest.mark.parametrize(("value", "encoded"), ENCODED.items())
def test_a_value_is_encoded_as_the_specification_shows(value: str, encoded: str) -> None:
    assert encode_header_value(value) == encoded
    assert decode_header_value(encoded) == value


@given(
    st.text(st.characters(exclude_categories=["Cs"])) | st.from_regex(r"=\?base64\?[ -~]*\?=", fullmatch=True)
)
def test_a_header_is_printable_ascii_and_gives_its_value_back(value: str) -> None:
    encoded = encode_header_value(value)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert encoded == encoded.strip()
    assert decode_header_value(encoded) == value


@pytest.mark.parametrize(
    "broken",
    [
        "=?base64?eA?=",
        "=?base64?e A==?=",
        "=?base64?eB==?=",
        "=?base64?/w==?=",
        "=?base64?*?=",
        "=?base64?\xe9?=",
    ],
)
def test_a_wrapping_that_no_encoder_writes_stands_for_nothing(broken: str) -> None:
    assert decode_header_value(broken) is None


SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "owner": {"type": "string", "x-mcp-header": "owner"},
        "page": {"type": "integer", "x-mcp-header": "Page"},
        "draft": {"type": "boolean", "x-mcp-header": "Draft"},
        "where": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
        "x-mcp-header": {"type": "string"},
    },
}

AGREEING: dict[str, tuple[JsonObject, dict[str, str]]] = {
    "all of them": (
        {"owner": "octo", "page": 42, "draft": False, "where": {"region": "eu"}, "other": [1]},
        {
            "mcp-param-owner": "octo",
            "mcp-param-page": "42",
            "mcp-param-draft": "false",
            "mcp-param-region": "eu",
        },
    ),
    "none": ({}, {}),
    "null is absent": ({"owner": None, "where": {"region": None}}, {}),
    "what holds no such property": ({"where": "eu"}, {}),
    "a header nobody asks for": ({}, {"mcp-param-other": "x"}),
    "a value that has no header": ({"owner": ["octo"]}, {}),
    "wrapped": ({"owner": "\u00fc"}, {"mcp-param-owner": "=?base64?w7w=?="}),
    "wrapped without need": ({"owner": "octo"}, {"mcp-param-owner": "=?base64?b2N0bw==?="}),
    "space around": ({"owner": "octo"}, {"mcp-param-owner": " octo\t"}),
    "a whole number in two spellings": ({"page": 42}, {"mcp-param-page": "42.0"}),
    "a whole float": ({"page": 42.0}, {"mcp-param-page": "42"}),
    "a negative number": ({"page": -7}, {"mcp-param-page": "-7"}),
    "an empty string": ({"owner": ""}, {"mcp-param-owner": ""}),
}


@pytest.mark.parametrize(("arguments", "headers"), AGREEING.values(), ids=AGREEING.keys())
def test_headers_that_agree_with_the_arguments_pass(arguments: JsonObject, headers: dict[str, str]) -> None:
    check_param_headers(SCHEMA, arguments, list(headers.items()))
    check_param_headers(parse_param_headers(SCHEMA), arguments, list(headers.items()))


DISAGREEING: dict[str, tuple[JsonObject, list[tuple[str, str]]]] = {
    "missing": ({"owner": "octo"}, []),
    "another value": ({"owner": "octo"}, [("mcp-param-owner", "evil")]),
    "another case": ({"owner": "octo"}, [("mcp-param-owner", "OCTO")]),
    "twice": ({"owner": "octo"}, [("mcp-param-owner", "octo"), ("mcp-param-owner", "octo")]),
    "argument absent": ({}, [("mcp-param-owner", "octo")]),
    "argument null": ({"owner": None}, [("mcp-param-owner", "octo")]),
    "argument a list": ({"owner": ["octo"]}, [("mcp-param-owner", "octo")]),
    "nested, missing": ({"where": {"region": "eu"}}, []),
    "nested, other": ({"where": {"region": "eu"}}, [("mcp-param-region", "us")]),
    "a broken wrapping": ({"owner": "octo"}, [("mcp-param-owner", "=?base64?b2N0bw?=")]),
    "beyond ASCII": ({"owner": "\u00fc"}, [("mcp-param-owner", "\u00fc")]),
    "a control character": ({"owner": "a\x01"}, [("mcp-param-owner", "a\x01")]),
    "another number": ({"page": 42}, [("mcp-param-page", "43")]),
    "a fraction": ({"page": 42}, [("mcp-param-page", "42.5")]),
    "an exponent": ({"page": 100}, [("mcp-param-page", "1e2")]),
    "a very long number": ({"page": 1}, [("mcp-param-page", "1" * 9000)]),
    "a number of another script": ({"page": 4}, [("mcp-param-page", "\u0664")]),
    "true for 1": ({"page": 1}, [("mcp-param-page", "true")]),
    "1 for true": ({"draft": True}, [("mcp-param-draft", "1")]),
    "True for true": ({"draft": True}, [("mcp-param-draft", "True")]),
    "a number for a text": ({"owner": "42"}, [("mcp-param-owner", "42.0")]),
}


@pytest.mark.parametrize(("arguments", "headers"), DISAGREEING.values(), ids=DISAGREEING.keys())
def test_headers_that_disagree_with_the_arguments_are_refused(
    arguments: JsonObject, headers: list[tuple[str, str]]
) -> None:
    with pytest.raises(Refused) as caught:
        check_param_headers(SCHEMA, arguments, headers)
    assert (caught.value.rpc_code, caught.value.status) == (RpcCode.HEADER_MISMATCH, 400)


def test_the_upstream_gets_a_header_for_each_argument_that_has_one() -> None:
    arguments: JsonObject = {
        "owner": "\u00fc",
        "page": 2,
        "draft": True,
        "where": {"region": "eu"},
        "other": "x",
    }
    assert param_headers(SCHEMA, arguments) == {
        "Mcp-Param-owner": "=?base64?w7w=?=",
        "Mcp-Param-Page": "2",
        "Mcp-Param-Draft": "true",
        "Mcp-Param-Region": "eu",
    }
    assert param_headers(SCHEMA, {"owner": None, "where": []}) == {}


def annotated(name: Json = "T", kind: Json = "string") -> JsonObject:
    return {"type": kind, "x-mcp-header": name}


INVALID_SCHEMAS: dict[str, JsonObject] = {
    "on the root": annotated(),
    "in items": {"properties": {"a": {"type": "array", "items": annotated()}}},
    "in a choice": {"oneOf": [{"properties": {"a": annotated()}}]},
    "in a definition": {"$defs": {"a": annotated()}},
    "under a condition": {"if": {"properties": {"a": annotated()}}},
    "an empty name": {"properties": {"a": annotated("")}},
    "a name with a space": {"properties": {"a": annotated("a b")}},
    "a name that ends a line": {"properties": {"a": annotated("a\n")}},
    "a name beyond ASCII": {"properties": {"a": annotated("\u00fc")}},
    "a name that is no text": {"properties": {"a": annotated(5)}},
    "on a number": {"properties": {"a": annotated(kind="number")}},
    "on several types": {"properties": {"a": annotated(kind=["string", "null"])}},
    "on no type": {"properties": {"a": {"x-mcp-header": "T"}}},
    "one name in two cases": {"properties": {"a": annotated("T"), "b": annotated("t")}},
}


@pytest.mark.parametrize("schema", INVALID_SCHEMAS.values(), ids=INVALID_SCHEMAS.keys())
def test_a_schema_with_an_invalid_annotation_mirrors_nothing(schema: JsonObject) -> None:
    with pytest.raises(Invalid) as caught:
        parse_param_headers(schema)
    assert caught.value.field.startswith("inputSchema")
    check_param_headers(schema, {"a": "x"}, [("mcp-param-t", "y")])
    assert param_headers(schema, {"a": "x"}) == {}


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        [],
        {},
        {"properties": []},
        {"default": annotated()},
        {"enum": [annotated()]},
        {"examples": [annotated()]},
    ],
)
def test_what_holds_no_annotation_mirrors_nothing(schema: Any) -> None:
    assert parse_param_headers(schema) == ()


def test_a_schema_may_nest_deeper_than_the_stack() -> None:
    schema: JsonObject = annotated()
    for _ in range(5_000):
        schema = {"properties": {"a": schema}}
    assert len(parse_param_headers(schema)[0].path) == 5_000
