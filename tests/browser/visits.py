"""Somebody opens Wicket in Chromium.

    async with chromium.visit(scene.url, cookie=await scene.cookie(OWNER)) as visit:
        await visit.open("/agents")
        await visit.page.get_by_role("link", name="assistant").click()
        async for look in visit.looks():
            await assert_accessible(visit.page)
            await visit.keep_picture("agents", look)

A visit that was otherwise fine fails in the end when anything went wrong in the browser meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from playwright.async_api import Browser, Page, async_playwright

from tests.browser.installed import ROOT, get_chromium
from tests.browser.watching import Watch

SCREENS: Final = ROOT / "build" / "screens"
HEIGHTS: Final = {360: 800, 768: 1024, 1280: 800}
THEMES: Final[tuple["Theme", ...]] = ("light", "dark")
ARGUMENTS: Final = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)
"""Whatever a page or the browser itself asks for, no other host is reached."""
SETTLED: Final = """() => {
    const busy = document.querySelector('[aria-busy="true"]');
    return document.querySelector("main") !== null && busy === null && document.fonts.status === "loaded";
}"""
SETTLE_S: Final = 30
DRAWN: Final = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

Theme: TypeAlias = Literal["light", "dark"]


@dataclass(frozen=True)
class Look:
    """How a page is looked at."""

    theme: Theme
    width: int

    def __str__(self) -> str:
        return f"{self.theme}-{self.width}"


LOOKS: Final = tuple(Look(theme, width) for theme in THEMES for width in HEIGHTS)
DESKTOP: Final = Look("light", 1280)


@dataclass
class Visit:
    """A page in a browser context of its own."""

    origin: str
    page: Page
    watch: Watch

    async def open(self, path: str) -> None:
        """Go there, and wait until everything is shown."""
        await self.page.goto(self.origin + path, wait_until="load")
        await self.settle()

    async def settle(self) -> None:
        """Until there is a page, nothing says that it is busy, and nothing more is asked for."""
        async with asyncio.timeout(SETTLE_S):
            while True:
                await self.page.wait_for_function(SETTLED)
                await self.watch.rests.wait()
                await self.page.evaluate(DRAWN)
                if self.watch.rests.is_set() and await self.page.evaluate(SETTLED):
                    return

    async def look(self, look: Look) -> None:
        """As somebody with this theme and window sees it from now on."""
        await self.page.emulate_media(color_scheme=look.theme)
        await self.page.set_viewport_size({"width": look.width, "height": HEIGHTS[look.width]})
        await self.settle()

    async def looks(self) -> AsyncIterator[Look]:
        """Every look in turn."""
        for look in LOOKS:
            await self.look(look)
            yield look

    async def keep_picture(self, name: str, look: Look, *, whole: bool = True) -> None:
        """Below `build/screens`, for people to look at: the whole page, or what the window shows of it."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        path = SCREENS / f"{name}-{look}.png"
        await self.page.screenshot(path=path, full_page=whole, animations="disabled")


class Chromium:
    """One browser for many visits."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @asynccontextmanager
    async def visit(
        self, url: str, *, cookie: str | None = None, look: Look = DESKTOP
    ) -> AsyncIterator[Visit]:
        """Somebody new, or whoever a session's cookie (`name=value`) belongs to."""
        context = await self._browser.new_context(
            color_scheme=look.theme,
            viewport={"width": look.width, "height": HEIGHTS[look.width]},
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Berlin",
            service_workers="block",
        )
        watch = Watch(url)
        try:
            if cookie is not None:
                name, _, value = cookie.partition("=")
                await context.add_cookies([{"name": name, "value": value, "url": url}])
            await watch.over(context)
            yield Visit(url, await context.new_page(), watch)
        except BaseException as error:
            for trouble in watch.troubles:
                error.add_note(trouble)
            raise
        finally:
            await context.close()
        assert watch.troubles == [], "\n".join(["", *watch.troubles])


@asynccontextmanager
async def launched() -> AsyncIterator[Chromium]:
    """Chromium without a window, ended in the end."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=get_chromium(), args=list(ARGUMENTS))
        try:
            yield Chromium(browser)
        finally:
            await browser.close()
