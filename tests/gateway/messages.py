"""Messages as clients send them, and as nobody should: both eras, valid and broken, from a seeded generator."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.instance import MODERN_META
from wicket.core.model import Json, JsonObject

WORDS = (
    "plain", "", " ", "..", "%2f", "ünïcode", "e\u0301", "\u200b", "\u2028", "😀", "null", "a" * 1500, "\\u0000",
    "ghp_0123456789abcdefghij", "<script>", '"; DROP TABLE audit; --', "line\nbreak", "=cmd()", "../../etc/passwd",
)  # fmt: skip
NAMES = ("text", "owner", "path", "token", "api_key", "x", "__extn", "Name", "arguments", "_meta", "ключ", "")
STRANGE_TOOLS = (
    "echo", "one__", "__echo", "one__Echo", "one__echo ", " one__echo", "ONE__echo", "one_echo", "one___echo",
    "one__echo\u200b", "one__\u0435cho", "one__echo__", "two__one__echo", "one__e\u0301cho", "one/echo", "one.echo",
    "one__../echo", "nowhere__echo", "github__delete_file", "one__brand_new", "one__" + "e" * 200, "one__echo\n",
)  # fmt: skip
SIDE_DOORS = (
    "tools/list", "resources/read", "prompts/get", "completion/complete", "tools/Call", "tools/call ", "tools//call",
    "server/discover", "initialize", "sampling/createMessage", "subscriptions/listen", "tasks/get", "", "ping",
)  # fmt: skip


@dataclass(frozen=True)
class Sent:
    body: bytes
    headers: tuple[tuple[str, str], ...]
    path: str
    key: str | None


class Messages:
    """`keys` and `tools` (prefixed names) are what a valid call may use."""

    def __init__(self, random: Random, *, keys: Sequence[str], tools: Sequence[str]) -> None:
        self._random = random
        self._keys = keys
        self._tools = tools
        self._number = 0

    def make(self) -> Sent:
        """The next message; about half of them are calls without any fault."""
        call = self._call()
        kind = self._random.random()
        if kind < 0.5:
            return call
        if kind < 0.55:
            return self._other()
        return self._random.choice(
            (self._mangled, self._renamed, self._reshaped, self._misled, self._respelled)
        )(call)

    def _call(self) -> Sent:
        name = self._random.choice(self._tools)
        path = "/mcp"
        if self._random.random() < 0.2:
            service, _, name = name.partition("__")
            path = f"/mcp/{service}"
        return self._sent("tools/call", {"name": name, "arguments": self._arguments()}, path)

    def _other(self) -> Sent:
        """What is decided like a call."""
        service, _, name = self._random.choice(self._tools).partition("__")
        self._number += 1
        said: JsonObject = {"arguments": {"n": str(self._number)}}
        match self._random.randrange(3):
            case 0:
                return self._sent("prompts/get", said | {"name": f"{service}__{name}"}, "/mcp")
            case 1:
                return self._sent("prompts/get", said | {"name": name}, f"/mcp/{service}")
            case _:
                address = f"file:///{self._number}"
                return self._sent("resources/read", {"uri": address}, f"/mcp/{service}")

    def _sent(self, method: str, params: JsonObject, path: str) -> Sent:
        headers = [("accept", self._random.choice(("application/json, text/event-stream", "*/*")))]
        if self._random.random() < 0.5:
            params = params | {"_meta": MODERN_META}
            headers += [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)]
            if (
                isinstance(name := params.get("name", params.get("uri")), str)
                and name.isascii()
                and name.isprintable()
            ):
                headers.append(("mcp-name", name.strip()))
        if self._random.random() < 0.3:
            headers.append(("x-claude-code-session-id", self._random.choice("abc")))
        request_id = self._random.choice((self._number, f"id-{self._number}", 1))
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        body = json.dumps(message, ensure_ascii=self._random.random() < 0.5).encode()
        return Sent(body, tuple(headers), path, self._random.choice(self._keys))

    def _arguments(self) -> JsonObject:
        self._number += 1
        count = self._random.randrange(4)
        return {"n": self._number} | {self._random.choice(NAMES): self._value(2) for _ in range(count)}

    def _value(self, depth: int) -> Json:
        kind = self._random.randrange(8 if depth else 6)
        match kind:
            case 0 | 1:
                return self._random.choice(WORDS)
            case 2:
                return self._random.choice((0, -1, 2**53 - 1, -(2**53) + 1, 17))
            case 3:
                return self._random.choice((0.5, -0.0, 1e300, 1e-7, 100.0))
            case 4:
                return self._random.choice((True, False))
            case 5:
                return None
            case 6:
                return [self._value(depth - 1) for _ in range(self._random.randrange(3))]
            case _:
                return {self._random.choice(NAMES): self._value(depth - 1)}

    def _mangled(self, call: Sent) -> Sent:
        """Bytes changed, cut off, doubled or added."""
        body, at = bytearray(call.body), self._random.randrange(len(call.body))
        match self._random.randrange(6):
            case 0:
                body[at] = self._random.randrange(256)
            case 1:
                del body[at:]
            case 2:
                body[at:at] = body[at : at + 10]
            case 3:
                body[:0] = b"\xef\xbb\xbf"
            case 4:
                body += self._random.choice((b"{}", b"\x00", b" ", b"]"))
            case _:
                body = bytearray(call.body.decode().encode("utf-16"))
        return Sent(bytes(body), call.headers, call.path, call.key)

    def _renamed(self, call: Sent) -> Sent:
        """Another name for the tool, or another method."""
        if self._random.random() < 0.6:
            name = self._random.choice(STRANGE_TOOLS)
            return self._sent("tools/call", {"name": name, "arguments": self._arguments()}, call.path)
        method = self._random.choice(SIDE_DOORS)
        params: JsonObject = {"name": self._random.choice(self._tools), "arguments": self._arguments()}
        return self._sent(method, params | {"uri": "file:///etc/passwd"}, call.path)

    def _reshaped(self, call: Sent) -> Sent:
        """The envelope of something else."""
        message = json.loads(call.body)
        match self._random.randrange(8):
            case 0:
                message = [message]
            case 1:
                del message["id"]
            case 2:
                message["id"] = self._random.choice((None, True, 1.5, [], {}))
            case 3:
                message["jsonrpc"] = self._random.choice(("1.0", 2.0, None))
            case 4:
                message["params"] = self._random.choice((None, [], "x", 1))
            case 5:
                message["params"]["arguments"] = self._random.choice((None, [], "x", [{}]))
            case 6:
                message = {"jsonrpc": "2.0", "id": 1, "result": {"content": []}}
            case _:
                message["method"] = "notifications/initialized"
                del message["id"]
        return Sent(json.dumps(message).encode(), call.headers, call.path, call.key)

    def _misled(self, call: Sent) -> Sent:
        """Headers and keys that are not what they should be."""
        headers, key = list(call.headers), call.key
        match self._random.randrange(7):
            case 0:
                key = self._random.choice((None, "A" * 32, "not a key"))
            case 1:
                headers.append(("mcp-session-id", "guessed"))
            case 2:
                headers.append(("mcp-name", self._random.choice(self._tools)))
            case 3:
                headers.append(("mcp-protocol-version", self._random.choice(("2026-07-28", "1999-01-01"))))
            case 4:
                headers.append(("authorization", "Bearer " + self._random.choice(self._keys)))
            case 5:
                headers.append(("x-forwarded-for", "8.8.8.8"))
            case _:
                headers.append(("origin", self._random.choice(("https://evil.example", "null"))))
        return Sent(call.body, tuple(headers), call.path, key)

    def _respelled(self, call: Sent) -> Sent:
        """Protocol keys twice, escaped, or in letters that only look right."""
        key = self._random.choice(("name", "arguments", "method", "params", "id", "jsonrpc"))
        quoted = f'"{key}"'.encode()
        look_alike = key.replace("s", "\u017f").replace("k", "\u212a")
        other = self._random.choice(
            (
                f'"{key}": "one__wipe", "{key}"',
                f'"\\u{ord(key[0]):04x}{key[1:]}": 1, "{key}"',
                f'"{key.upper()}": "one__wipe", "{key}"',
                f'"{look_alike}": 1, "{key}"',
                f'"\\u{ord(key[0]):04x}{key[1:]}"',
            )
        )
        return Sent(call.body.replace(quoted, other.encode(), 1), call.headers, call.path, call.key)
