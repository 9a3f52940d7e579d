"""The page about the API, as people see it."""

import pytest

from tests.browser.accessibility import assert_accessible
from tests.browser.scene import Scene
from tests.browser.visits import LOOKS, Chromium

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_everybody_can_read_it_at_any_width_by_day_and_by_night(s: Scene, chromium: Chromium) -> None:
    seen = []
    async with chromium.visit(s.url) as visit:
        await visit.open("/api/docs")
        await visit.page.locator("details").first.click()
        async for look in visit.looks():
            await assert_accessible(visit.page)
            await visit.keep_picture("api-docs", look, whole=False)
            seen.append(look)
    assert seen == list(LOOKS)
