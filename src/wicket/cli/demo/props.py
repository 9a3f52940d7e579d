"""What the demo plays with: a git repository, a folder of notes, and a configuration that names the servers."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wicket.core.errors import Conflict, Unavailable

NEEDED: Final = {"mcp": "mcp", "mcp_server_git": "mcp-server-git", "mcp_server_time": "mcp-server-time"}
"""Module -> the package that brings it."""
GIT_TIMEOUT_S: Final = 10
COMMITS: Final = (
    ("README.md", "# Greenhouse\n\nWaters the tomatoes.\n", "Begin with a readme"),
    (
        "water.py",
        "def litres(plants: int) -> float:\n    return plants * 0.4\n",
        "Say how much a plant drinks",
    ),
    ("water.py", "def litres(plants: int) -> float:\n    return plants * 0.5\n", "Give them more in summer"),
)
NOTES: Final = {
    "shopping": "tomato seeds, twine, a longer hose\n",
    "rota": "Monday Ada, Thursday Ben\n",
}


@dataclass(frozen=True, slots=True)
class Props:
    """Where everything lies."""

    data_dir: Path

    @property
    def config(self) -> Path:
        return self.data_dir / "wicket.toml"

    @property
    def repository(self) -> Path:
        return self.data_dir / "repository"

    @property
    def notes(self) -> Path:
        return self.data_dir / "notes"


def check_installed() -> None:
    """Raise Unavailable saying what to install."""
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise Unavailable(
            f"the demo runs real MCP servers, and {', '.join(missing)} is not installed: run `make demo` in the"
            f" repository, or `pip install {' '.join(missing)}`"
        )
    if shutil.which("git") is None:
        raise Unavailable("the demo makes a git repository, and git is not installed: install git")


def lay_out(data_dir: Path, *, port: int) -> Props:
    """Make the material; raises Conflict where there is data already."""
    props = Props(data_dir)
    if (data_dir / "wicket.db").exists() or props.config.exists():
        raise Conflict(
            f"`{data_dir}` holds data already: name an empty directory, or serve it with `wicket serve`",
            code="data_dir_taken",
        )
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make_repository(props.repository)
    props.notes.mkdir()
    for name, text in NOTES.items():
        (props.notes / f"{name}.txt").write_text(text, encoding="utf-8")
    props.config.write_text(_configuration(props, port), encoding="utf-8")
    return props


def _make_repository(folder: Path) -> None:
    folder.mkdir()
    _git(folder, "init", "--quiet", "--initial-branch=main")
    for name, text, message in COMMITS:
        (folder / name).write_text(text, encoding="utf-8")
        _git(folder, "add", name)
        _git(folder, "commit", "--quiet", "--message", message)


def _git(folder: Path, *arguments: str) -> None:
    """Run git as nobody in particular: whoever runs the demo may have hooks, signing keys and templates."""
    person = ("-c", "user.name=Demo", "-c", "user.email=demo@example.com")
    plain = ("-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "-c", "init.templateDir=")
    command = ["git", "-C", str(folder), *person, *plain, *arguments]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=GIT_TIMEOUT_S)  # noqa: S603
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or error
        raise Unavailable(f"git could not make the demo's repository: {said}") from error


def _configuration(props: Props, port: int) -> str:
    servers: dict[str, Sequence[str]] = {
        "git": ("mcp_server_git", "--repository", str(props.repository)),
        "time": ("mcp_server_time", "--local-timezone", "UTC"),
        "notes": ("wicket.cli.demo.notes_server", str(props.notes)),
    }
    lines = [f"data_dir = {_text(str(props.data_dir))}", f"port = {port}"]
    for key, (module, *arguments) in servers.items():
        lines += [
            "",
            f"[stdio.{key}]",
            f"command = {_text(sys.executable)}",
            f"args = [{', '.join(map(_text, ('-m', module, *arguments)))}]",
        ]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A TOML string; JSON's are."""
    return json.dumps(value)
