"""What the demo's child does: sets the scene, makes the calls, and prints what was decided and why."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wicket.cli.demo import calls, cast
from wicket.cli.demo.calls import Spoken
from wicket.cli.demo.cast import Cast
from wicket.cli.demo.control import Control
from wicket.cli.demo.props import Props
from wicket.cli.demo.summary import Summary, print_summary, render_summary
from wicket.cli.exits import Exit, exit_code
from wicket.cli.output import print_json, say
from wicket.cli.work.host import open_host
from wicket.cli.work.signing_in import make_link
from wicket.core.errors import WicketError
from wicket.core.model import JsonObject
from wicket.settings import load_settings
from wicket.store.audit.verify import verify

OUTCOMES_WAIT_S: Final = 3
OUTCOMES_EVERY_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Telling:
    """How the story is told."""

    base_url: str
    data_dir: Path
    as_json: bool
    once: bool
    keep: bool


def main(arguments: Sequence[str]) -> int:
    """Tell the story and answer an exit code: 1 when something was not decided as it should have been."""
    telling = _parse(arguments)
    try:
        summary = asyncio.run(_tell(telling))
    except WicketError as error:
        say(f"wicket demo: {error.sentence}")
        return exit_code(error)
    if telling.as_json:
        print_json(render_summary(summary))
    else:
        print_summary(summary, stays=not telling.once, keeps=telling.keep)
    sys.stdout.flush()
    return Exit.OK if summary.is_as_planned else Exit.FAILED


def _parse(arguments: Sequence[str]) -> Telling:
    parser = argparse.ArgumentParser(prog="wicket demo")
    parser.add_argument("base_url")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args(arguments)
    return Telling(given.base_url, given.data_dir, given.json, given.once, given.keep)


async def _tell(telling: Telling) -> Summary:
    async with open_host(load_settings(), make=True) as host:
        token, _ = await cast.make_token(host, cast.OWNER)
        colleague_token, colleague_id = await cast.make_token(host, cast.COLLEAGUE)
        async with (
            Control(telling.base_url, token) as control,
            Control(telling.base_url, colleague_token) as other,
        ):
            calls.load_client()
            await control.wait_until_alive()
            people = await cast.assemble(host, control, other, colleague_id)
            shown, spoken = await _act(telling, people)
            entries = await _read_log(control, people.agent_id, len(spoken))
        report = await host.database.read(verify)
        link = await make_link(host, cast.OWNER, base_url=telling.base_url)
    return Summary(
        base_url=telling.base_url,
        sign_in_url=link.url,
        props=Props(telling.data_dir),
        token=token,
        people=people,
        shown=shown,
        spoken=spoken,
        entries=entries,
        report=report,
    )


async def _act(telling: Telling, people: Cast) -> tuple[dict[str, list[str]], list[Spoken]]:
    mcp_url = f"{telling.base_url}/mcp"
    shown = {
        player.email: await calls.list_tools(mcp_url, player) for player in (people.owner, people.colleague)
    }
    return shown, await calls.speak(mcp_url, calls.script(people, Props(telling.data_dir).repository))


async def _read_log(control: Control, agent_id: str, calls_made: int) -> list[JsonObject]:
    """The entries of the calls, oldest first, once it is known how each ended."""
    entries: list[JsonObject] = []
    try:
        async with asyncio.timeout(OUTCOMES_WAIT_S):
            while len(entries) < calls_made or any(entry["outcome"] == "pending" for entry in entries):
                entries = await control.items("/api/audit", agentId=agent_id, limit="500")
                await asyncio.sleep(OUTCOMES_EVERY_S)
    except TimeoutError:
        say("wicket demo: not every call has ended in the log yet")
    return entries[::-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
