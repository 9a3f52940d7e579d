"""`wicket policies`: works on the database itself, whether a server runs or not."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from wicket.cli.options import AgentName, AsJson, DataDir, group

PolicyFile = Annotated[Path, typer.Argument(help="file of policies (YAML)", metavar="FILE")]
OfAgent = Annotated[
    str | None, typer.Option("--agent", help="name or id; the file's own otherwise", show_default=False)
]

OnePolicy = Annotated[str, typer.Argument(help="key or id of a policy", metavar="POLICY")]

app = group("Policies of an agent: looked at, and as files kept beside code.")


@app.command("list")
def list_(name: AgentName, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List an agent's policies, enabled or not."""
    from wicket.cli.work import policies

    policies.print_all(name, data_dir=data_dir, as_json=as_json)


@app.command()
def show(name: AgentName, policy: OnePolicy, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print the Cedar that a policy becomes; with --json all of the policy."""
    from wicket.cli.work import policies

    policies.print_one(name, policy, data_dir=data_dir, as_json=as_json)


@app.command()
def diff(
    name: AgentName,
    policy: OnePolicy,
    before: Annotated[
        int | None, typer.Option("--from", help="version; the one before otherwise", show_default=False)
    ] = None,
    after: Annotated[
        int | None, typer.Option("--to", help="version; the current one otherwise", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what two versions of a policy differ in, in words and as Cedar."""
    from wicket.cli.work import policies

    policies.print_diff(name, policy, before=before, after=after, data_dir=data_dir, as_json=as_json)


@app.command()
def export(name: AgentName, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print an agent's policies as a file that `apply` takes."""
    from wicket.cli.work.policy_files import applying

    applying.export(name, data_dir=data_dir, as_json=as_json)


@app.command()
def apply(
    file: PolicyFile,
    agent: OfAgent = None,
    check: Annotated[
        bool, typer.Option("--check", help="change nothing; exit code 1 where it would not be applied")
    ] = False,
    max_changed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="apply only where at most so many past calls would be decided otherwise  [default: with --check 0]",
            show_default=False,
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=0, max=366, help="how far back past calls are looked at")] = 1,
    note: Annotated[
        str | None, typer.Option(help="why, for the list of versions", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make an agent's policies those of a file, all at once, if its tests pass; what the file lacks is deleted."""
    from wicket.cli.work.policy_files import applying

    wish = applying.Wish(
        file,
        agent,
        note=note,
        changed_max=0 if check and max_changed is None else max_changed,
        window=timedelta(days=days),
        is_check=check,
    )
    if not applying.apply(wish, data_dir=data_dir, as_json=as_json):
        raise typer.Exit(1)


@app.command("test")
def try_(file: PolicyFile, agent: OfAgent = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Run the tests in a file on the file's policies; exit code 1 when one fails."""
    from wicket.cli.work.policy_files import applying

    if not applying.try_file(file, agent=agent, data_dir=data_dir, as_json=as_json):
        raise typer.Exit(1)
