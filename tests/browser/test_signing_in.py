"""Somebody signs in at the form: by a code of a real letter, a second factor, a backup code, a link of the host."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pyotp
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.scene import OWNER, Scene, bare
from tests.browser.visits import Chromium
from tests.reachable import now
from wicket.api.cookies import CSRF_HEADER
from wicket.store import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

CODE = re.compile(r"Your code: (\w{6})")
STEP = timedelta(seconds=30)
MAIL_CODE, DIGITS = "Code from the mail", "Six digits from your authenticator"


@pytest_asyncio.fixture(loop_scope="session")
async def s(tmp_path: Path) -> AsyncIterator[Scene]:
    """A Wicket of its own: letters are counted."""
    async with bare(tmp_path) as started:
        yield started


@dataclass(frozen=True)
class Factor:
    """What an authenticator knows, and the codes for when it is lost."""

    secret: str
    backup_codes: list[str]
    enrolled_at: datetime

    def next_code(self) -> str:
        """Of the step after the one that enrolled, which was used up by that."""
        return pyotp.TOTP(self.secret).at(self.enrolled_at + STEP)


async def enrolled(s: Scene, email: str) -> Factor:
    """Somebody has set up a second factor, through the API."""
    link = await s.wicket.change(sign_in.make_link, email=email, now=now(), agents=())
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(f"{s.url}/api/auth/", cookie_jar=jar) as http:
        async with http.post("verify", json={"token": link.token}) as answer:
            headers = {CSRF_HEADER: (await answer.json())["csrfToken"]}
        async with http.post("mfa/setup", headers=headers) as answer:
            secret = (await answer.json())["secret"]
        at = now()
        async with http.post(
            "mfa/verify-setup", json={"code": pyotp.TOTP(secret).at(at)}, headers=headers
        ) as answer:
            assert answer.status == 200, await answer.text()
            return Factor(secret, (await answer.json())["backupCodes"], at)


async def ask_for_code(s: Scene, page: Page, email: str) -> str:
    """Type the address; the code that the mail server was handed."""
    letters = len(s.mailbox.letters)
    await page.get_by_label("E-mail address").fill(email)
    await page.get_by_role("button", name="Send a code").click()
    await page.get_by_label(MAIL_CODE).wait_for()
    found = CODE.search((await s.mailbox.holds(letters + 1))[-1].get_content())
    assert found is not None
    return found[1]


async def type_code(page: Page, label: str, code: str, button: str) -> None:
    await page.get_by_label(label).fill(code)
    await page.get_by_role("button", name=button, exact=True).click()


async def expect_to_be_in(page: Page, path: str, title: str) -> None:
    await page.wait_for_url(f"**{path}")
    await expect(page.get_by_role("heading", level=1)).to_have_text(title)


async def test_a_code_that_came_by_mail_signs_in_and_leads_where_one_wanted(
    s: Scene, chromium: Chromium
) -> None:
    async with chromium.visit(s.url) as visit:
        await visit.open("/agents?status=active")
        code = await ask_for_code(s, visit.page, "ada@example.com")
        await type_code(visit.page, MAIL_CODE, code.lower(), "Sign in")
        await expect_to_be_in(visit.page, "/agents?status=active", "Agents")
        await visit.open("/agents")
        await expect(visit.page.get_by_role("heading", level=1)).to_have_text("Agents")


async def test_a_wrong_code_is_said_and_the_right_one_still_works(s: Scene, chromium: Chromium) -> None:
    async with chromium.visit(s.url) as visit:
        visit.watch.expect("^400 POST /api/auth/verify$")
        await visit.open("/agents")
        code = await ask_for_code(s, visit.page, "ada@example.com")
        await type_code(visit.page, MAIL_CODE, "AAAAAA" if code != "AAAAAA" else "BBBBBB", "Sign in")
        await expect(visit.page.get_by_role("alert")).to_be_visible()
        await assert_accessible(visit.page)
        await type_code(visit.page, MAIL_CODE, code, "Sign in")
        await expect_to_be_in(visit.page, "/agents", "Agents")


async def test_an_address_that_may_not_come_is_not_told_apart(s: Scene, chromium: Chromium) -> None:
    async with chromium.visit(s.url) as visit:
        await visit.open("/sign-in")
        await visit.page.get_by_label("E-mail address").fill("mallory@elsewhere.test")
        await visit.page.get_by_role("button", name="Send a code").click()
        await visit.page.get_by_label(MAIL_CODE).wait_for()
        await visit.settle()
        await assert_accessible(visit.page)
    assert s.mailbox.letters == []


async def test_a_second_factor_is_asked_for_after_the_code(s: Scene, chromium: Chromium) -> None:
    factor = await enrolled(s, OWNER)
    async with chromium.visit(s.url) as visit:
        visit.watch.expect("^400 POST /api/auth/mfa/verify$")
        await visit.open("/agents")
        await type_code(visit.page, MAIL_CODE, await ask_for_code(s, visit.page, OWNER), "Sign in")
        await type_code(visit.page, DIGITS, "000000", "Continue")
        await expect(visit.page.get_by_role("alert")).to_be_visible()
        await assert_accessible(visit.page)
        await type_code(visit.page, DIGITS, factor.next_code(), "Continue")
        await expect_to_be_in(visit.page, "/agents", "Agents")


async def test_a_backup_code_is_as_good_once(s: Scene, chromium: Chromium) -> None:
    factor = await enrolled(s, OWNER)
    for is_used in (False, True):
        async with chromium.visit(s.url) as visit:
            visit.watch.expect("^400 POST /api/auth/mfa/verify$")
            await visit.open("/agents")
            await type_code(visit.page, MAIL_CODE, await ask_for_code(s, visit.page, OWNER), "Sign in")
            await visit.page.get_by_role("button", name="Use a backup code").click()
            await type_code(visit.page, "Backup code", factor.backup_codes[0], "Continue")
            if is_used:
                await expect(visit.page.get_by_role("alert")).to_be_visible()
            else:
                await expect_to_be_in(visit.page, "/agents", "Agents")


async def test_a_link_of_the_host_signs_in_only_who_says_so_and_is_not_kept(
    s: Scene, chromium: Chromium
) -> None:
    link = await s.wicket.change(sign_in.make_link, email=OWNER, now=now(), agents=())
    async with chromium.visit(s.url) as visit:
        await visit.open(f"/sign-in#token={link.token}")
        assert link.token not in visit.page.url
        assert await visit.page.context.cookies() == []
        await visit.page.get_by_role("button", name="Sign in", exact=True).click()
        await visit.page.wait_for_url(f"{s.url}/")
        assert [cookie["httpOnly"] for cookie in await visit.page.context.cookies()] == [True]


async def test_who_signs_out_is_out(s: Scene, chromium: Chromium) -> None:
    async with chromium.visit(s.url, cookie=await s.cookie()) as visit:
        await visit.open("/agents")
        await visit.page.get_by_role("button", name="Account and appearance").click()
        await visit.page.get_by_role("menuitem", name="Sign out").click()
        await visit.page.wait_for_url("**/sign-in**")
        await visit.open("/agents")
        await expect(visit.page.get_by_label("E-mail address")).to_be_visible()
