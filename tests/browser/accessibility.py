"""axe-core inside a page, and what it does not look at.

It runs in a world of its own beside the page's: the page's policy for scripts stays as strict as it is, and the page
cannot tell.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from playwright.async_api import CDPSession, Page

AXE: Final = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
RUN: Final = """
axe.run(document, {
    resultTypes: ["violations"],
    preload: false,
    rules: {"target-size": {enabled: true}},
}).then((found) => JSON.stringify(found.violations))
"""
"""Every rule that is not experimental, of WCAG 2.2 AA and beyond; nothing is fetched for it."""
TOO_WIDE: Final = """() => {
    const root = document.scrollingElement;
    return root.scrollWidth - root.clientWidth;
}"""


async def assert_accessible(page: Page) -> None:
    """Nothing of WCAG 2.2 AA is broken as the page is now, and it scrolls in one direction only (1.4.10)."""
    found = await find_violations(page)
    assert found == [], "\n".join(["", *found])
    too_wide = await page.evaluate(TOO_WIDE)
    assert too_wide == 0, f"the page is {too_wide} px wider than the window"


async def find_violations(page: Page) -> list[str]:
    """One line for each element that breaks a rule."""
    session = await page.context.new_cdp_session(page)
    try:
        world = await _world_of(session)
        await _evaluate(session, world, _source())
        violations = json.loads(await _evaluate(session, world, RUN))
    finally:
        await session.detach()
    return [
        f"{rule['id']} ({rule['impact']}): {' '.join(map(str, node['target']))}: {_summary(node)}"
        for rule in violations
        for node in rule["nodes"]
    ]


def _summary(node: dict[str, Any]) -> str:
    return " ".join(str(node["failureSummary"]).split())


@cache
def _source() -> str:
    return AXE.read_text(encoding="utf-8") + ";null"


async def _world_of(session: CDPSession) -> int:
    tree = await session.send("Page.getFrameTree")
    made = await session.send(
        "Page.createIsolatedWorld", {"frameId": tree["frameTree"]["frame"]["id"], "worldName": "axe"}
    )
    return int(made["executionContextId"])


async def _evaluate(session: CDPSession, world: int, expression: str) -> Any:
    answer = await session.send(
        "Runtime.evaluate",
        {"expression": expression, "contextId": world, "awaitPromise": True, "returnByValue": True},
    )
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    return answer["result"].get("value")
