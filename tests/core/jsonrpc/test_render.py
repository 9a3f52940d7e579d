import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.core.errors import RpcCode, UpstreamFailed
from wicket.core.jsonrpc import (
    Notification,
    PostedResponse,
    Request,
    parse_message,
    parse_response,
    render_error,
    render_json,
    render_json_text,
    render_notification,
    render_request,
    render_result,
)
from wicket.core.model import JsonObject

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
IDS = st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3),
)
OBJECTS = st.dictionaries(TEXT.map(lambda name: f"x{name}"), VALUES, max_size=3)
METHODS = st.text("abcdefghijklmnopqrstuvwxyz/_", min_size=1)


@pytest.mark.parametrize(
    ("rendered", "expected"),
    [
        (render_result(1, {"a": "\u00fc\u2028"}), '{"jsonrpc":"2.0","id":1,"result":{"a":"\u00fc\u2028"}}'),
        (
            render_error("a", RpcCode.PARSE_ERROR, "no"),
            '{"jsonrpc":"2.0","id":"a","error":{"code":-32700,"message":"no"}}',
        ),
        (
            render_error(None, -1, "no", {"a": [1.0]}),
            '{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no","data":{"a":[1.0]}}}',
        ),
        (render_request(2, "ping"), '{"jsonrpc":"2.0","id":2,"method":"ping"}'),
        (render_request(2, "m", {}), '{"jsonrpc":"2.0","id":2,"method":"m","params":{}}'),
        (render_notification("n"), '{"jsonrpc":"2.0","method":"n"}'),
        (render_notification("n", {"a": None}), '{"jsonrpc":"2.0","method":"n","params":{"a":null}}'),
    ],
)
def test_messages_are_compact_utf_8(rendered: bytes, expected: str) -> None:
    assert rendered == expected.encode()


@given(IDS, OBJECTS)
def test_a_result_is_read_back_by_either_side(request_id: str | int, result: dict[str, Any]) -> None:
    body = render_result(request_id, result)
    assert parse_response(body) == parse_message(body, []) == PostedResponse(request_id, result=result)


@given(IDS, st.integers(-40_000, 40_000), TEXT, VALUES)
def test_an_error_is_read_back_by_either_side(
    request_id: str | int, code: int, message: str, data: Any
) -> None:
    body = render_error(request_id, code, message, data)
    error: JsonObject = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    assert parse_response(body) == parse_message(body, []) == PostedResponse(request_id, error=error)


@given(IDS, METHODS, OBJECTS)
def test_a_request_is_read_back_by_either_side(
    request_id: str | int, method: str, params: dict[str, Any]
) -> None:
    body = render_request(request_id, method, params)
    assert parse_response(body) == parse_message(body, []) == Request(request_id, method, params, {})


@given(METHODS, OBJECTS)
def test_a_notification_is_read_back_by_either_side(rest: str, params: dict[str, Any]) -> None:
    body = render_notification(f"notifications/{rest}", params)
    expected = Notification(f"notifications/{rest}", params, {})
    assert parse_response(body) == parse_message(body, []) == expected


@given(VALUES)
def test_what_is_rendered_holds_no_line_break_that_would_end_a_stream_event(value: Any) -> None:
    assert not set(render_json(value)) & {10, 13}


def test_a_lone_surrogate_is_an_error_on_the_wire_and_escaped_in_text() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        render_json(["\ud800"])
    assert render_json_text(["\ud800", "\u00fc"]) == '["\\ud800","\\u00fc"]'


@given(VALUES)
def test_text_and_bytes_say_the_same(value: Any) -> None:
    assert render_json_text(value).encode() == render_json(value)


def test_integers_of_any_size_keep_their_value() -> None:
    big: JsonObject = {"a": 2**64, "b": -(10**200), "c": 2**63}
    assert json.loads(render_json(big)) == json.loads(render_json_text(big)) == big


def test_an_upstream_may_answer_without_id_when_it_could_not_read_the_request() -> None:
    for missing in ({"id": None}, {}):
        body = json.dumps({"jsonrpc": "2.0", "error": {"code": -32700, "message": "?"}} | missing).encode()
        assert parse_response(body) == PostedResponse(None, error={"code": -32700, "message": "?"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"1.0","id":1,"result":{}}',
        b'{"jsonrpc":"2.0","id":null,"result":{}}',
        b'{"jsonrpc":"2.0","id":1,"result":[]}',
        b'{"jsonrpc":"2.0","id":1,"result":{},"result":{}}',
        b'{"jsonrpc":"2.0","id":1,"result":{},"Result":{}}',
        b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}',
        b'{"jsonrpc":"2.0","id":1,"error":"no"}',
        b'[{"jsonrpc":"2.0","id":1,"result":{}}]',
    ],
)
def test_what_an_upstream_must_not_send_is_a_broken_upstream(body: bytes) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        parse_response(body)
    assert (caught.value.code, caught.value.status) == ("upstream_broken", 502)
