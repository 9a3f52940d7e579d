"""`wicket audit`: the log, read on the host itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from wicket.cli.filters import with_filters
from wicket.cli.options import AsJson, DataDir, group
from wicket.store.audit.fields import ExportFormat

app = group("Read, follow, export and check the log of decisions.")


@app.command("list")
@with_filters
def list_(
    wanted: Mapping[str, str],
    limit: Annotated[int, typer.Option(help="how many at most", min=1, max=500)] = 50,
    cursor: Annotated[
        str | None, typer.Option(help="go on where the last list ended", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List decided calls, newest first."""
    from wicket.cli.work import entries

    entries.print_page(wanted, limit=limit, cursor=cursor, data_dir=data_dir, as_json=as_json)


@app.command()
@with_filters
def tail(
    wanted: Mapping[str, str],
    lines: Annotated[int, typer.Option("--lines", "-n", help="how many to begin with", min=0, max=500)] = 10,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print the newest calls, then each one as it is decided, until Ctrl-C. With --outcome: as it ends so."""
    from wicket.cli.work import entries

    entries.follow(wanted, lines=lines, data_dir=data_dir, as_json=as_json)


@app.command()
@with_filters
def export(
    wanted: Mapping[str, str],
    form: Annotated[
        ExportFormat, typer.Option("--format", help="one line an entry, either way")
    ] = ExportFormat.CSV,
    output: Annotated[
        Path | None,
        typer.Option(
            help="file to write, which must not exist; standard output otherwise", show_default=False
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write every matching entry, newest first, in full. In CSV no cell can be taken for a formula."""
    from wicket.cli.work import export

    form = ExportFormat.JSONL if as_json else form
    export.write(wanted, form=form, output=output, data_dir=data_dir)


@app.command()
def verify(
    public_key: Annotated[
        list[str] | None,
        typer.Option(
            "--public-key",
            help="who signs checkpoints, 64 hexadecimal digits or a file; this host's server key otherwise",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="file of checkpoints that a sink has kept", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Check the whole log offline; exit code 1 names the first row that was changed, removed, added or moved."""
    from wicket.cli.work import verifying

    if not verifying.verify_log(
        data_dir=data_dir, public_keys=public_key or (), checkpoints=checkpoint, as_json=as_json
    ):
        raise typer.Exit(1)


@app.command()
def key(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print the public key by which checkpoints of the log are known; keep it where this host cannot write."""
    from wicket.cli.work import verifying

    verifying.print_keys(data_dir=data_dir, as_json=as_json)
