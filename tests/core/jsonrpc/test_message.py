import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.core.errors import RpcCode
from wicket.core.jsonrpc import (
    LEGACY_VERSIONS,
    META_CAPABILITIES,
    META_CLIENT,
    META_VERSION,
    MODERN_VERSIONS,
    Era,
    Message,
    MessageRefused,
    Notification,
    PostedResponse,
    Request,
    parse_message,
)
from wicket.core.model import JsonObject

Headers = list[tuple[str, str]]

MODERN = MODERN_VERSIONS[-1]
LEGACY = LEGACY_VERSIONS[-1]
CALL = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "tools/call",
    "params": {"name": "git__log", "arguments": {"n": 1}},
}
META: JsonObject = {
    META_VERSION: MODERN,
    META_CLIENT: {"name": "curl", "version": "8.1"},
    META_CAPABILITIES: {"elicitation": {}},
}
MIRROR = [("mcp-protocol-version", MODERN), ("mcp-method", "tools/call"), ("mcp-name", "git__log")]


def parse(message: object, headers: Headers | None = None) -> Message:
    return parse_message(json.dumps(message).encode(), headers or [])


def refusal(message: object, headers: Headers | None = None) -> MessageRefused:
    with pytest.raises(MessageRefused) as caught:
        parse(message, headers)
    return caught.value


def call(**changed: object) -> dict[str, Any]:
    """The call with other or (None) fewer top-level members."""
    return {key: value for key, value in (CALL | changed).items() if value is not ...}


def call_with(**changed: object) -> dict[str, Any]:
    return call(params={**CALL["params"], **changed})  # type: ignore[dict-item]


def call_spelled(params: dict[str, object]) -> dict[str, Any]:
    """The call with parameters whose names are none in Python."""
    return call_with() | {"params": call_with()["params"] | params}


def modern(meta: object = META, **changed: object) -> dict[str, Any]:
    return call_with(_meta=meta, **changed)


def without(headers: Headers, name: str) -> Headers:
    return [(key, value) for key, value in headers if key != name]


def mirror(name: str, value: str) -> Headers:
    """The headers of the modern call, one of them with another value."""
    return [(key, value if key == name else old) for key, old in MIRROR]


def test_a_bare_call_without_headers_is_a_legacy_request() -> None:
    assert parse(CALL) == Request(7, "tools/call", CALL["params"], {}, Era.LEGACY, None)  # type: ignore[arg-type]


def test_a_call_with_a_legacy_header_says_its_version() -> None:
    for version in LEGACY_VERSIONS:
        message = parse(CALL, [("mcp-protocol-version", version)])
        assert isinstance(message, Request)
        assert (message.era, message.version) == (Era.LEGACY, version)


def test_initialize_tells_client_and_capabilities() -> None:
    params = {
        "protocolVersion": LEGACY,
        "clientInfo": {"name": "c" * 300, "version": 1},
        "capabilities": {"roots": {}},
    }
    message = parse(call(method="initialize", params=params))
    assert isinstance(message, Request)
    assert (message.client_name, message.client_version) == ("c" * 200, "")
    assert message.capabilities == {"roots": {}}


def test_a_modern_call_tells_version_client_and_capabilities() -> None:
    message = parse(modern(), MIRROR)
    assert message == Request(
        7,
        "tools/call",
        modern()["params"],
        META,
        Era.MODERN,
        MODERN,
        "curl",
        "8.1",
        {"elicitation": {}},
    )


def test_headers_that_are_not_ours_change_nothing() -> None:
    others = [("mcp-session-id", "a"), ("mcp-session-id", "b"), ("x-name", "c"), ("accept", "*/*")]
    assert parse(modern(), [*others, *MIRROR, *others]) == parse(modern(), MIRROR)


