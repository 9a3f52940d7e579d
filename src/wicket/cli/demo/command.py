"""What `wicket demo` takes."""

from typing import Annotated

import typer

from wicket.cli.options import AsJson, DataDir


def demo(
    port: Annotated[
        int | None, typer.Option(help="port to listen on; 8420, or a free one, otherwise", show_default=False)
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="end after the summary instead of staying up")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run Wicket with an agent, three local MCP servers, policies and real calls; stays up until Ctrl-C.

    Data is temporary, unless --data-dir names an empty directory to keep it in.
    """
    from wicket.cli.demo import theatre

    code = theatre.play(port=port, once=once, data_dir=data_dir, as_json=as_json)
    if code:
        raise typer.Exit(code)
