"""Odd input that means one thing only: the upstream saw exactly what was decided, in our own bytes."""

import json
from itertools import product
from pathlib import Path

from tests.gateway.scene import scene
from tests.instance import MODERN_META
from wicket.core.model import Json, JsonObject

DEEP: Json = "bottom"
for _ in range(29):
    DEEP = [DEEP]

SAME = {
    "escaped letters": ('{"te\\u0078t": "\\u0066ine"}', {"text": "fine"}),
    "an escaped surrogate pair": ('{"text": "\\ud83d\\ude00"}', {"text": "😀"}),
    "an escaped slash": ('{"text": "a\\/b"}', {"text": "a/b"}),
    "spaces and lines": ('\n {\t"text" :\r\n "x" } ', {"text": "x"}),
    "composed and decomposed letters": ('{"\u00e9": 1, "e\u0301": 2}', {"\u00e9": 1, "e\u0301": 2}),
    "names that differ by case": ('{"a": 1, "A": 2}', {"a": 1, "A": 2}),
    "2^53-1": ('{"n": 9007199254740991}', {"n": 9007199254740991}),
    "minus nothing": ('{"n": -0}', {"n": 0}),
    "an exponent": ('{"n": 1E2}', {"n": 100.0}),
    "invisible letters": ('{"text": "a\u200bb\u2028c\ufeff"}', {"text": "a\u200bb\u2028c\ufeff"}),
    "a mark inside": ('{"text": "\\ufeff"}', {"text": "\ufeff"}),
    "reserved words": ('{"__proto__": {"__extn": {"fn": "ip"}}}', {"__proto__": {"__extn": {"fn": "ip"}}}),
    "null": ('{"text": null}', {"text": None}),
    "29 levels": (json.dumps({"deep": DEEP}), {"deep": DEEP}),
}


async def test_the_upstream_gets_the_value_that_was_decided_in_our_bytes(tmp_path: Path) -> None:
    body = '{"id": 7,  "jsonrpc": "2.0", "params": {"arguments": %s, "name": "fake__\\u0065cho"},"method":"tools/call"}'
    async with scene(tmp_path) as s:
        for number, (name, (text, value)) in enumerate(SAME.items()):
            answer = await s.wicket.post((body % text).encode(), key=s.key)
            entry = (await s.ended(number + 1))[-1]
            seen = s.upstream.calls[-1]
            assert (name, answer.status, len(s.upstream.calls)) == (name, 200, number + 1)
            assert seen.params["name"] == "echo"
            assert (name, seen.params["arguments"]) == (name, value)
            assert (name, entry.body["toolArgs"]) == (name, value)
            assert json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() in seen.body


async def test_absent_arguments_are_an_empty_object(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.wicket.rpc(s.key, "tools/call", {"name": "fake__echo"})
        (entry,) = await s.ended()
        (seen,) = s.upstream.calls

    assert seen.params["arguments"] == entry.body["toolArgs"] == {}


async def test_nothing_of_the_client_goes_upstream_but_what_is_named(tmp_path: Path) -> None:
    meta: JsonObject = {
        **MODERN_META,
        "progressToken": "mine",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "com.example/tenant": "acme",
        "io.modelcontextprotocol/clientInfo": {"name": "impostor", "version": "9"},
        "modelcontextprotocol.io/anything": 1,
    }
    params: JsonObject = {
        "name": "fake__echo",
        "arguments": {},
        "_meta": meta,
        "extra": 1,
        "task": {"ttl": 1},
    }
    headers = {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "fake__echo",
        "cookie": "a=b",
        "x-forwarded-for": "8.8.8.8",
        "x-secret": "1",
        "user-agent": "client/1",
        "mcp-param-other": "x",
        "traceparent": "00-1-2-3",
        "accept-language": "de",
        "referer": "http://a/",
    }
    body: JsonObject = {"jsonrpc": "2.0", "id": "client-id", "method": "tools/call", "params": params}
    async with scene(tmp_path) as s:
        answer = await s.wicket.post(json.dumps(body).encode(), key=s.key, headers=headers)
        (seen,) = s.upstream.calls

    assert answer.json["id"] == "client-id"
    assert set(seen.params) == {"name", "arguments", "_meta"}
    sent = seen.params["_meta"]
    assert isinstance(sent, dict)
    assert sent["traceparent"] == meta["traceparent"]
    assert sent["com.example/tenant"] == "acme"
    assert sent["progressToken"] == seen.id != "client-id"
    assert "modelcontextprotocol.io/anything" not in sent
    assert sent["io.modelcontextprotocol/clientInfo"] != meta["io.modelcontextprotocol/clientInfo"]
    assert set(seen.headers) <= {
        *("host", "accept", "accept-encoding", "content-type", "content-length", "user-agent"),
        *("mcp-protocol-version", "mcp-method", "mcp-name"),
    }
    assert s.key.encode() not in seen.raw


async def test_there_is_no_side_door(tmp_path: Path) -> None:
    params: JsonObject = {"name": "fake__echo", "uri": "file:///etc/passwd", "ref": {"type": "ref/prompt"}}
    doors = ("tasks/get", "tools/Call", "resources/write", "prompts/Get", "sampling/createMessage")
    async with scene(tmp_path) as s:
        for method, path, modern in product(doors, ("/mcp", "/mcp/fake"), (False, True)):
            answer = await s.wicket.rpc(s.key, method, params, path=path, modern=modern)
            assert answer.error["code"] == -32601
        assert s.upstream.seen == []


PATHS = {
    "/mcp/": None,
    "/mcp/fake/": None,
    "/mcp/fakes": 200,
    "/mcp/FAKE": 404,
    "/mcp/fake%2f..": 404,
    "/mcp/fake%00": 404,
    "/mcp/fake/extra": 404,
    "/mcp/" + "f" * 5000: 404,
    "/mcp/f%C3%A4ke": 404,
}
"""Each with None where it is served, else with the status of its refusal."""


async def test_the_path_names_a_service_in_one_spelling(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        for path, status in PATHS.items():
            answer = await s.wicket.call(s.key, "fake__echo" if path == "/mcp/" else "echo", path=path)
            assert (path, answer.status, "result" in answer.json) == (path, status or 200, status is None)
            assert status is None or answer.error["code"] == -32601
        assert len(s.upstream.calls) == sum(status is None for status in PATHS.values())
        assert {entry.service for entry in await s.ended()} == {"fake", "fakes"}
