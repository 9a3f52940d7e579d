"""`wicket agents`: works on the database itself, whether a server runs or not."""

from typing import Annotated

import typer

from wicket.cli.options import AgentName, AsJson, DataDir, group
from wicket.core.model import AgentStatus

app = group("Look at agents, and stop them: with the server up or down.")


@app.command("list")
def list_(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List every agent of this instance."""
    from wicket.cli.work import agents

    agents.print_all(data_dir=data_dir, as_json=as_json)


@app.command()
def show(name: AgentName, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show an agent with its services, members and policies."""
    from wicket.cli.work import agents

    agents.print_one(name, data_dir=data_dir, as_json=as_json)


@app.command()
def disable(
    name: AgentName,
    reason: Annotated[
        str | None, typer.Option(help="why, for whoever reads the log", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """The kill switch: no call of the agent is admitted any more, and what is in flight is cut within a second."""
    from wicket.cli.work import agents

    agents.set_status(name, AgentStatus.DISABLED, reason=reason, data_dir=data_dir, as_json=as_json)


@app.command()
def enable(name: AgentName, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Let a disabled agent work again, with the keys that it had."""
    from wicket.cli.work import agents

    agents.set_status(name, AgentStatus.ACTIVE, reason=None, data_dir=data_dir, as_json=as_json)
