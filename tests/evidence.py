"""How much a long run wants of a test, and what the test says it really did.

`make campaign` sets the variables; without them a test does its small share and keeps no account.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

FILE = "WICKET_TEST_EVIDENCE"
"""Names a file to which each part of a run appends a line."""
SEED = "WICKET_TEST_SEED"


def asked(name: str, default: int) -> int:
    """How many of something are wanted: `name` is a variable of the environment."""
    return int(os.environ.get(name, default))


def note(part: str, done: int, *, wrong: Mapping[str, int], **counts: int) -> None:
    """Say what was done, and how often what must never happen happened; before anything is asserted of it."""
    file = os.environ.get(FILE)
    if file is not None:
        said = {"part": part, "done": done, "wrong": dict(wrong), "counts": counts}
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(said) + "\n")
