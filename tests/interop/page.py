"""Write docs/interop.md: what the tests of this folder assert, as tables for people.

python -m tests.interop.page
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.interop.cases import CLIENTS, SERVERS, ClientCase, ServerCase
from tests.interop.installed import ROOT

PAGE: Final = ROOT / "docs" / "interop.md"
BEFORE: Final = """\
# Clients and servers that were tried

<!-- Written by `make interop` from tests/interop/cases.py. Do not edit. -->

`make interop` installs what is listed here, pinned and hash-checked, and runs it against a server of its own: each
client in front of Wicket, each server behind it. What the tables say is what the tests assert, the entries in the
audit log included.

## Clients

Each makes a call that is allowed and sees the upstream's answer; makes one that is denied and sees the sentence of the
denial, with the tool, the agent and the deny message; and tries a tool that it was not shown. *Decision id* says in
which shape of a denial (the agent's setting `denialShape`) the client also hands on `decisionId`, by which the owner
finds the entry.

"""
BETWEEN: Final = """
`mcp-remote` is driven over stdio by the Python SDK, and passes on the version that this one speaks. Claude Code runs
without an account, on a model of a few scripted lines; `claude mcp list` says that it is connected, or not once its
member is removed. It opens `subscriptions/listen` where the server says that its lists change: at `/mcp/{service}` of
such a server, not at `/mcp`. The stream is cut when its member is removed, and 200 of them cost the server one socket
each, a second one where the upstream is listened to as well, and less than 256 KiB of memory.

## Servers

Each lists its tools through Wicket, answers a call that is allowed, and is not reached by one that is denied.

"""
AFTER: Final = """
*Protocol* is the newest that the server itself speaks. Not tried here: servers that only speak the HTTP+SSE transport
of 2024, which Wicket does not speak.
"""


def render() -> str:
    """The page."""
    clients = _table(
        "Client | Version | Protocol | Decision id | Tool it was not shown", map(_client, CLIENTS)
    )
    servers = _table("Server | Version | Transport | Protocol | Allowed | Denied", map(_server, SERVERS))
    return BEFORE + clients + BETWEEN + servers + AFTER


def _client(case: ClientCase) -> str:
    shown = " and ".join(f"`{shape}`" for shape in sorted(case.shows_data)) or "no"
    unlisted = "denied" if case.sends_unlisted else "not called"
    return f"{case.title} | {case.version} | {case.protocol} | {shown} | {unlisted}"


def _server(case: ServerCase) -> str:
    calls = f"`{case.allowed.tool}` | `{case.denied.tool}`"
    return f"{case.title} | {case.version} | {case.transport} | {case.protocol} | {calls}"


def _table(head: str, rows: Iterator[str]) -> str:
    lines = [head, "|".join("---" for _ in head.split("|")), *rows]
    return "".join(f"| {line} |\n" if "---" not in line else f"|{line}|\n" for line in lines)


def main(page: Path = PAGE) -> None:
    page.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
