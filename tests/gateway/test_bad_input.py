"""Bad input: refused, or made canonical; and the upstream saw exactly what was decided."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.gateway.scene import scene

MARK = "%ARGUMENTS%"
ENVELOPE = (
    '{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "fake__echo", "arguments": '
    + MARK
    + "}}"
)
PARSE, INVALID, METHOD, PARAMS = -32700, -32600, -32601, -32602


@dataclass(frozen=True)
class Bad:
    """A body that is refused. What is `entered` was a call whose envelope parsed."""

    name: str
    body: bytes
    code: int
    entered: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 400


def arguments(text: str) -> bytes:
    return ENVELOPE.replace(MARK, text).encode("utf-8", "surrogatepass")


def envelope(text: str) -> bytes:
    return text.encode()


def named(name: str) -> bytes:
    return ENVELOPE.replace('"fake__echo"', json.dumps(name)).replace(MARK, "{}").encode()


CALL = ENVELOPE.replace(MARK, "{}")
IN_PARAMS = '"name": "fake__echo", '

JSON = [
    Bad("nothing", b"", PARSE),
    Bad("a byte order mark", b"\xef\xbb\xbf" + CALL.encode(), PARSE),
    Bad("UTF-16", CALL.encode("utf-16"), PARSE),
    Bad("UTF-16 without a mark", CALL.encode("utf-16-le"), PARSE),
    Bad("Latin-1", arguments('{"text": "x"}').replace(b"x", b"\xe9"), PARSE),
    Bad("text behind it", CALL.encode() + b" {}", PARSE),
    Bad("a comment", CALL.encode() + b"// x", PARSE),
    Bad("a key twice", arguments('{"a": 1, "a": 2}'), PARSE),
    Bad("a key twice, deep", arguments('{"x": [{"a": 1, "a": 2}]}'), PARSE),
    Bad("a key twice, once escaped", arguments('{"a": 1, "\\u0061": 2}'), PARSE),
    Bad("the name twice", envelope(CALL.replace(IN_PARAMS, IN_PARAMS * 2)), PARSE),
    Bad(
        "the name twice, once escaped",
        envelope(CALL.replace(IN_PARAMS, '"n\\u0061me": "x", ' + IN_PARAMS)),
        PARSE,
    ),
    Bad("the method twice", envelope(CALL.replace('"id"', '"method": "tools/list", "id"')), PARSE),
    Bad("NaN", arguments('{"a": NaN}'), PARSE),
    Bad("infinity", arguments('{"a": -Infinity}'), PARSE),
    Bad("a number that overflows", arguments('{"a": 1e999}'), PARSE),
    Bad("2^53", arguments('{"a": 9007199254740992}'), PARSE),
    Bad("2^53+1", arguments('{"a": 9007199254740993}'), PARSE),
    Bad("a lone surrogate", arguments('{"a": "\\ud800"}'), PARSE),
    Bad("a lone surrogate in a key", arguments('{"\\udc00": 1}'), PARSE),
    Bad("a lone surrogate, raw", arguments('{"a": "\ud800"}'), PARSE),
    Bad("U+0000", arguments('{"a": "\\u0000"}'), PARSE),
    Bad("33 levels", arguments("[" * 31 + "]" * 31), PARSE),
    Bad("a million levels", b"[" * 1_000_000, PARSE),
    Bad("a trailing comma", arguments('{"a": 1,}'), PARSE),
    Bad("single quotes", arguments("{'a': 1}"), PARSE),
]
RPC = [
    Bad("a batch", f"[{CALL}]".encode(), INVALID),
    Bad("a batch of two", f"[{CALL},{CALL}]".encode(), INVALID),
    Bad("a batch of nothing", b"[]", INVALID),
    Bad("a text", b'"tools/call"', INVALID),
    Bad("null", b"null", INVALID),
    Bad("no id", envelope(CALL.replace('"id": 7, ', "")), INVALID),
    Bad("a null id", envelope(CALL.replace('"id": 7', '"id": null')), INVALID),
    Bad("a true id", envelope(CALL.replace('"id": 7', '"id": true')), INVALID),
    Bad("half an id", envelope(CALL.replace('"id": 7', '"id": 1.5')), INVALID),
    Bad("an object for an id", envelope(CALL.replace('"id": 7', '"id": {}')), INVALID),
    Bad("JSON-RPC 1.0", envelope(CALL.replace('"2.0"', '"1.0"')), INVALID),
    Bad("no JSON-RPC", envelope(CALL.replace('"jsonrpc": "2.0", ', "")), INVALID),
    Bad("a method in capitals", envelope(CALL.replace('"method"', '"METHOD"')), INVALID),
    Bad("a second method in capitals", envelope(CALL.replace('"id"', '"Method": "x", "id"')), INVALID),
    Bad("a long s in params", envelope(CALL.replace('"params"', '"param\u017f"')), INVALID),
    Bad("a long s beside params", envelope(CALL.replace('"params"', '"param\u017f": {}, "params"')), INVALID),
    Bad("a second name in capitals", envelope(CALL.replace(IN_PARAMS, IN_PARAMS + '"NAME": "x", ')), INVALID),
    Bad(
        "second arguments in capitals",
        envelope(CALL.replace('"arguments"', '"Arguments": {}, "arguments"')),
        INVALID,
    ),
    Bad("a second _META", envelope(CALL.replace(IN_PARAMS, IN_PARAMS + '"_Meta": {}, ')), INVALID),
    Bad(
        "parameters in a list",
        envelope(CALL.replace('"params": {', '"params": [{').replace("}}", "}]}", 1)),
        PARSE,
    ),
    Bad(
        "a list of parameters",
        b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": ["fake__echo"]}',
        INVALID,
    ),
    Bad("method and result", envelope(CALL.replace('"id"', '"result": {}, "id"')), INVALID),
    Bad("a number for a method", envelope(CALL.replace('"tools/call"', "7")), INVALID),
    Bad("an empty method", envelope(CALL.replace('"tools/call"', '""')), INVALID),
    Bad("a result of nothing", b'{"jsonrpc": "2.0", "id": 7, "result": 1}', INVALID),
    Bad("_meta that is a list", envelope(CALL.replace(IN_PARAMS, IN_PARAMS + '"_meta": [], ')), PARAMS),
    Bad("arguments in a list", arguments("[]"), PARAMS, "arguments_rejected"),
    Bad("arguments in a text", arguments('"{}"'), PARAMS, "arguments_rejected"),
    Bad("arguments that are null", arguments("null"), PARAMS, "arguments_rejected"),
    Bad("a name in a list", envelope(CALL.replace('"fake__echo"', '["fake__echo"]')), PARAMS, "unknown_tool"),
    Bad("a name that is null", envelope(CALL.replace('"fake__echo"', "null")), PARAMS, "unknown_tool"),
]
NO_NAME = (
    "", " ", "echo", "__echo", "fake__", "fake_echo", "fake:echo", "fake.echo", "fake/echo", "fake__echo ",
    " fake__echo", "fake__echo\n", "fake__ech\u200bo", "fake__\u0435cho", "fake\uff3f\uff3fecho", "fake__\u00e9cho",
    "fake__e\u0301cho", "fake__" + "e" * 123, "fake__echo\t", "fake__../echo", "fake__echo?x=1", "fake__%65cho",
)  # fmt: skip
NO_TOOL = (
    "fake__Echo",
    "fake__ECHO",
    "fake___echo",
    "fake__echo__",
    "fake____echo",
    "fake__ech0",
    "fake__echo.",
)
NO_SERVICE = ("FAKE__echo", "Fake__echo", "fake-__echo", "other__fake__echo", "..__echo", "fake.__echo")
NAMES = [
    *(Bad(f"the name {name!a}", named(name), PARAMS, "unknown_tool") for name in NO_NAME),
    *(Bad(f"the name {name!a}", named(name), INVALID, "unknown_tool", status=200) for name in NO_TOOL),
    *(
        Bad(f"the name {name!a}", named(name), METHOD, "service_not_enabled", status=200)
        for name in NO_SERVICE
    ),
]


@pytest.mark.promise("P1")
@pytest.mark.parametrize("corpus", [JSON, RPC, NAMES], ids=["JSON", "JSON-RPC", "tool names"])
async def test_bad_input_is_refused_and_entered_where_it_is_a_call_and_reaches_nobody(
    corpus: list[Bad], tmp_path: Path
) -> None:
    async with scene(tmp_path) as s:
        for number, bad in enumerate(corpus):
            before = len(await s.log())
            answer = await s.wicket.post(bad.body, key=s.key, headers=bad.headers)
            entered = [entry.reason for entry in (await s.log())[before:]]
            found = (bad.name, answer.status, answer.error["code"], entered)
            assert found == (bad.name, bad.status, bad.code, [bad.entered] if bad.entered else [])
            assert (await s.call({"number": number})).status == 200  # the door is still open
        arrived = [seen.params["arguments"] for seen in s.upstream.calls]

    assert arrived == [{"number": number} for number in range(len(corpus))]


@pytest.mark.promise("P1")
async def test_a_call_as_a_notification_is_no_way_in(tmp_path: Path) -> None:
    body = CALL.replace('"id": 7, ', "").encode()
    async with scene(tmp_path) as s:
        for version in ("2025-11-25", "2026-07-28"):
            answer = await s.wicket.post(body, key=s.key, headers={"mcp-protocol-version": version})
            assert (answer.status, answer.error["code"]) == (400, INVALID)
        assert s.upstream.seen == []
