"""The clients and servers, and what is expected of each: the tests assert it, and docs/interop.md says it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from tests.interop.clients import claude, driven, programs
from tests.interop.clients.driven import Call, Drive
from tests.interop.installed import ROOT, npm_version, pypi_version
from tests.interop.servers import NOTE

LEGACY: Final = "2025-11-25"
MODERN: Final = "2026-07-28"
DEVELOPMENT: Final = ROOT / "requirements" / "dev.txt"

Shape = Literal["error", "toolResult"]
SHAPES: Final[tuple[Shape, ...]] = ("error", "toolResult")


@dataclass(frozen=True)
class ClientCase:
    """A client in front of Wicket."""

    title: str
    version: str
    protocol: str
    drive: Drive
    name: str
    """What it calls itself, in the audit entry."""
    shows_data: frozenset[Shape] = frozenset(SHAPES)
    """Shapes of a denial whose `decisionId` it passes on to its user, beside the sentence."""
    sends_unlisted: bool = True
    """Whether it calls a tool that it was not shown."""


@dataclass(frozen=True)
class ServerCase:
    """A server behind Wicket."""

    service: str
    title: str
    version: str
    transport: Literal["HTTP", "stdio"]
    protocol: str
    """The newest that it speaks."""
    allowed: Call
    answer: str
    """Somewhere in the answer to it."""
    denied: Call
    left: Mapping[str, str] = field(default_factory=dict)
    """What the denied call would have changed: file in the scene's folder -> what it holds all the same."""


_V1, _V2 = npm_version("@modelcontextprotocol/sdk"), npm_version("@modelcontextprotocol/client")
_PYTHON = pypi_version("mcp", DEVELOPMENT)
_INSPECTOR = npm_version("@modelcontextprotocol/inspector")
_AS_RESULT: Final = frozenset[Shape]({"toolResult"})

CLIENTS: Final = (
    ClientCase("Python `mcp`", _PYTHON, MODERN, driven.python_sdk("auto"), "mcp"),
    ClientCase("Python `mcp`, legacy", _PYTHON, LEGACY, driven.python_sdk("legacy"), "mcp"),
    ClientCase("`fastmcp`", pypi_version("fastmcp"), MODERN, driven.fastmcp, "mcp"),
    ClientCase("`@modelcontextprotocol/sdk`", _V1, LEGACY, driven.typescript_sdk("v1"), "interop"),
    ClientCase("`@modelcontextprotocol/client`", _V2, LEGACY, driven.typescript_sdk("v2"), "interop"),
    ClientCase(
        "`@modelcontextprotocol/client`, `auto`", _V2, MODERN, driven.typescript_sdk("v2", "auto"), "interop"
    ),
    ClientCase(
        "Inspector CLI",
        _INSPECTOR,
        LEGACY,
        programs.inspector("legacy"),
        "inspector-cli",
        shows_data=_AS_RESULT,
        sends_unlisted=False,
    ),
    ClientCase(
        "Inspector CLI, `--protocol-era modern`",
        _INSPECTOR,
        MODERN,
        programs.inspector("modern"),
        "inspector-cli",
        shows_data=_AS_RESULT,
        sends_unlisted=False,
    ),
    ClientCase("`mcp-remote`", npm_version("mcp-remote"), MODERN, driven.mcp_remote, "mcp"),
    ClientCase(
        "Claude Code",
        npm_version("@anthropic-ai/claude-code"),
        MODERN,
        claude.work,
        "claude-code",
        shows_data=frozenset(),
        sends_unlisted=False,
    ),
)

_EVERYTHING = npm_version("@modelcontextprotocol/server-everything")
_ECHO, _SUM = Call("echo", {"message": "hello"}), Call("get-sum", {"a": 40, "b": 2})

SERVERS: Final = (
    ServerCase("everything", "`server-everything`", _EVERYTHING, "HTTP", LEGACY, _ECHO, "Echo: hello", _SUM),
    ServerCase("local", "`server-everything`", _EVERYTHING, "stdio", LEGACY, _ECHO, "Echo: hello", _SUM),
    ServerCase(
        "files",
        "`server-filesystem`",
        npm_version("@modelcontextprotocol/server-filesystem"),
        "stdio",
        LEGACY,
        Call("read_text_file", {"path": "{folder}/files/note.txt"}),
        NOTE,
        Call("write_file", {"path": "{folder}/files/note.txt", "content": "overwritten"}),
        left={"files/note.txt": NOTE},
    ),
    ServerCase(
        "memory",
        "`server-memory`",
        npm_version("@modelcontextprotocol/server-memory"),
        "stdio",
        LEGACY,
        Call(
            "create_entities",
            {"entities": [{"name": "wicket", "entityType": "proxy", "observations": [NOTE]}]},
        ),
        NOTE,
        Call("delete_entities", {"entityNames": ["wicket"]}),
        left={"memory.jsonl": NOTE},
    ),
    ServerCase(
        "git",
        "`mcp-server-git`",
        pypi_version("mcp-server-git", DEVELOPMENT),
        "stdio",
        MODERN,
        Call("git_log", {"repo_path": "{folder}/repository", "max_count": 1}),
        NOTE,
        Call("git_create_branch", {"repo_path": "{folder}/repository", "branch_name": "not-made"}),
        left={"repository/.git/HEAD": "refs/heads/main"},
    ),
    ServerCase(
        "time",
        "`mcp-server-time`",
        pypi_version("mcp-server-time", DEVELOPMENT),
        "stdio",
        MODERN,
        Call("get_current_time", {"timezone": "Europe/Berlin"}),
        "Europe/Berlin",
        Call("convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
    ),
)
