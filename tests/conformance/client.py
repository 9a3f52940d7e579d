"""Wicket's upstream client as the client that the suite tests: it lists, and calls whatever is listed.

    python -m tests.conformance.client URL

A person sits behind it who answers every question with its defaults; the rest is what Wicket does upstream.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any, Final

from tests.upstreams.calls import recorded_call, target_of, upstream_side
from wicket.core.errors import UpstreamFailed
from wicket.core.jsonrpc import PostedResponse
from wicket.core.model import Json, JsonObject
from wicket.runtime.upstream import Answer, Ask, Declared, Target, Upstream
from wicket.runtime.upstream.reply import next_of
from wicket.runtime.upstream.standing import Said

ABLE: Final[JsonObject] = {"elicitation": {"applyDefaults": True}, "sampling": {}, "roots": {}}
QUESTIONS: Final = frozenset({"elicitation/create", "sampling/createMessage", "roots/list"})
ROUNDS_MAX: Final = 4
VALUES: Final[JsonObject] = {"string": "test", "integer": 1, "number": 1, "boolean": True, "array": []}


def filled(schema: Any) -> JsonObject:
    """Something for each property: its default, or else a value of its type."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return {
        name: one.get("default", VALUES.get(str(one.get("type")), "test"))
        for name, one in (properties or {}).items()
        if isinstance(one, dict)
    }


def answer_to(method: str, params: Any) -> JsonObject:
    """What the person says."""
    match method:
        case "elicitation/create":
            return {"action": "accept", "content": filled(params.get("requestedSchema"))}
        case "sampling/createMessage":
            said: JsonObject = {"type": "text", "text": "Paris"}
            return {"role": "assistant", "content": said, "model": "none", "stopReason": "endTurn"}
        case _:
            return {"roots": []}


async def call(upstream: Upstream, target: Target, tool: str, arguments: JsonObject) -> None:
    inputs: JsonObject = {}
    for _ in range(ROUNDS_MAX):
        result = await once(upstream, target, tool, arguments, inputs)
        if result.get("resultType") != "input_required":
            return
        asked = result.get("inputRequests")
        answers: dict[str, Json] = {
            key: answer_to(str(one.get("method")), one.get("params") or {})
            for key, one in (asked.items() if isinstance(asked, dict) else ())
            if isinstance(one, dict)
        }
        inputs = {"inputResponses": answers}
        if "requestState" in result:
            inputs["requestState"] = result["requestState"]


async def once(
    upstream: Upstream, target: Target, tool: str, arguments: JsonObject, inputs: JsonObject
) -> JsonObject:
    reply = await upstream.forward(
        recorded_call(arguments, tool=tool),
        target,
        meta={},
        progress_token=None,
        before_first_byte=None,
        capabilities=ABLE,
        inputs=inputs,
        asks=QUESTIONS,
    )
    with closing(reply):
        while not isinstance(message := await next_of(reply.pass_on), Answer):
            if isinstance(message, Ask):
                await message.answer(PostedResponse(0, result=answer_to(message.method, message.params)))
    return message.result or {}


@asynccontextmanager
async def attended(upstream: Upstream, target: Target) -> AsyncIterator[None]:
    """Answer what a legacy server asks aside of a call, as long as it lasts."""

    async def answer() -> None:
        async with upstream.attending(target) as said:
            async for one in said or _nothing():
                if isinstance(one, Ask):
                    await one.answer(PostedResponse(0, result=answer_to(one.method, one.params)))

    attending = asyncio.create_task(answer()) if target.declared is not None else None
    yield
    if attending is not None:
        attending.cancel()
        await asyncio.gather(attending, return_exceptions=True)


async def _nothing() -> Said:
    return
    yield


async def main(url: str) -> None:
    wanted = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}")).get("toolCalls")
    is_legacy = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION") != "2026-07-28"
    target = target_of(url, token=None)
    if is_legacy:
        target = Target(target.connector, None, target.owner, Declared("suite", ABLE))
    async with upstream_side() as upstream, attended(upstream, target):
        listed = await upstream.list_tools(target)
        calls = wanted or [
            {"name": tool["name"], "arguments": filled(tool.get("inputSchema"))} for tool in listed
        ]
        for one in calls:
            try:
                await call(upstream, target, one["name"], one.get("arguments") or {})
            except UpstreamFailed as failed:
                sys.stderr.write(f"{one['name']}: {failed.sentence}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
