"""The clients that are programs: what they print is what their users see."""

import json
from collections.abc import Sequence
from typing import Any

from tests.interop.clients.driven import DENIAL_META, Call, Drive, Heard, Seen, ran
from tests.interop.installed import node


def inspector(era: str) -> Drive:
    """The Inspector's command line: one process a request."""

    async def drive(url: str, key: str, calls: Sequence[Call]) -> Seen:
        listed = await _asked(url, key, era, "tools/list")
        return Seen(
            [tool["name"] for tool in listed["result"]["tools"]],
            [await _called(url, key, era, call) for call in calls],
        )

    return drive


async def _called(url: str, key: str, era: str, call: Call) -> Heard:
    named = ("--tool-name", call.tool, "--tool-args-json", json.dumps(call.arguments))
    said = await _asked(url, key, era, "tools/call", *named)
    if "error" in said:
        return Heard(said["error"]["message"], is_error=True)
    result = said["result"]
    text = "".join(part.get("text", "") for part in result["content"])
    return Heard(text, is_error=result.get("isError") is True, data=result.get("_meta", {}).get(DENIAL_META))


async def _asked(url: str, key: str, era: str, method: str, *arguments: str) -> Any:
    how = ("--cli", "--server-url", url, "--transport", "http", "--protocol-era", era, "--format", "json")
    header = ("--header", f"Authorization: Bearer {key}")
    program = node("@modelcontextprotocol/inspector", "clients/launcher/build/index.js")
    _, out, err = await ran([*program, *how, *header, "--method", method, *arguments])
    assert out or err
    return json.loads(out or err)
