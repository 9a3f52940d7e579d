"""The MCP Python SDK reads headers and envelopes of the modern era as well; what it says, ours must say."""

import json
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mcp.shared import inbound as oracle
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.jsonrpc import HEADER_MISMATCH
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from wicket.core.errors import Invalid, Refused
from wicket.core.jsonrpc import (
    LEGACY_VERSIONS,
    META_CAPABILITIES,
    META_CLIENT,
    META_VERSION,
    MODERN_VERSIONS,
    NAME_KEYS,
    MessageRefused,
    Request,
    check_param_headers,
    decode_header_value,
    encode_header_value,
    param_headers,
    parse_message,
    parse_param_headers,
)

MODERN = MODERN_VERSIONS[-1]
FUTURE = "2099-01-01"
PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


def test_versions_and_names_are_those_of_the_oracle() -> None:
    assert LEGACY_VERSIONS == HANDSHAKE_PROTOCOL_VERSIONS
    assert MODERN_VERSIONS == MODERN_PROTOCOL_VERSIONS
    assert dict(NAME_KEYS) == dict(oracle.NAME_BEARING_METHODS)
    assert (META_VERSION, META_CLIENT, META_CAPABILITIES) == (
        PROTOCOL_VERSION_META_KEY,
        CLIENT_INFO_META_KEY,
        CLIENT_CAPABILITIES_META_KEY,
    )


WRAPPED = st.text("ABZaz09+/=*", max_size=8).map(lambda payload: f"=?base64?{payload}?=")


@given(st.text(st.characters(exclude_categories=["Cs"])) | WRAPPED)
def test_values_are_encoded_and_decoded_alike(value: str) -> None:
    assert encode_header_value(value) == oracle.encode_header_value(value)
    if value.isascii() and value.isprintable():
        assert decode_header_value(value) == oracle.decode_header_value(value)


META = st.fixed_dictionaries(
    {},
    optional={
        META_VERSION: st.sampled_from(
            [MODERN] * 4 + [FUTURE] * 2 + [*LEGACY_VERSIONS[-1:], None, 5, [MODERN]]
        ),
        META_CAPABILITIES: st.just({}),
        META_CLIENT: st.just({"name": "c", "version": "1"}),
    },
)
PARAMS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "_meta": META | META | META | st.sampled_from([None, [], "x"]),
        "name": st.sampled_from(["a", "\u00fc", " ", 5, None]),
        "uri": st.sampled_from(["a", "\u00fc", "=?base64?YQ==?="]),
    },
)
BODIES = st.fixed_dictionaries(
    {
        "jsonrpc": st.just("2.0"),
        "id": st.just(1),
        "method": st.sampled_from(["tools/call", "prompts/get", "resources/read", "tools/list", "x"]),
    },
    optional={"params": PARAMS},
)
# The version comes first and is modern, for that is what brings a request to the oracle's classification.
HEADERS = st.lists(
    st.one_of(
        st.tuples(
            st.just("mcp-method"), st.sampled_from(["tools/call", "prompts/get", "resources/read", "x"])
        ),
        st.tuples(
            st.just("mcp-name"), st.sampled_from(["a", "b", "=?base64?w7w=?=", "=?base64?YQ==?=", "5"])
        ),
        st.tuples(st.just("mcp-protocol-version"), st.sampled_from([MODERN, FUTURE])),
        st.tuples(st.just("accept"), st.just("*/*")),
    ),
    max_size=3,
).map(lambda others: [("mcp-protocol-version", MODERN), *others])


def verdict_of_the_oracle(body: dict[str, Any], headers: list[tuple[str, str]]) -> tuple[int, object] | str:
    if oracle.find_duplicated_routing_header(headers):
        return HEADER_MISMATCH, None
    verdict = oracle.classify_inbound_request(body, headers=dict(headers))
    if isinstance(verdict, oracle.InboundLadderRejection):
        return verdict.code, verdict.data
    return verdict.protocol_version


