"""Claude Code, with a model that does as it is told: a page of its API, on loopback, in place of the real one.

Nobody signs in, and nothing leaves the machine: `ANTHROPIC_BASE_URL` names where its model is.
"""

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from tests.interop.clients.driven import Call, Heard, Seen, ran
from tests.interop.installed import node
from wicket.core.model import Json, JsonObject

NAME: Final = "wicket"
PREFIX: Final = f"mcp__{NAME}__"
# The package's own starter finds the program of this machine among its optional packages: so nothing has to run
# when it is installed, where its install step would only put that program in the starter's place.
PROGRAM: Final = tuple(node("@anthropic-ai/claude-code", "cli-wrapper.cjs"))
ALONE: Final = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
BODY_BYTES_MAX: Final = 64 * 1024 * 1024
_TOOL = re.compile(PREFIX + r"[A-Za-z0-9_.-]+")


@dataclass
class Model:
    """Asks for the calls, one after another, and is done when it has had the last result."""

    calls: Sequence[Call]
    url: str = ""
    tools: list[str] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    has_had_all: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.path != "/v1/messages":
            return web.json_response({})
        message = json.loads(body)
        if not message.get("tools"):
            return await _streamed(
                request, {"type": "text", "text": ""}, {"type": "text_delta", "text": "ok"}
            )
        self.tools = self.tools or sorted(
            {name.removeprefix(PREFIX) for name in _TOOL.findall(body.decode())}
        )
        self.heard = [_heard(part) for part in _parts(message) if part.get("type") == "tool_result"]
        if len(self.heard) < len(self.calls):
            call = self.calls[len(self.heard)]
            wanted = {"type": "tool_use", "id": f"toolu_{len(self.heard)}", "name": PREFIX + call.tool}
            told = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
            return await _streamed(request, wanted | {"input": {}}, told)
        self.has_had_all.set()
        await self.may_end.wait()
        return await _streamed(request, {"type": "text", "text": ""}, {"type": "text_delta", "text": "done"})


def _parts(message: JsonObject) -> list[Any]:
    turns: Any = message["messages"]
    return [part for turn in turns if isinstance(turn["content"], list) for part in turn["content"]]


def _heard(part: Any) -> Heard:
    content = part["content"]
    text = content if isinstance(content, str) else "".join(one.get("text", "") for one in content)
    return Heard(text, is_error=part.get("is_error") is True)


async def _streamed(
    request: web.Request, block: Mapping[str, Json], delta: Mapping[str, Json]
) -> web.StreamResponse:
    """One turn, as the API streams it."""
    reason = "tool_use" if block["type"] == "tool_use" else "end_turn"
    usage: JsonObject = {"input_tokens": 1, "output_tokens": 1}
    message: JsonObject = {"id": "msg_1", "type": "message", "role": "assistant", "model": "scripted"}
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for kind, said in (
        ("message_start", {"message": message | {"content": [], "stop_reason": None, "usage": usage}}),
        ("content_block_start", {"index": 0, "content_block": block}),
        ("content_block_delta", {"index": 0, "delta": delta}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}),
        ("message_stop", {}),
    ):
        await response.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **said})}\n\n".encode())
    return response


@asynccontextmanager
async def scripted(calls: Sequence[Call]) -> AsyncIterator[Model]:
    """A model on loopback."""
    model = Model(calls)
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_route("*", "/{path:.*}", model.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        model.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield model
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class ClaudeCode:
    """One that knows Wicket, in a home of its own."""

    home: Path

    async def run(self, *arguments: str, **settings: str) -> str:
        """What a command of it prints."""
        code, out, err = await ran([*PROGRAM, *arguments], home=self.home, **ALONE, **settings)
        assert code == 0, (out, err)
        return out

    async def work(self, model: Model) -> None:
        """Let it do as the model says, everything of Wicket's being allowed on its own side."""
        allowed = [PREFIX + call.tool for call in model.calls]
        settings = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "nobody's"}
        await self.run("--print", "go", "--allowedTools", *allowed, PREFIX + "none", **settings)


@asynccontextmanager
async def claude_code(url: str, key: str) -> AsyncIterator[ClaudeCode]:
    """Claude Code after the `claude mcp add` of the README."""
    with tempfile.TemporaryDirectory(prefix="interop-") as home:
        claude = ClaudeCode(Path(home))
        header = f"Authorization: Bearer {key}"
        await claude.run("mcp", "add", "--transport", "http", NAME, url, "--header", header)
        yield claude


async def work(url: str, key: str, calls: Sequence[Call]) -> Seen:
    """The calls, made by Claude Code: what it tells its model is what it saw."""
    async with scripted(calls) as model, claude_code(url, key) as claude:
        model.may_end.set()
        await claude.work(model)
        return Seen(model.tools, model.heard)
