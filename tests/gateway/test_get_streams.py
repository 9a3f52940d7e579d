"""The GET stream of a legacy session: what the upstream says of its own accord, and the answers to what it asks."""

import asyncio
import json
from pathlib import Path

from tests.gateway.scene import scene
from tests.instance import Instance
from tests.upstreams.recording import Out, RecordingUpstream, Seen
from wicket.core.model import JsonObject

HELLO: JsonObject = {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": {}}
PATH = "/mcp/fake"
UPDATED: JsonObject = {
    "jsonrpc": "2.0",
    "method": "notifications/resources/updated",
    "params": {"uri": "test://a"},
}


async def speak(_: Seen, out: Out) -> None:
    await out.stream()
    await out.event({"jsonrpc": "2.0", "method": "notifications/of/nobody"})
    await out.event(UPDATED)
    await out.event({"jsonrpc": "2.0", "id": "s", "method": "sampling/createMessage", "params": {}})
    await out.event({"jsonrpc": "2.0", "id": "e", "method": "elicitation/create", "params": {"message": "?"}})
    await out.until_left()


async def begun(wicket: Instance, key: str) -> dict[str, str]:
    session = (await wicket.rpc(key, "initialize", HELLO, path=PATH)).headers["mcp-session-id"]
    return {"mcp-session-id": session, "authorization": f"Bearer {key}"}


async def posted_to(upstream: RecordingUpstream, count: int) -> list[JsonObject]:
    """The responses that the upstream got."""
    async with asyncio.timeout(5):
        while len(found := [s.message for s in upstream.seen if s.method == "POST" and not s.rpc]) < count:
            await asyncio.sleep(0)
    return found


async def test_what_the_upstream_says_and_asks_reaches_the_client_and_the_answer_goes_back(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, era="legacy") as s, asyncio.timeout(10):
        s.upstream.on("GET", speak)
        headers = await begun(s.wicket, s.key)
        told: list[JsonObject] = []
        async with s.wicket.http.get(s.wicket.url + PATH, headers=headers) as response:
            while len(told) < 2:
                line = await response.content.readline()
                if line.startswith(b"data: "):
                    told.append(json.loads(line.removeprefix(b"data: ")))
            answer: JsonObject = {"jsonrpc": "2.0", "id": told[1]["id"], "result": {"action": "cancel"}}
            posted = await s.wicket.post(json.dumps(answer).encode(), key=s.key, path=PATH, headers=headers)
            back = await posted_to(s.upstream, 2)

    assert told[0] == UPDATED
    assert told[1]["method"] == "elicitation/create"
    assert posted.status == 202
    refused, accepted = back
    assert refused["id"] == "s"  # the client had not said that it samples
    assert "error" in refused
    assert accepted == {"jsonrpc": "2.0", "id": "e", "result": {"action": "cancel"}}


async def test_an_upstream_without_such_a_stream_leaves_it_silent(tmp_path: Path) -> None:
    async with scene(tmp_path, era="legacy") as s:
        headers = await begun(s.wicket, s.key)
        async with s.wicket.http.get(s.wicket.url + PATH, headers=headers) as response, asyncio.timeout(5):
            assert await response.content.readline() == b": open\n"
            await s.revoke()
            assert await response.content.read() == b"\n"
