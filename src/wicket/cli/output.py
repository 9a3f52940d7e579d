"""What commands print: data on standard output, messages on standard error, tables on a terminal alone."""

import json
import sys
from collections.abc import Iterable, Sequence

from wicket.core.model import Json
from wicket.core.printable import printable


def print_json(value: Json) -> None:
    """One JSON document: indented for people, one line for programs."""
    print_line(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_json_line(value: Json) -> None:
    """One JSON value a line, for whoever reads along."""
    print_line(json.dumps(value, ensure_ascii=False))
    sys.stdout.flush()


def print_row(cells: Sequence[str]) -> None:
    """A row that is read as it comes, before it is known what follows."""
    parting = "  " if sys.stdout.isatty() else "\t"
    print_line(parting.join(map(printable, cells)))
    sys.stdout.flush()


def print_line(text: str) -> None:
    """A line of data, as it is."""
    sys.stdout.write(f"{text}\n")


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on a terminal; elsewhere a line a row, its cells parted by tabs, without heads."""
    if not sys.stdout.isatty():
        for row in rows:
            print_line("\t".join(map(printable, row)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell), style=STYLES.get(cell, "")) for cell in row))
    Console().print(table)


STYLES = {"ALLOW": "green", "DENY": "red", "ok": "green", "problem": "red", "disabled": "red"}
"""Words that are read at a glance."""


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """One thing, a line a field."""
    print_table(("", ""), fields)


def say(message: str) -> None:
    """A message for whoever started the command."""
    sys.stderr.write(f"{printable(message)}\n")
    sys.stderr.flush()
