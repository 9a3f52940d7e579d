"""Every page of the dashboard opens, does nothing that it must not, and can be read and used by everybody."""

import pytest

from tests.browser.accessibility import assert_accessible
from tests.browser.routes import address_of, routes
from tests.browser.scene import Scene
from tests.browser.visits import LOOKS, Chromium

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SIGN_IN = "/sign-in"
ROUTES = list(routes())
SCHEME = "() => document.documentElement.getAttribute('data-mantine-color-scheme')"


def name_of(route: str) -> str:
    """What its pictures are called."""
    return route.strip("/").replace(":", "").replace("/", "-") or "overview"


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
async def test_everybody_can_read_it_at_any_width_by_day_and_by_night(
    s: Scene, chromium: Chromium, route: str
) -> None:
    cookie = None if route == SIGN_IN else await s.cookie()
    async with chromium.visit(s.url, cookie=cookie) as visit:
        await visit.open(await address_of(route, s))
        seen = []
        async for look in visit.looks():
            await assert_accessible(visit.page)
            await visit.keep_picture(name_of(route), look)
            seen.append((await visit.page.evaluate(SCHEME), look.width))
        assert seen == [(look.theme, look.width) for look in LOOKS]
        assert await visit.page.title() not in {"", "Wicket"}
        assert await visit.page.get_by_role("heading", level=1).count() == 1
        assert await visit.page.get_by_role("main").count() == 1


@pytest.mark.parametrize("route", [route for route in ROUTES if route != SIGN_IN], ids=name_of)
async def test_nobody_sees_it_who_has_not_signed_in(s: Scene, chromium: Chromium, route: str) -> None:
    async with chromium.visit(s.url) as visit:
        visit.watch.expect("^401 GET /api/")
        await visit.open(await address_of(route, s))
        await visit.page.wait_for_url(f"{s.url}{SIGN_IN}**")
        assert await visit.page.get_by_label("E-mail address").is_visible()


def test_there_are_routes() -> None:
    assert {SIGN_IN, "/", "/agents", "/agents/:agentId/settings"} <= set(ROUTES)
    assert len(ROUTES) == len(set(ROUTES))
