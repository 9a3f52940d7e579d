"""The command line. Each command says here what it takes, and imports what it does when it runs.

Exit codes: 0 ok, 1 denied or a failed check, 2 usage, 3 not allowed, 4 not found, 5 conflict or ambiguous,
6 unavailable.
"""

from wicket.cli.commands import app
from wicket.cli.start import main, run

__all__ = ["app", "main", "run"]