def our_verdict(body: dict[str, Any], headers: list[tuple[str, str]]) -> tuple[int, object] | str | None:
    try:
        message = parse_message(json.dumps(body).encode(), headers)
    except MessageRefused as refused:
        return int(refused.rpc_code), refused.facts if "supported" in refused.facts else None
    assert isinstance(message, Request)
    return message.version


@settings(max_examples=1_000)
@given(BODIES, HEADERS)
def test_modern_requests_are_judged_alike(body: dict[str, Any], headers: list[tuple[str, str]]) -> None:
    # A request with both faults is told of the body's first: the envelope is read before the headers.
    is_meta_odd = isinstance(body.get("params", {}).get("_meta"), list | str)
    assume(not (is_meta_odd and oracle.find_duplicated_routing_header(headers)))
    assert our_verdict(body, headers) == verdict_of_the_oracle(body, headers)


@given(BODIES, st.sampled_from([FUTURE, "v9"]))
def test_requests_of_unknown_versions_are_judged_alike(body: dict[str, Any], version: str) -> None:
    body["params"] = {"name": "a", "uri": "a", "_meta": {META_VERSION: version, META_CAPABILITIES: {}}}
    headers = [("mcp-protocol-version", version), ("mcp-method", body["method"]), ("mcp-name", "a")]
    assert our_verdict(body, headers) == verdict_of_the_oracle(body, headers)


TOKENS = st.sampled_from(["Owner", "owner", "Repo", "Page", "", "a b", 5])
LEAVES = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "boolean", "string", "integer", "number", ["string"]])},
    optional={"x-mcp-header": TOKENS},
)
GOOD_LEAVES = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "boolean"])},
    optional={"x-mcp-header": st.sampled_from(["Owner", "Repo", "Page"])},
)


def schemas(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["a", "b", "c"])
    below = leaves | st.dictionaries(names, leaves, max_size=2).map(
        lambda p: {"type": "object", "properties": p}
    )
    odd = st.sampled_from(["items", "not", "default", "enum", "$ref", "if"])
    plain = st.dictionaries(names, below, max_size=3).map(lambda p: {"type": "object", "properties": p})
    return plain | plain | plain | st.builds(lambda p, k, s: p | {k: s}, plain, odd, leaves)


SCALARS = st.sampled_from(["x", "42", "\u00fc", "", 42, -7, 42.0, 4.5, 1e21, True, False, None, [1]])
ARGUMENTS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    SCALARS | st.dictionaries(st.sampled_from(["a", "b"]), SCALARS, max_size=2),
    max_size=3,
)
CHANGES = st.dictionaries(
    st.sampled_from(["Mcp-Param-Owner", "Mcp-Param-Repo", "Mcp-Param-Page"]),
    st.sampled_from([None, "x", "42", "42.0", "42.5", "-7.00", "true", "=?base64?w7w=?=", "=?base64?w7w?="]),
    max_size=2,
)


@settings(max_examples=1_000)
@given(schemas(LEAVES) | schemas(GOOD_LEAVES), ARGUMENTS, CHANGES)
def test_parameter_headers_are_made_and_judged_alike(
    schema: Any, arguments: Any, changes: dict[str, str | None]
) -> None:
    is_valid = oracle.find_invalid_x_mcp_header(schema) is None
    assert is_valid == is_valid_to_us(schema)
    made = oracle.mcp_param_headers(oracle.x_mcp_header_map(schema), arguments) if is_valid else {}
    assert param_headers(schema, arguments) == made
    sent = {name.lower(): value for name, value in (made | changes).items() if value is not None}
    is_refused = oracle.validate_mcp_param_headers(schema, arguments, sent) is not None
    assert is_refused == is_refused_by_us(schema, arguments, list(sent.items()))


def is_valid_to_us(schema: Any) -> bool:
    try:
        parse_param_headers(schema)
    except Invalid:
        return False
    return True


def is_refused_by_us(schema: Any, arguments: Any, headers: list[tuple[str, str]]) -> bool:
    try:
        check_param_headers(schema, arguments, headers)
    except Refused as refused:
        return int(refused.rpc_code) == HEADER_MISMATCH
    return False
