"""From a command line to an exit code."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from wicket.cli.commands import app
from wicket.cli.exits import Exit, exit_code
from wicket.cli.output import say
from wicket.core.errors import WicketError


def main() -> NoReturn:
    """Run the command that the process was started with."""
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and answer its exit code; without arguments, those of the process."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="wicket")
    except SystemExit as end:
        return _flushed(end.code if isinstance(end.code, int) else Exit.OK)
    except WicketError as error:
        say(f"wicket: {error.sentence}")
        return _flushed(exit_code(error))
    return _flushed(Exit.OK)


def _flushed(code: int) -> int:
    """The code, once everything is printed; whoever stopped reading has read enough."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
