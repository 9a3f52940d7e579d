"""Every address of the dashboard, as its own route table has them, and one of each kind to open."""

import re
from collections.abc import Iterator
from typing import Final

from tests.browser.installed import ROOT
from tests.browser.scene import ASSISTANT, Scene
from wicket.cli.demo.control import text

TABLE: Final = ROOT / "dashboard" / "src" / "app" / "router.tsx"
PATH: Final = re.compile(r'\bpath: "([^"]+)"')
PARAMETER: Final = re.compile(r":(\w+)")


def routes() -> Iterator[str]:
    """Whole addresses, parameters as `:agentId`; a relative one belongs to the absolute one before it."""
    parent = ""
    for path in PATH.findall(TABLE.read_text(encoding="utf-8")):
        if path.startswith("/"):
            parent = path
            yield path
        elif path == "*":
            yield "/agents/no/such/page"
        else:
            yield f"{parent}/{path}"


async def address_of(route: str, s: Scene, *, agent: str = ASSISTANT) -> str:
    """With what there is in the scene put in for its parameters."""
    found = {"agentId": s.agents[agent].id}
    if ":policyId" in route:
        found["policyId"] = text((await s.control.items(f"/api/agents/{found['agentId']}/policies"))[0]["id"])
    return PARAMETER.sub(lambda parameter: found[parameter[1]], route)
