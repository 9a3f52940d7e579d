"""`wicket members` and `wicket keys`: work on the database itself, whether a server runs or not."""

from typing import Annotated, TypeAlias

import typer

from wicket.cli.options import AsJson, DataDir, group
from wicket.core.model import MemberStatus

app = group("Look at an agent's members, let them in, and put them out.")
keys = group("Look at member keys, and revoke them. A key is made by its member alone, never here.")

OfAgent: TypeAlias = Annotated[str, typer.Argument(help="name or id of an agent", metavar="AGENT")]
Member: TypeAlias = Annotated[str, typer.Argument(help="e-mail address or id of a member", metavar="MEMBER")]


@app.command("list")
def list_(
    agent: OfAgent,
    status: Annotated[
        MemberStatus | None, typer.Option(help="only members of this status", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the members of an agent, those who have left or were rejected too."""
    from wicket.cli.work import members

    members.print_all(agent, status=status, data_dir=data_dir, as_json=as_json)


@app.command()
def approve(agent: OfAgent, member: Member, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Let a member in, who can make a key then."""
    from wicket.cli.work import members

    members.set_status(agent, member, MemberStatus.APPROVED, data_dir=data_dir, as_json=as_json)


@app.command()
def reject(agent: OfAgent, member: Member, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Turn down who waits to be let in; connections made meanwhile are discarded."""
    from wicket.cli.work import members

    members.set_status(agent, member, MemberStatus.REJECTED, data_dir=data_dir, as_json=as_json)


@app.command()
def remove(agent: OfAgent, member: Member, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """End a membership: the key is dead at once, connections and own policies are gone."""
    from wicket.cli.work import members

    members.set_status(agent, member, MemberStatus.REMOVED, data_dir=data_dir, as_json=as_json)


@app.command()
def invite(
    agent: OfAgent,
    email: Annotated[str, typer.Argument(help="who may join by the link", metavar="EMAIL")],
    public_url: Annotated[
        str | None,
        typer.Option(help="the address that browsers use; WICKET_PUBLIC_URL otherwise", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print a link by which an address may ask for membership, once, within seven days; sends no mail."""
    from wicket.cli.work import members

    members.invite(agent, email, public_url=public_url, data_dir=data_dir, as_json=as_json)


@keys.command("list")
def list_keys(
    agent: OfAgent,
    member: Annotated[
        str | None,
        typer.Argument(help="e-mail address or id of a member", metavar="MEMBER", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the live keys of an agent, by their last characters."""
    from wicket.cli.work import members

    members.print_keys(agent, member, data_dir=data_dir, as_json=as_json)


@keys.command()
def revoke(agent: OfAgent, member: Member, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Revoke a member's key: it is refused from the next call on. What it seals stays sealed under it."""
    from wicket.cli.work import members

    members.revoke_key(agent, member, data_dir=data_dir, as_json=as_json)
