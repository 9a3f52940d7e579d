"""Every page of the dashboard opens, does nothing that it must not, and can be read and used by everybody."""

import json

import pytest
from playwright.async_api import Route

from tests.browser.accessibility import assert_accessible
from tests.browser.routes import address_of, routes
from tests.browser.scene import EMPTY, OWNER, Scene
from tests.browser.visits import LOOKS, Chromium, Look

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SIGN_IN = "/sign-in"
NEWCOMER = "newcomer@example.com"
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


@pytest.mark.parametrize("route", [route for route in ROUTES if ":policyId" not in route], ids=name_of)
async def test_everybody_can_read_it_when_there_is_nothing_yet(
    s: Scene, chromium: Chromium, route: str
) -> None:
    has_agent = ":agentId" in route
    cookie = None if route == SIGN_IN else await s.cookie(OWNER if has_agent else NEWCOMER)
    async with chromium.visit(s.url, cookie=cookie) as visit:
        await visit.open(await address_of(route, s, agent=EMPTY))
        for look in (Look("light", 360), Look("dark", 1280)):
            await visit.look(look)
            await assert_accessible(visit.page)
            await visit.keep_picture(f"{name_of(route)}-empty", look)
        assert await visit.page.get_by_role("heading", level=1).count() == 1


@pytest.mark.parametrize("route", ["/agents", "/agents/:agentId", "/agents/:agentId/settings"], ids=name_of)
async def test_everybody_can_read_that_it_could_not_be_loaded_and_try_again(
    s: Scene, chromium: Chromium, route: str
) -> None:
    async with chromium.visit(s.url, cookie=await s.cookie()) as visit:
        visit.watch.expect("^503 GET /api/agents")
        await visit.page.route(f"{s.url}/api/agents*", unavailable)
        await visit.page.route(f"{s.url}/api/agents/**", unavailable)
        await visit.open(await address_of(route, s))
        again = visit.page.get_by_role("button", name="Try again")
        await again.first.wait_for()
        for look in (Look("light", 360), Look("dark", 1280)):
            await visit.look(look)
            await assert_accessible(visit.page)
            await visit.keep_picture(f"{name_of(route)}-failing", look)
        await visit.page.unroute_all()
        await again.first.click()
        await visit.settle()
        assert await again.count() == 0
        assert await visit.page.get_by_role("heading", level=1).count() == 1


async def unavailable(route: Route) -> None:
    """As the server says it when its database is away."""
    problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "unavailable"}
    problem["detail"] = "the database does not answer"
    await route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(problem))