INVALID_REQUESTS: dict[str, object] = {
    "a batch": [CALL],
    "a batch of two": [CALL, CALL],
    "an empty batch": [],
    "a string": "tools/call",
    "null": None,
    "an empty object": {},
    "no jsonrpc": call(jsonrpc=...),
    "jsonrpc 1.0": call(jsonrpc="1.0"),
    "jsonrpc as a number": call(jsonrpc=2.0),
    "jsonrpc null": call(jsonrpc=None),
    "no method": call(method=...),
    "method null": call(method=None),
    "method empty": call(method=""),
    "method a number": call(method=1),
    "method a list": call(method=["tools/call"]),
    "method too long": call(method="m" * 257),
    "a call without id": call(id=...),
    "another request without id": call(id=..., method="resources/read"),
    "a case variant of notifications": call(id=..., method="Notifications/cancelled"),
    "id null": call(id=None),
    "id true": call(id=True),
    "id false": call(id=False),
    "id a float": call(id=1.5),
    "id a whole float": call(id=1.0),
    "id a list": call(id=[1]),
    "id an object": call(id={}),
    "id too long": call(id="i" * 513),
    "params a list": call(params=["git__log"]),
    "params a string": call(params="git__log"),
    "a call and a result": call(result={}),
    "a call and an error": call(error={"code": 1, "message": ""}),
    "a result and an error": {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": "m"}},
    "a result without id": {"jsonrpc": "2.0", "result": {}},
    "a result that is none": {"jsonrpc": "2.0", "id": 1, "result": 5},
    "an error without id": {"jsonrpc": "2.0", "error": {"code": 1, "message": "m"}},
    "an error without code": {"jsonrpc": "2.0", "id": 1, "error": {"message": "m"}},
    "an error with a bool for a code": {"jsonrpc": "2.0", "id": 1, "error": {"code": True, "message": "m"}},
    "an error without message": {"jsonrpc": "2.0", "id": 1, "error": {"code": 1}},
    "Method beside method": call(Method="ping"),
    "METHOD instead of method": call(METHOD="tools/call", method=...),
    "Params beside params": call(Params={}),
    "param\u017f beside params": CALL | {"param\u017f": {}},
    "j\u017fonrpc beside jsonrpc": CALL | {"j\u017fonrpc": "2.0"},
    "ID beside id": call(ID=8),
    "Result in a call": call(Result={}),
    "Name beside name": call_with(Name="git__push"),
    "NAME beside name": call_with(NAME="git__push"),
    "Arguments beside arguments": call_with(Arguments={}),
    "argument\u017f beside arguments": call_spelled({"argument\u017f": {}}),
    "_Meta": call_with(_Meta={}),
    "ta\u017fk": call_spelled({"ta\u017fk": {}}),
    "tas\u212a": call_spelled({"tas\u212a": {}}),
    "URI": call_with(URI="file:///etc/passwd"),
    "ProgressToken in _meta": call_with(_meta={"ProgressToken": 1}),
    "progressTo\u212aen in _meta": call_with(_meta={"progressTo\u212aen": 1}),
    "IO.modelcontextprotocol in _meta": call_with(_meta={META_VERSION.upper(): MODERN}),
}


@pytest.mark.parametrize("message", INVALID_REQUESTS.values(), ids=INVALID_REQUESTS.keys())
def test_what_is_no_request_is_refused(message: object) -> None:
    refused = refusal(message)
    assert (refused.rpc_code, refused.status) == (RpcCode.INVALID_REQUEST, 400)


@pytest.mark.parametrize(
    ("message", "request_id", "method"),
    [
        (call(jsonrpc="1.0"), 7, "tools/call"),
        (call(jsonrpc="1.0", id="seven"), "seven", "tools/call"),
        (call(jsonrpc="1.0", id=0), 0, "tools/call"),
        (call(id=None), None, "tools/call"),
        (call(id=True), None, "tools/call"),
        (call(id="i" * 513), None, "tools/call"),
        (call(id=...), None, "tools/call"),
        (call(method=5), 7, None),
        (call(method="m" * 257), 7, None),
        ([CALL], None, None),
    ],
)
def test_a_refusal_echoes_what_could_be_read(message: object, request_id: object, method: str | None) -> None:
    refused = refusal(message)
    assert (refused.request_id, refused.method) == (request_id, method)


def test_malformed_json_is_refused_with_nothing_to_echo() -> None:
    for body in (b"", b"{", b'{"id": 7, "id": 8}', b"\xff\xfe"):
        with pytest.raises(MessageRefused) as caught:
            parse_message(body, MIRROR)
        assert caught.value.rpc_code is RpcCode.PARSE_ERROR
        assert (caught.value.request_id, caught.value.method, caught.value.status) == (None, None, 400)


@pytest.mark.parametrize("era_headers", [[], [("mcp-protocol-version", LEGACY)]])
def test_what_other_keys_hold_is_left_alone(era_headers: Headers) -> None:
    message = call_with(extra={"Name": 1}, arguments={"Name": 1, "name": 2}, _meta={"com.example/x": [None]})
    parsed = parse(message | {"extension": True}, era_headers)
    assert isinstance(parsed, Request)
    assert parsed.params == message["params"]
    assert parsed.meta == {"com.example/x": [None]}


def test_null_for_params_or_meta_is_as_if_absent() -> None:
    for message in (call(params=None), call(params=...), call(params={"_meta": None})):
        parsed = parse(message)
        assert isinstance(parsed, Request)
        assert (parsed.params.get("_meta"), parsed.meta) == (None, {})


@pytest.mark.parametrize("meta", [[], "x", 1, True])
def test_meta_that_is_no_object_is_refused_in_both_eras(meta: object) -> None:
    assert refusal(call_with(_meta=meta)).rpc_code is RpcCode.INVALID_PARAMS
    assert refusal(modern(meta), MIRROR).rpc_code is RpcCode.INVALID_PARAMS


def test_notifications_are_told_apart_from_requests() -> None:
    cancelled = call(id=..., method="notifications/cancelled", params={"requestId": 7})
    assert parse(cancelled) == Notification("notifications/cancelled", {"requestId": 7}, {}, Era.LEGACY, None)
    assert parse(cancelled, [("mcp-protocol-version", MODERN)]) == Notification(
        "notifications/cancelled", {"requestId": 7}, {}, Era.MODERN, MODERN
    )


NOTIFICATION = call(id=..., method="notifications/progress", params={})


@pytest.mark.parametrize(
    ("params", "headers", "code"),
    [
        ({}, [("mcp-protocol-version", "2024-01-01")], RpcCode.INVALID_REQUEST),
        ({}, [("mcp-protocol-version", LEGACY), ("mcp-protocol-version", LEGACY)], RpcCode.INVALID_REQUEST),
        ({}, [("mcp-protocol-version", MODERN), ("mcp-protocol-version", MODERN)], RpcCode.HEADER_MISMATCH),
        ({}, [("mcp-protocol-version", MODERN), ("mcp-method", "ping")], RpcCode.HEADER_MISMATCH),
        ({"_meta": META}, [("mcp-protocol-version", LEGACY)], RpcCode.HEADER_MISMATCH),
        ({"_meta": {META_VERSION: "v9"}}, [("mcp-protocol-version", "v9")], RpcCode.UNSUPPORTED_VERSION),
        ({"_meta": {META_VERSION: "v9"}}, [], RpcCode.UNSUPPORTED_VERSION),
        ({"_meta": {META_VERSION: 9}}, [], RpcCode.INVALID_PARAMS),
    ],
)
def test_the_headers_of_a_notification_must_not_lie(params: object, headers: Headers, code: RpcCode) -> None:
    refused = refusal(NOTIFICATION | {"params": params}, headers)
    assert (refused.rpc_code, refused.status, refused.request_id) == (code, 400, None)


def test_posted_responses_are_read_as_such() -> None:
    answer = {"jsonrpc": "2.0", "id": "a", "result": {"action": "accept"}}
    assert parse(answer) == PostedResponse("a", result={"action": "accept"})
    failure: dict[str, object] = {
        "jsonrpc": "2.0",
        "id": 3,
        "error": {"code": -1, "message": "no", "data": None},
    }
    assert parse(failure, [("mcp-protocol-version", MODERN)]) == PostedResponse(
        3, error={"code": -1, "message": "no", "data": None}, era=Era.MODERN
    )


# What the body says, what the headers say, and the code of the refusal.
MODERN_REFUSALS: dict[str, tuple[object, Headers, RpcCode]] = {
    "no meta": (CALL, MIRROR, RpcCode.INVALID_PARAMS),
    "meta null": (modern(None), MIRROR, RpcCode.INVALID_PARAMS),
    "no version in the body": (modern({META_CAPABILITIES: {}}), MIRROR, RpcCode.INVALID_PARAMS),
    "no capabilities": (modern({META_VERSION: MODERN}), MIRROR, RpcCode.INVALID_PARAMS),
    "capabilities null": (modern(META | {META_CAPABILITIES: None}), MIRROR, RpcCode.INVALID_PARAMS),
    "no headers": (modern(), [], RpcCode.HEADER_MISMATCH),
    "no version header": (modern(), without(MIRROR, "mcp-protocol-version"), RpcCode.HEADER_MISMATCH),
    "a legacy version header": (modern(), mirror("mcp-protocol-version", LEGACY), RpcCode.HEADER_MISMATCH),
    "an empty version header": (modern(), mirror("mcp-protocol-version", ""), RpcCode.HEADER_MISMATCH),
    "a legacy version in the body": (modern(META | {META_VERSION: LEGACY}), MIRROR, RpcCode.HEADER_MISMATCH),
    "a number for a version": (modern(META | {META_VERSION: 20260728}), MIRROR, RpcCode.HEADER_MISMATCH),
    "no method header": (modern(), without(MIRROR, "mcp-method"), RpcCode.HEADER_MISMATCH),
    "another method": (modern(), mirror("mcp-method", "tools/list"), RpcCode.HEADER_MISMATCH),
    "the method in capitals": (modern(), mirror("mcp-method", "TOOLS/CALL"), RpcCode.HEADER_MISMATCH),
    "no name header": (modern(), without(MIRROR, "mcp-name"), RpcCode.HEADER_MISMATCH),
    "another name": (modern(), mirror("mcp-name", "git__push"), RpcCode.HEADER_MISMATCH),
    "the name in capitals": (modern(), mirror("mcp-name", "GIT__LOG"), RpcCode.HEADER_MISMATCH),
    "a broken wrapping": (modern(), mirror("mcp-name", "=?base64?Z?="), RpcCode.HEADER_MISMATCH),
    "a name beyond ASCII": (modern(name="caf\xe9"), mirror("mcp-name", "caf\xe9"), RpcCode.HEADER_MISMATCH),
    "version sent twice": (modern(), [*MIRROR, MIRROR[0]], RpcCode.HEADER_MISMATCH),
    "a second version": (modern(), [("mcp-protocol-version", LEGACY), *MIRROR], RpcCode.HEADER_MISMATCH),
    "two versions, legacy body": (CALL, [("mcp-protocol-version", LEGACY), *MIRROR], RpcCode.HEADER_MISMATCH),
    "method sent twice": (modern(), [*MIRROR, MIRROR[1]], RpcCode.HEADER_MISMATCH),
    "name sent twice": (modern(), [*MIRROR, ("mcp-name", "git__push")], RpcCode.HEADER_MISMATCH),
    "a version of the future": (
        modern(META | {META_VERSION: "2099-01-01"}),
        mirror("mcp-protocol-version", "2099-01-01"),
        RpcCode.UNSUPPORTED_VERSION,
    ),
}


@pytest.mark.parametrize(("body", "headers", "code"), MODERN_REFUSALS.values(), ids=MODERN_REFUSALS.keys())
def test_headers_against_body_in_the_modern_era(body: object, headers: Headers, code: RpcCode) -> None:
    refused = refusal(body, headers)
    assert (refused.rpc_code, refused.status) == (code, 400)
    assert (refused.request_id, refused.method) == (7, "tools/call")


def test_an_unsupported_version_is_told_which_are_supported() -> None:
    refused = refusal(modern(META | {META_VERSION: "v9"}), mirror("mcp-protocol-version", "v9"))
    assert refused.facts == {"supported": list(MODERN_VERSIONS), "requested": "v9"}


@pytest.mark.parametrize("value", ["  git__log\t", "=?base64?Z2l0X19sb2c=?="])
def test_space_around_a_header_and_its_wrapping_are_taken_off(value: str) -> None:
    assert parse(modern(), mirror("mcp-name", value)) == parse(modern(), MIRROR)


def test_names_are_mirrored_by_calls_prompts_and_reads_only() -> None:
    for method, params in {
        "prompts/get": {"name": "greet"},
        "resources/read": {"uri": "file:///\u00fc"},
        "tools/list": {"name": "ignored"},
    }.items():
        body = call(method=method, params={**params, "_meta": META})
        mirrored = {"prompts/get": "greet", "resources/read": "=?base64?ZmlsZTovLy/DvA==?="}.get(
            method, "other"
        )
        assert isinstance(parse(body, [MIRROR[0], ("mcp-method", method), ("mcp-name", mirrored)]), Request)


def test_a_legacy_version_in_meta_makes_no_modern_request() -> None:
    for headers in ([], [("mcp-protocol-version", LEGACY)]):
        parsed = parse(modern(META | {META_VERSION: LEGACY}), headers)
        assert isinstance(parsed, Request)
        assert parsed.era is Era.LEGACY


@pytest.mark.parametrize("version", ["", "1", "2025-11-26", "2099-01-01", "2025-11-25, 2025-11-25"])
def test_an_unknown_version_of_a_legacy_request_is_refused_with_those_that_are_known(version: str) -> None:
    refused = refusal(CALL, [("mcp-protocol-version", version)])
    assert (refused.rpc_code, refused.status, refused.request_id) == (RpcCode.INVALID_REQUEST, 400, 7)
    assert refused.facts == {"supported": [*LEGACY_VERSIONS, *MODERN_VERSIONS], "requested": version}


def test_a_legacy_version_sent_twice_is_refused() -> None:
    assert refusal(CALL, [("mcp-protocol-version", LEGACY)] * 2).rpc_code is RpcCode.INVALID_REQUEST


def test_other_routing_headers_mean_nothing_in_the_legacy_era() -> None:
    assert parse(CALL, [("mcp-method", "ping"), ("mcp-name", "x"), ("mcp-name", "y")]) == parse(CALL)


JSON_LIKE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["2.0", MODERN, "x"]),
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(st.sampled_from(["_meta", META_VERSION, "name", "Name", "code"]), v, max_size=3)
    ),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "Id", "x"])
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["mcp-protocol-version", "mcp-method", "mcp-name"]),
        st.sampled_from([MODERN, LEGACY, "tools/call", "", "x"]),
    ),
    max_size=4,
)


@given(st.dictionaries(MEMBERS, JSON_LIKE), HEADERS)
def test_any_object_is_a_message_or_a_refusal_of_400(changed: dict[str, object], headers: Headers) -> None:
    for message in (CALL | changed, changed):
        try:
            parsed: Message | MessageRefused = parse(message, headers)
        except MessageRefused as refused:
            parsed = refused
        if isinstance(parsed, MessageRefused):
            assert parsed.status == 400
        if isinstance(parsed, Request):
            assert (parsed.id, parsed.method) == (message["id"], message["method"])
            assert type(parsed.id) in {int, str}
