"""What commands have in common on the command line."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

DataDir: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="where the data is; WICKET_DATA_DIR, or ./wicket-data, otherwise",
        show_default=False,
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="print JSON")]
AgentName: TypeAlias = Annotated[str, typer.Argument(help="name or id of an agent", metavar="NAME")]


def group(about: str) -> typer.Typer:
    """A group of commands, in the house's manner."""
    return typer.Typer(help=about, no_args_is_help=True, rich_markup_mode=None, add_completion=False)
