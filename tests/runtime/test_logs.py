import json
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
FORGED = "\n2026-11-23 [info] all is well\x1b[2J\u2028"
PROGRAM = """
import logging, sys
import structlog
from wicket.runtime.logs import configure_logs
configure_logs(sys.argv[1])
log, forged, secret = structlog.get_logger("wicket.tests"), sys.argv[2], "a secret"
log.warning("a tool" + forged, name=forged, names=[forged])
logging.getLogger("a.library").warning("of a library" + forged)
try:
    raise ValueError(forged)
except ValueError:
    log.exception("it failed")
"""


def logged(form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form, FORGED],
        env={"PYTHONPATH": str(SRC), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
    )
    return done.stderr.decode()


@pytest.mark.parametrize("form", ["console", "json"])
def test_nothing_that_is_logged_begins_a_line_or_steers_a_terminal(form: str) -> None:
    text = logged(form)
    assert [line for line in text.splitlines() if line.startswith("2026-11-23 [info]")] == []
    assert "\x1b[2J" not in text
    assert "\u2028" not in text
    assert "a secret" not in text.replace('"a secret"', "")


def test_a_line_of_json_is_an_event() -> None:
    events = [json.loads(line)["event"] for line in logged("json").splitlines()]
    assert events == [f"a tool{FORGED}", f"of a library{FORGED}", "it failed"]


def test_on_a_console_a_traceback_stands_behind_a_margin() -> None:
    lines = logged("console").splitlines()
    begun = next(number for number, line in enumerate(lines) if "it failed" in line)
    assert [line for line in lines[begun + 1 :] if not line.startswith("  | ")] == []
    assert any("ValueError" in line for line in lines[begun + 1 :])
