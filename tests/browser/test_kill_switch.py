"""An owner stops an agent from its page while it works, and lets it go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.keyboard import tab_to
from tests.browser.scene import Scene, bare
from tests.browser.visits import Chromium
from tests.reachable import Answer
from tests.upstreams import faults
from tests.upstreams.recording import RecordingUpstream

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

CALLERS = 4
DISABLE, ENABLE = "Disable agent", "Enable agent"


@dataclass
class Caller:
    """Calls one after the other, as long as the test runs."""

    s: Scene
    key: str
    statuses: list[int] = field(default_factory=list)
    """In the order of the calls' beginning."""

    async def call(self, text: str = "hello") -> Answer:
        return await self.s.wicket.call(self.key, "fake__echo", {"text": text})

    async def keep_calling(self) -> None:
        while True:
            self.statuses.append((await self.call()).status)

    async def next_ones(self) -> set[int]:
        """How the next calls are answered that nobody has begun yet."""
        begun = len(self.statuses) + 1
        async with asyncio.timeout(20):
            while len(self.statuses) < begun + 5:
                await asyncio.sleep(0)
        return set(self.statuses[begun:])


@asynccontextmanager
async def calling(callers: list[Caller]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(caller.keep_calling()) for caller in callers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def stop(page: Page, reason: str) -> None:
    """Through the dialog, which says first what stops."""
    await page.get_by_role("button", name=DISABLE).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("every call of this agent is refused")
    await dialog.get_by_label("Reason").fill(reason)
    await assert_accessible(page)
    await dialog.get_by_role("button", name=DISABLE).click()
    await page.get_by_role("button", name=ENABLE).wait_for()


@pytest.mark.promise("P7")
async def test_an_agent_that_is_disabled_on_its_page_is_refused_from_then_on_until_it_is_enabled(
    tmp_path: Path, chromium: Chromium
) -> None:
    async with bare(tmp_path) as s, RecordingUpstream() as upstream, RecordingUpstream() as silent:
        silent.on("tools/call", faults.hang)
        agent = await s.wicket.agent(services={"fake": upstream.url, "silent": silent.url})
        for service in ("fake", "silent"):
            await agent.policy(service=service)
        callers = [Caller(s, await agent.key(f"person{n}@example.com")) for n in range(CALLERS)]
        key = await agent.key()
        async with calling(callers), chromium.visit(s.url, cookie=await s.cookie()) as visit:
            await visit.open(f"/agents/{agent.id}")
            waiting = asyncio.create_task(s.wicket.call(key, "silent__echo", {"text": "long"}))
            await silent.wait_for("tools/call")
            assert [await caller.next_ones() for caller in callers] == [{200}] * CALLERS
            await stop(visit.page, "it deploys on Fridays")
            assert [await caller.next_ones() for caller in callers] == [{403}] * CALLERS
            async with asyncio.timeout(20):
                assert (await waiting).data["reason"] == "agent_disabled"
            reached = len(upstream.calls)
            assert [await caller.next_ones() for caller in callers] == [{403}] * CALLERS
            assert len(upstream.calls) == reached
            await assert_accessible(visit.page)
            await visit.page.get_by_role("button", name=ENABLE).click()
            await visit.page.get_by_role("button", name=DISABLE).wait_for()
            assert [await caller.next_ones() for caller in callers] == [{200}] * CALLERS


@pytest.mark.promise("P7")
async def test_the_keyboard_is_enough_to_find_an_agent_and_stop_it(
    tmp_path: Path, chromium: Chromium
) -> None:
    async with bare(tmp_path) as s, RecordingUpstream() as upstream:
        agent = await s.wicket.agent("release helper", services={"fake": upstream.url})
        await agent.policy(service="fake")
        caller = Caller(s, await agent.key())
        assert (await caller.call()).status == 200
        async with chromium.visit(s.url, cookie=await s.cookie()) as visit:
            page = visit.page
            await visit.open("/agents")
            await page.keyboard.press("Control+K")
            await expect(page.get_by_role("dialog").locator("input")).to_be_focused()
            await page.keyboard.type("release")
            await page.get_by_role("dialog").get_by_text("release helper").first.wait_for()
            await page.keyboard.press("Enter")
            await expect(page).to_have_url(f"{s.url}/agents/{agent.id}")
            await visit.settle()
            await tab_to(page, DISABLE)
            await page.keyboard.press("Enter")
            await expect(page.get_by_label("Reason")).to_be_focused()
            await page.keyboard.type("enough")
            await tab_to(page, DISABLE)
            await page.keyboard.press("Enter")
            await page.get_by_role("button", name=ENABLE).wait_for()
            assert (await caller.call()).status == 403
            await tab_to(page, ENABLE)
            await page.keyboard.press("Enter")
            await page.get_by_role("button", name=DISABLE).wait_for()
        assert (await caller.call()).status == 200
