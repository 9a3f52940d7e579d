"""Commands run in this process, or in one of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

from wicket.cli import run
from wicket.core.model import JsonObject

SRC = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> JsonObject:
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.out.splitlines()]


def wicket(*arguments: str | Path) -> Ended:
    out, err = TextIOWrapper(BytesIO(), encoding="utf-8", newline=""), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
        out.seek(0)
        return Ended(code, out.read(), err.getvalue())


def command_line(*arguments: str | Path) -> list[str]:
    """For a process of its own."""
    return [sys.executable, "-m", "wicket.cli", *map(str, arguments)]


def environment(**settings: str) -> dict[str, str]:
    """Ours, without whatever settings it holds."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("WICKET_")}
    return ours | {"PYTHONPATH": str(SRC)} | settings


def started(
    *arguments: str | Path, cwd: Path, settings: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command_line(*arguments),
        cwd=cwd,
        env=environment(**(settings or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
