"""The filters of the log as options, the same for every command that reads it."""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any, Final, NamedTuple

import typer


class Filter(NamedTuple):
    parameter: str
    """Of `GET /api/audit`."""
    flag: str
    about: str


FILTERS: Final[Mapping[str, Filter]] = {
    "from_": Filter("from", "--from", "ISO date or date-time, inclusive, UTC"),
    "to": Filter("to", "--to", "the same; a date means the end of its day"),
    "agent": Filter("agent", "--agent", "part of the agent's name"),
    "service": Filter("service", "--service", "key of a connector"),
    "tool": Filter("tool", "--tool", "part of the tool's name"),
    "result": Filter("result", "--result", "ALLOW or DENY"),
    "member": Filter("member", "--member", "id or e-mail address of a member"),
    "policy": Filter("policy", "--policy", "id or key of a policy"),
    "session": Filter("session", "--session", "tool session, `ts_...`"),
    "agent_id": Filter("agentId", "--agent-id", "id of the agent"),
    "reason": Filter("reason", "--reason", "reason code"),
    "outcome": Filter("outcome", "--outcome", "how the call ended"),
    "ip": Filter("ip", "--ip", "address of the caller"),
    "q": Filter("q", "--q", "part of tool, resource, reason or deny message"),
}
"""Parameter of a command -> what it is."""


def with_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; those that are given come as its `wanted`, by the names that the API has."""

    @wraps(command)
    def filtered(**given: Any) -> None:
        wanted = {one.parameter: given.pop(name) for name, one in FILTERS.items()}
        command({name: value for name, value in wanted.items() if value is not None}, **given)

    own = [one for name, one in signature(command).parameters.items() if name != "wanted"]
    filtered.__signature__ = signature(command).replace(parameters=[*map(_option, FILTERS), *own])  # type: ignore[attr-defined]
    return filtered


def _option(name: str) -> Parameter:
    option = typer.Option(FILTERS[name].flag, help=FILTERS[name].about, show_default=False)
    return Parameter(
        name, Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Annotated[str | None, option]
    )
