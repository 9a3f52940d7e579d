"""The demo's calls, by the official MCP client: each member with a client, and a conversation, of their own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wicket.cli.demo.cast import Cast, Player
from wicket.core.model import JsonObject

if TYPE_CHECKING:
    from mcp import Client

TEXT_SHOWN_MAX: Final = 200
TIMEOUT_S: Final = 30


@dataclass(frozen=True, slots=True)
class Line:
    """A call, and whether it should be allowed."""

    player: Player
    tool: str
    arguments: JsonObject
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class Spoken:
    """A call, and what its client was told."""

    line: Line
    is_allowed: bool
    text: str


def script(cast: Cast, repository: Path) -> Sequence[Line]:
    """What is called, in order. Ben's fifth call is one he was allowed before: by then the breaker has tripped."""
    ada, ben = cast.owner, cast.colleague
    here: JsonObject = {"repo_path": str(repository)}
    return (
        Line(ada, "time__get_current_time", {"timezone": "Europe/Berlin"}, is_allowed=True),
        Line(ada, "git__git_log", {**here, "max_count": 2}, is_allowed=True),
        Line(
            ada, "notes__write_note", {"name": "harvest", "text": "first tomatoes in July\n"}, is_allowed=True
        ),
        Line(ada, "notes__delete_note", {"name": "rota"}, is_allowed=False),
        Line(ben, "notes__read_note", {"name": "rota"}, is_allowed=True),
        Line(ben, "notes__write_note", {"name": "rota", "text": "Ben is off\n"}, is_allowed=False),
        Line(ben, "git__git_reset", here, is_allowed=False),
        Line(ben, "notes__delete_note", {"name": "shopping"}, is_allowed=False),
        Line(ben, "notes__read_note", {"name": "rota"}, is_allowed=False),
    )


def load_client() -> None:
    """Load the MCP client, which takes a second: best while something else is waited for."""
    import mcp.client.streamable_http  # noqa: F401 - what is wanted is that it has been loaded


async def speak(mcp_url: str, lines: Sequence[Line]) -> list[Spoken]:
    """Make the calls, a member's after the other's."""
    spoken: list[Spoken] = []
    for player in dict.fromkeys(line.player for line in lines):
        async with _client(mcp_url, player) as client:
            spoken += [await _say(client, line) for line in lines if line.player == player]
    return spoken


async def list_tools(mcp_url: str, player: Player) -> list[str]:
    """The tools that a member's client is shown."""
    async with _client(mcp_url, player) as client:
        return [tool.name for tool in (await client.list_tools()).tools]


@asynccontextmanager
async def _client(mcp_url: str, player: Player) -> "AsyncIterator[Client]":
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {player.key}"}, timeout=TIMEOUT_S) as http,
        Client(streamable_http_client(mcp_url, http_client=http)) as client,
    ):
        yield client


async def _say(client: "Client", line: Line) -> Spoken:
    from mcp import MCPError

    try:
        result = await client.call_tool(line.tool, line.arguments)
    except MCPError as refusal:
        return Spoken(line, is_allowed=False, text=refusal.message)
    texts = (getattr(part, "text", "") for part in result.content)
    return Spoken(
        line, is_allowed=not result.is_error, text=" ".join(" ".join(texts).split())[:TEXT_SHOWN_MAX]
    )
