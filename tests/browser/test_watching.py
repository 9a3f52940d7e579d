"""What the browser tests rest on: pages that do each wrong thing once, and are found out."""

import pytest
from playwright.async_api import Error

from tests.browser.accessibility import assert_accessible, find_violations
from tests.browser.served import Page, served
from tests.browser.visits import Chromium, Look

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

FINE = '<!doctype html><html lang="en"><title>Fine</title><main><h1>Fine</h1>{}</main>'
WRONG = {
    "an inline script": (
        Page(FINE.format("<script>1</script>")),
        "content security policy: script-src-elem forbids inline",
    ),
    "an inline style": (
        Page(FINE.format('<p style="color: red">red</p>')),
        "content security policy: style-src-attr forbids inline",
    ),
    "an image of another host": (
        Page(FINE.format('<img alt="" src="http://elsewhere.test/a.png">')),
        "content security policy: img-src forbids http://elsewhere.test/a.png",
    ),
    "a request to another host": (
        Page(FINE.format('<img alt="" src="http://elsewhere.test/a.png">'), policy=None),
        "another host: GET http://elsewhere.test/a.png",
    ),
    "an error in the console": (
        Page(FINE.format('<script src="/a.js"></script>'), script="console.error('no', 'good')"),
        "console: no good",
    ),
    "an exception": (
        Page(FINE.format('<script src="/a.js"></script>'), script="throw new Error('oops')"),
        "uncaught: oops",
    ),
    "a rejection that nobody looked at": (
        Page(FINE.format('<script src="/a.js"></script>'), script="Promise.reject(new Error('later'))"),
        "uncaught: later",
    ),
    "an answer that failed": (
        Page(FINE.format('<script src="/a.js"></script>'), script="fetch('/fails')"),
        "503 GET /fails",
    ),
    "an answer that refused": (
        Page(FINE.format('<script src="/a.js"></script>'), script="fetch('/missing', {method: 'POST'})"),
        "404 POST /missing",
    ),
}


async def look_at(page: Page, chromium: Chromium, *, click: str = "h1") -> None:
    """A whole visit, until nothing more is asked for."""
    async with served(page) as url, chromium.visit(url) as visit:
        await visit.open("/")
        await visit.page.wait_for_load_state("networkidle")
        await visit.page.click(click, timeout=1_000)


@pytest.mark.parametrize(("page", "trouble"), WRONG.values(), ids=WRONG)
async def test_whatever_goes_wrong_in_a_page_fails_its_visit(
    chromium: Chromium, page: Page, trouble: str
) -> None:
    with pytest.raises(AssertionError) as failure:
        await look_at(page, chromium)
    assert trouble in str(failure.value)


async def test_what_a_test_provokes_is_no_trouble(chromium: Chromium) -> None:
    page, _ = WRONG["an answer that refused"]
    async with served(page) as url, chromium.visit(url) as visit:
        visit.watch.expect("^404 POST /missing$")
        await visit.open("/")
        await visit.page.wait_for_load_state("networkidle")
        assert visit.watch.troubles == []


async def test_what_was_wrong_meanwhile_is_told_with_what_a_test_fails_for(chromium: Chromium) -> None:
    page, trouble = WRONG["an exception"]
    with pytest.raises(Error) as failure:
        await look_at(page, chromium, click="#nothing")
    assert trouble in failure.value.__notes__


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "image-alt"),
        ('<p class="pale">hardly to be read</p>', "color-contrast"),
        ("<input>", "label"),
        ('<button class="tiny">a</button><button class="tiny">b</button>', "target-size"),
    ],
)
async def test_what_somebody_cannot_read_or_use_is_found(chromium: Chromium, content: str, rule: str) -> None:
    style = ".pale { color: #ccc } .tiny { font-size: 8px; padding: 0; border: 0; width: 9px; height: 9px }"
    page = Page(FINE.format(content + '<link rel="stylesheet" href="/a.css">'), style=style)
    async with served(page) as url, chromium.visit(url) as visit:
        await visit.open("/")
        found = await find_violations(visit.page)
    assert {line.split()[0] for line in found} == {rule}


async def test_a_page_that_is_wider_than_its_window_is_found(chromium: Chromium) -> None:
    page = Page(FINE.format('<link rel="stylesheet" href="/a.css">'), style="main { width: 400px }")
    async with served(page) as url, chromium.visit(url) as visit:
        await visit.open("/")
        await assert_accessible(visit.page)
        await visit.look(Look("light", 360))
        with pytest.raises(AssertionError, match="px wider than the window"):
            await assert_accessible(visit.page)
