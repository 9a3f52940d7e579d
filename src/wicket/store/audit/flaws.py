"""What is wrong with the log: the first bad row, found by whoever checks a part of it."""

from dataclasses import dataclass
from typing import Final

LOG: Final = "log"
"""Where a row is missing that could have been in any of the three tables."""
STATEMENTS: Final = "checkpoints"


@dataclass(frozen=True, slots=True)
class Bad:
    """The first bad row. Of the checkpoints: `seq` is the statement's number, and there is no writer."""

    writer: int
    seq: int
    table: str
    what: str


class Flawed(Exception):
    """A bad row was found."""

    def __init__(self, writer: int, seq: int, table: str, what: str) -> None:
        super().__init__(what)
        self.bad = Bad(writer, seq, table, what)
