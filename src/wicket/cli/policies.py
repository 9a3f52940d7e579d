"""`wicket policies`: works on the database itself, whether a server runs or not."""

from pathlib import Path
from typing import Annotated

import typer

from wicket.cli.options import AgentName, AsJson, DataDir, group

PolicyFile = Annotated[Path, typer.Argument(help="file of policies (YAML)", metavar="FILE")]
OfAgent = Annotated[
    str | None, typer.Option("--agent", help="name or id; the file's own otherwise", show_default=False)
]

app = group("Policies of an agent: as files, kept beside code.")


@app.command()
def export(name: AgentName, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print an agent's policies as a file that `apply` takes."""
    from wicket.cli.work.policy_files import applying

    applying.export(name, data_dir=data_dir, as_json=as_json)


@app.command()
def apply(
    file: PolicyFile,
    agent: OfAgent = None,
    note: Annotated[
        str | None, typer.Option(help="why, for the list of versions", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make an agent's policies those of a file, all at once: what the file lacks is deleted."""
    from wicket.cli.work.policy_files import applying

    applying.apply(file, agent=agent, note=note, data_dir=data_dir, as_json=as_json)
