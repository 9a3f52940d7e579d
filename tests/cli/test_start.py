import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.commands import environment, wicket
from wicket import __version__
from wicket.cli import app
from wicket.cli.exits import exit_code
from wicket.core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
    UpstreamFailed,
    WicketError,
)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(path), command
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


def test_every_documented_command_is_there() -> None:
    assert set(COMMANDS) == {
        "serve", "demo", "login", "doctor", "can", "openapi", "version", "token create", "db upgrade",
        "agents list", "agents show", "agents disable", "agents enable",
        "audit list", "audit tail", "audit export", "audit verify", "audit key",
        "members list", "members invite", "members approve", "members reject", "members remove",
        "keys list", "keys revoke",
        "policies list", "policies show", "policies diff", "policies export", "policies apply", "policies test",
    }  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_a_data_directory_and_json(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--data-dir", "--json"} <= options


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help(name: str) -> None:
    assert [p.name for p in COMMANDS[name].params if p.name != "help" and not p.help] == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WicketError("x"), 1),
        (Invalid("x", field="f"), 2),
        (Unauthenticated("x"), 3),
        (Forbidden("x"), 3),
        (NotFound("x"), 4),
        (Conflict("x"), 5),
        (Unavailable("x"), 6),
        (UpstreamFailed("x"), 6),
    ],
)
def test_the_exit_code_says_what_kind_of_error_it_was(error: WicketError, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize("arguments", [("nonsense",), ("agents", "show"), ("audit", "list", "--limit", "0")])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    ended = wicket(*arguments)
    assert (ended.code, ended.out) == (2, "")


def test_the_version_is_printed() -> None:
    assert wicket("version").out == f"{__version__}\n"
    assert wicket("version", "--json").json == {"version": __version__}


def test_a_small_command_loads_no_framework_and_no_engine() -> None:
    heavy = ("fastapi", "cedarpy", "sqlalchemy", "uvicorn", "aiohttp", "mcp", "rich")
    script = (
        "import sys; from wicket.cli import run; run(['version']);"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True
    )
    assert printed.stdout.splitlines() == [__version__, "[]"]


def test_the_api_is_described_without_a_server() -> None:
    described = wicket("openapi").json
    paths = described["paths"]
    assert described["openapi"] == "3.1.0"
    assert isinstance(paths, dict)
    assert "/api/agents" in paths


@pytest.mark.parametrize(
    "arguments",
    [("agents", "list"), ("audit", "verify"), ("audit", "list"), ("can", "a@example.com", "git__log")],
)
def test_a_missing_data_directory_is_not_made_by_looking(arguments: tuple[str, ...], tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    assert wicket(*arguments, "--data-dir", missing).code == 4
    assert not missing.exists()


def test_a_bad_setting_is_named(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "wicket.cli", "agents", "list", "--data-dir", str(tmp_path)],
        env=environment(WICKET_PORT="many"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "WICKET_PORT" in ended.stderr
