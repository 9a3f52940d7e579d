"""`wicket audit`: the log, read on the host itself."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from wicket.cli.options import AsJson, DataDir, group

app = group("Read, follow, export and check the log of decisions.")


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


def _filter(*names: str, about: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, help=about, show_default=False)
    return option


From: TypeAlias = Annotated[str | None, _filter("--from", about="ISO date or date-time, inclusive, UTC")]
To: TypeAlias = Annotated[str | None, _filter("--to", about="the same; a date means the end of its day")]
Agent: TypeAlias = Annotated[str | None, _filter("--agent", about="part of the agent's name")]
Service: TypeAlias = Annotated[str | None, _filter("--service", about="key of a connector")]
Tool: TypeAlias = Annotated[str | None, _filter("--tool", about="part of the tool's name")]
Result: TypeAlias = Annotated[str | None, _filter("--result", about="ALLOW or DENY")]
MemberOption: TypeAlias = Annotated[str | None, _filter("--member", about="id or e-mail address of a member")]
Policy: TypeAlias = Annotated[str | None, _filter("--policy", about="id or key of a policy")]
Session: TypeAlias = Annotated[str | None, _filter("--session", about="tool session, `ts_...`")]
AgentId: TypeAlias = Annotated[str | None, _filter("--agent-id", about="id of the agent")]
Reason: TypeAlias = Annotated[str | None, _filter("--reason", about="reason code")]
Outcome: TypeAlias = Annotated[str | None, _filter("--outcome", about="how the call ended")]
Ip: TypeAlias = Annotated[str | None, _filter("--ip", about="address of the caller")]
Q: TypeAlias = Annotated[str | None, _filter("--q", about="part of tool, resource, reason or deny message")]


@app.command("list")
def list_(
    from_: From = None,
    to: To = None,
    agent: Agent = None,
    service: Service = None,
    tool: Tool = None,
    result: Result = None,
    member: MemberOption = None,
    policy: Policy = None,
    session: Session = None,
    agent_id: AgentId = None,
    reason: Reason = None,
    outcome: Outcome = None,
    ip: Ip = None,
    q: Q = None,
    limit: Annotated[int, typer.Option(help="how many at most", min=1, max=500)] = 50,
    cursor: Annotated[
        str | None, typer.Option(help="go on where the last list ended", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List decided calls, newest first."""
    from wicket.cli.work import entries

    wanted = _wanted(locals())
    entries.print_page(wanted, limit=limit, cursor=cursor, data_dir=data_dir, as_json=as_json)


@app.command()
def tail(
    agent: Agent = None,
    service: Service = None,
    tool: Tool = None,
    result: Result = None,
    member: MemberOption = None,
    policy: Policy = None,
    session: Session = None,
    agent_id: AgentId = None,
    reason: Reason = None,
    ip: Ip = None,
    q: Q = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="how many to begin with", min=0, max=500)] = 10,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print the newest calls, then each one as it is decided, until Ctrl-C."""
    from wicket.cli.work import entries

    entries.follow(_wanted(locals()), lines=lines, data_dir=data_dir, as_json=as_json)


@app.command()
def export(
    from_: From = None,
    to: To = None,
    agent: Agent = None,
    service: Service = None,
    tool: Tool = None,
    result: Result = None,
    member: MemberOption = None,
    policy: Policy = None,
    session: Session = None,
    agent_id: AgentId = None,
    reason: Reason = None,
    outcome: Outcome = None,
    ip: Ip = None,
    q: Q = None,
    format_: Annotated[Format, typer.Option("--format", help="one line an entry, either way")] = Format.CSV,
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

    wanted, is_csv = _wanted(locals()), format_ is Format.CSV and not as_json
    export.write(wanted, is_csv=is_csv, output=output, data_dir=data_dir)


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


FILTERS: Mapping[str, str] = {
    "from_": "from",
    "agent_id": "agentId",
    **{
        name: name
        for name in (
            *("to", "agent", "service", "tool", "result", "member", "policy"),
            *("session", "reason", "outcome", "ip", "q"),
        )
    },
}
"""Parameter of a command -> parameter of `GET /api/audit`."""


def _wanted(given: Mapping[str, object]) -> dict[str, str]:
    """The filters among a command's parameters, by the names that the API has for them."""
    return {
        FILTERS[name]: value for name, value in given.items() if name in FILTERS and isinstance(value, str)
    }
