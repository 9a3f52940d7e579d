"""The tree of commands."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from wicket import __version__
from wicket.cli import agents, audit, members, policies
from wicket.cli.demo.command import demo
from wicket.cli.options import AsJson, DataDir, group
from wicket.cli.output import print_json, print_line

app = typer.Typer(
    help="Wicket: an authorization proxy for AI agents that speak MCP.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def serve(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="address to listen on", show_default=False)] = None,
    port: Annotated[
        int | None, typer.Option(help="port to listen on; 0 takes a free one", show_default=False)
    ] = None,
    workers: Annotated[int | None, typer.Option(help="worker processes", show_default=False)] = None,
    database_url: Annotated[
        str | None, typer.Option(help="`postgresql://...`; SQLite otherwise", show_default=False)
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="the address that clients use", show_default=False)
    ] = None,
    trusted_proxies: Annotated[
        str | None, typer.Option(help="networks of the proxies in front, comma-separated", show_default=False)
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="configuration file; ./wicket.toml otherwise", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve the proxy and the API until Ctrl-C or SIGTERM. Other settings: environment and configuration file."""
    from wicket.cli.work import serving

    serving.serve(
        {
            "data_dir": data_dir,
            "host": host,
            "port": port,
            "workers": workers,
            "database_url": database_url,
            "public_url": public_url,
            "trusted_proxies": trusted_proxies,
        },
        config=config,
        as_json=as_json,
    )


app.command()(demo)


@app.command()
def login(
    email: Annotated[str, typer.Option(help="who signs in; the account is made when there is none")],
    public_url: Annotated[
        str | None,
        typer.Option(help="the address that browsers use; WICKET_PUBLIC_URL otherwise", show_default=False),
    ] = None,
    drop_second_factor: Annotated[
        bool, typer.Option("--drop-second-factor", help="forget the one that was lost, backup codes included")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print a link that signs somebody in to the dashboard, once, within 15 minutes."""
    from wicket.cli.work import signing_in

    signing_in.log_in(
        email, public_url=public_url, drop_factor=drop_second_factor, data_dir=data_dir, as_json=as_json
    )


@app.command()
def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Look at this host and say what to mend; exit code 1 when there is something."""
    from wicket.cli.work import doctor

    if not doctor.examine(data_dir=data_dir, as_json=as_json):
        raise typer.Exit(1)


@app.command()
def can(
    member: Annotated[str, typer.Argument(help="e-mail address or id of a member")],
    tool: Annotated[str, typer.Argument(help="tool as clients see it", metavar="SERVICE__TOOL")],
    agent: Annotated[
        str | None, typer.Option(help="name or id of the agent, if there are several", show_default=False)
    ] = None,
    arg: Annotated[
        list[str] | None,
        typer.Option(help="an argument, `name=text` or `name:=json`; repeat for more", show_default=False),
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            help="when the call is made, UTC; now otherwise",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
            show_default=False,
        ),
    ] = None,
    ip: Annotated[str, typer.Option(help="address of the caller")] = "127.0.0.1",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Decide a hypothetical call, in a fresh tool session, and say why; exit code 0 allowed, 1 denied."""
    from wicket.cli.work import deciding

    question = deciding.Question(member, tool, agent=agent, arguments=arg or [], at=at, ip=ip)
    if not deciding.answer(question, data_dir=data_dir, as_json=as_json):
        raise typer.Exit(1)


app.add_typer(agents.app, name="agents")
app.add_typer(members.app, name="members")
app.add_typer(members.keys, name="keys")
app.add_typer(policies.app, name="policies")
app.add_typer(audit.app, name="audit")

token = group("Personal tokens of the REST API.")
app.add_typer(token, name="token")


@token.command("create")
def create_token(
    email: Annotated[str, typer.Option(help="whose token; the account is made when there is none")],
    name: Annotated[str, typer.Option(help="what the token is for")] = "command line",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="`read` or `write`, which includes read; repeatable  [default: write]", show_default=False
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(help="date, instant, or days from now (`90d`); never otherwise", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a personal API token; it is shown this once."""
    from wicket.cli.work import tokens

    wanted = tokens.Wanted(email, name, scopes=scope or ["write"], expires=expires)
    tokens.create(wanted, data_dir=data_dir, as_json=as_json)


db = group("The database's schema.")
app.add_typer(db, name="db")


@db.command("upgrade")
def upgrade_db(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Make the database, or bring an older one to this version's schema. Back it up first."""
    from wicket.cli.work import schema

    schema.upgrade(data_dir=data_dir, as_json=as_json)


@app.command()
def openapi(data_dir: DataDir = None, as_json: AsJson = False) -> None:  # noqa: ARG001 - every command takes them
    """Print the OpenAPI description of the REST API."""
    from wicket.api import describe_api

    print_json(describe_api(__version__))


@app.command()
def version(data_dir: DataDir = None, as_json: AsJson = False) -> None:  # noqa: ARG001 - every command takes it
    """Print the version."""
    if as_json:
        print_json({"version": __version__})
    else:
        print_line(__version__)
