"""What the demo prints: what was decided and why, and how to go on from here."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from wicket.cli.demo.calls import Spoken
from wicket.cli.demo.cast import AGENT, COLLEAGUE, OWNER, SERVICES, Cast
from wicket.cli.demo.control import text
from wicket.cli.demo.props import Props
from wicket.cli.output import print_line, print_table
from wicket.cli.work.verifying import verdict
from wicket.core.model import Json, JsonObject
from wicket.store.audit.verify import VerifyReport


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole story."""

    base_url: str
    sign_in_url: str
    props: Props
    token: str
    people: Cast
    shown: dict[str, list[str]]
    """What each member's client lists."""
    spoken: list[Spoken]
    entries: list[JsonObject]
    """Of the log, oldest first."""
    report: VerifyReport

    @property
    def mcp_url(self) -> str:
        return f"{self.base_url}/mcp"

    @property
    def is_as_planned(self) -> bool:
        """Whether every call ended as the script says, is in the log, and the log is whole."""
        return (
            all(one.is_allowed == one.line.is_allowed for one in self.spoken)
            and len(self.entries) == len(self.spoken)
            and self.report.ok
        )

    @property
    def snippets(self) -> dict[str, str]:
        """How a client is connected, with the owner's key."""
        bearer = f"Authorization: Bearer {self.people.owner.key}"
        server: JsonObject = {
            "url": self.mcp_url,
            "headers": {"Authorization": f"Bearer {self.people.owner.key}"},
        }
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        return {
            "Claude Code": f"claude mcp add --transport http wicket {self.mcp_url} --header {shlex.quote(bearer)}",
            "Cursor, .cursor/mcp.json": json.dumps({"mcpServers": {"wicket": server}}),
            "VS Code, .vscode/mcp.json": json.dumps({"servers": {"wicket": {"type": "http", **server}}}),
            "curl": f"curl -s {self.mcp_url} -H {shlex.quote(bearer)} -H 'Content-Type: application/json'"
            f" -d {shlex.quote(body)}",
        }

    @property
    def commands(self) -> dict[str, str]:
        """What to try on this host."""
        wicket, folder = _own_name(), shlex.quote(str(self.props.data_dir))
        configured = f"WICKET_CONFIG={shlex.quote(str(self.props.config))} {wicket}"
        return {
            "what was denied": f"{wicket} audit list --data-dir {folder} --result DENY",
            "is the log whole": f"{wicket} audit verify --data-dir {folder}",
            "may Ben write": f"{configured} can {COLLEAGUE} notes__write_note",
            "sign in again": f"{configured} login --email {OWNER}",
            "stop the agent": f"{wicket} agents disable {AGENT} --data-dir {folder}",
            "the REST API": f"curl -s {self.base_url}/api/agents -H 'Authorization: Bearer {self.token}'",
        }


def print_summary(summary: Summary, *, stays: bool, keeps: bool) -> None:
    """Print the story for people."""
    print_line(
        f"\nAgent {AGENT}, with the services {', '.join(SERVICES)}, each a real MCP server on this machine."
    )
    print_line(f"Its members are {OWNER}, who owns it, and {COLLEAGUE}. Its policies:\n")
    print_table(
        ("effect", "policy", "service", "tools", "deny message"),
        [_policy(p) for p in summary.people.policies],
    )
    print_line("\nWhat they called, what was decided, and why, as the log has it:\n")
    print_table(
        ("member", "tool", "decision", "reason", "by policy", "outcome"), [_entry(e) for e in summary.entries]
    )
    print_line("\nWhat the denied clients were told:\n")
    for spoken in summary.spoken:
        if not spoken.is_allowed:
            print_line(f"  {spoken.line.player.email}: {spoken.text}")
    counts = ", ".join(f"{email} {len(tools)}" for email, tools in summary.shown.items())
    print_line(f"\nTools that each client is shown: {counts}.")
    print_line(f"wicket audit verify: {verdict(summary.report)}")
    if not summary.is_as_planned:
        print_line("\nNOT everything was decided as planned: please report this.")
    if stays:
        _print_going_on(summary, keeps=keeps)


def _print_going_on(summary: Summary, *, keeps: bool) -> None:
    print_line(f"\nWicket stays up on {summary.base_url}. Sign in as {OWNER}, once, within 15 minutes:")
    print_line(f"\n    {summary.sign_in_url}")
    print_line(f"\nConnect your own client as {OWNER}:")
    for name, snippet in summary.snippets.items():
        print_line(f"\n  {name}\n    {snippet}")
    print_line("\nIn another terminal:")
    for name, command in summary.commands.items():
        print_line(f"\n  {name}\n    {command}")
    fate = "stays there" if keeps else "is removed then"
    print_line(f"\nCtrl-C stops it. The data in {summary.props.data_dir} {fate}.")


def render_summary(summary: Summary) -> JsonObject:
    """The story for programs."""
    players = (summary.people.owner, summary.people.colleague)
    return {
        "asPlanned": summary.is_as_planned,
        "url": summary.base_url,
        "mcpUrl": summary.mcp_url,
        "signInUrl": summary.sign_in_url,
        "dataDir": str(summary.props.data_dir),
        "config": str(summary.props.config),
        "token": summary.token,
        "agentId": summary.people.agent_id,
        "members": [
            {"email": p.email, "memberId": p.member_id, "key": p.key, "tools": [*summary.shown[p.email]]}
            for p in players
        ],
        "policies": [*summary.people.policies],
        "entries": [*summary.entries],
        "told": [
            {"member": s.line.player.email, "tool": s.line.tool, "allowed": s.is_allowed, "text": s.text}
            for s in summary.spoken
        ],
        "verify": {"ok": summary.report.ok, "rows": summary.report.rows, "writers": summary.report.writers},
        "snippets": {**summary.snippets},
    }


def _policy(policy: JsonObject) -> tuple[str, ...]:
    tools = policy["tools"]
    named = " ".join(map(text, tools)) if isinstance(tools, list) else ""
    message = policy.get("denyMessage")
    return (
        text(policy["effect"]),
        text(policy["name"]),
        text(policy["service"]),
        named,
        message if isinstance(message, str) else "",
    )


def _entry(entry: JsonObject) -> tuple[str, ...]:
    tool = f"{text(entry['service'])}__{text(entry['tool'])}"
    return (
        text(entry["memberName"]),
        tool,
        text(entry["decision"]),
        text(entry["reasonCode"]),
        _names(entry["matchedPolicyNames"]),
        text(entry["outcome"]),
    )


def _names(value: Json) -> str:
    return ", ".join(map(text, value)) if isinstance(value, list) else ""


def _own_name() -> str:
    """How this command line is started on this machine."""
    beside = Path(sys.executable).with_name("wicket")
    return shlex.quote(str(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m wicket.cli"
