"""Signing in by a code of a mail or a link of the host: once, in time, within bounds, and telling strangers nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest
import sqlalchemy as sa

from tests.api.browser import Browser, Clock, open_browser
from tests.api.people import RULES, Instance, Servers, open_instance
from wicket.store import sign_in, tables
from wicket.store.db import Database
from wicket.store.sign_in import CODE_ALPHABET, CODE_ATTEMPTS_MAX, CODES_MAX, Signup

WRONG = "000000"
"""No code has a zero."""


async def verify(browser: Browser, email: str, code: str) -> int:
    """The status that a code is answered with."""
    return (await browser.send("POST", "/api/auth/verify", {"email": email, "code": code})).status_code


def guesses(tx: sa.Connection) -> list[int]:
    """How many were looked at of each code that there is."""
    return list(tx.execute(sa.select(tables.sign_in_codes.c.attempts)).scalars())


def all_events(tx: sa.Connection) -> list[tuple[str, str | None, str]]:
    events = tables.events.c
    rows = tx.execute(sa.select(events.kind, events.actor_id, events.body).order_by(events.seq))
    return [(row.kind, row.actor_id, row.body) for row in rows]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def wicket(database: Database, clock: Clock) -> AsyncIterator[Instance]:
    async with open_instance(database, Servers(), now=clock) as instance:
        yield instance


@pytest.fixture
async def browser(wicket: Instance) -> Browser:
    return await open_browser(wicket, wicket.stack)


async def test_a_code_of_a_mail_signs_in(wicket: Instance, browser: Browser) -> None:
    ada = await wicket.person("ada")
    assert await browser.get("/api/auth/status") == {
        "authenticated": False,
        "email": None,
        "account": None,
        "mfa": None,
        "csrfToken": None,
        "signup": "invite",
    }
    code = await browser.ask_code(" ADA@Example.com")
    assert set(code) <= set(CODE_ALPHABET)
    signed = await browser.post("/api/auth/verify", {"email": "ada@example.com", "code": code})
    account = {"id": ada.account_id, "email": ada.email, "createdAt": "2026-11-23T12:00:00Z"}
    assert signed == {
        "authenticated": True,
        "email": "ada@example.com",
        "account": {**account, "mfaEnrolled": False},
        "mfa": {"required": False, "enrolled": False, "passed": False},
        "csrfToken": browser.csrf,
        "signup": "invite",
    }
    assert await browser.get("/api/auth/status") == signed
    assert (await browser.get("/api/users/me"))["email"] == ada.email
    await browser.post("/api/agents", {"name": "helper", "trustMode": "trusted"}, expect=201)


async def test_a_code_may_be_typed_as_people_type(wicket: Instance, browser: Browser) -> None:
    ada = await wicket.person("ada")
    for between in ("", " ", "-"):
        code = (await browser.ask_code(ada.email)).lower()
        await browser.post(
            "/api/auth/verify", {"email": ada.email, "code": f" {code[:3]}{between}{code[3:]} "}
        )
    assert browser.cookie


async def test_a_code_works_once(wicket: Instance, browser: Browser) -> None:
    ada = await wicket.person("ada")
    sent = {"email": ada.email, "code": await browser.ask_code(ada.email)}
    await browser.post("/api/auth/verify", sent)
    problem = await browser.post("/api/auth/verify", sent, expect=400)
    assert (problem["code"], problem["field"]) == ("wrong_code", "code")


async def test_a_code_is_good_for_ten_minutes(wicket: Instance, browser: Browser, clock: Clock) -> None:
    ada = await wicket.person("ada")
    code = await browser.ask_code(ada.email)
    clock.pass_by(minutes=9, seconds=59)
    late = await browser.ask_code(ada.email)
    clock.pass_by(minutes=10)
    for old in (code, late):
        await browser.post("/api/auth/verify", {"email": ada.email, "code": old}, expect=400)
    code = await browser.ask_code(ada.email)
    clock.pass_by(minutes=9, seconds=59)
    assert await verify(browser, ada.email, code) == 200


async def test_a_newer_code_voids_the_older(wicket: Instance, browser: Browser) -> None:
    ada = await wicket.person("ada")
    older, newer = await browser.ask_code(ada.email), await browser.ask_code(ada.email)
    assert [await verify(browser, ada.email, code) for code in (older, newer)] == [400, 200]


async def test_a_code_is_for_its_own_address(wicket: Instance, browser: Browser) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    code = await browser.ask_code(ada.email)
    await browser.ask_code(bob.email)
    assert await verify(browser, bob.email, code) == 400


async def test_after_five_wrong_guesses_the_right_one_is_wrong_too(
    wicket: Instance, browser: Browser
) -> None:
    ada = await wicket.person("ada")
    code = await browser.ask_code(ada.email)
    for guess in (*[WRONG] * CODE_ATTEMPTS_MAX, code):
        assert await verify(browser, ada.email, guess) == 400


async def test_a_hundred_guesses_at_once_are_five(wicket: Instance, browser: Browser) -> None:
    ada = await wicket.person("ada")
    code = await browser.ask_code(ada.email)
    crowd = [await open_browser(wicket, wicket.stack, ip=f"198.51.100.{i}") for i in range(100)]
    answers = await asyncio.gather(
        *(one.send("POST", "/api/auth/verify", {"email": ada.email, "code": WRONG}) for one in crowd)
    )
    assert {answer.status_code for answer in answers} == {400}
    assert await wicket.database.read(guesses) == [CODE_ATTEMPTS_MAX]
    await browser.post("/api/auth/verify", {"email": ada.email, "code": code}, expect=400)


async def test_an_address_gets_fifteen_codes_an_hour(
    wicket: Instance, browser: Browser, clock: Clock
) -> None:
    await wicket.person("ada")
    for name in ("ada", "nobody"):
        for _ in range(CODES_MAX):
            await browser.post("/api/auth/magic-link", {"email": f"{name}@example.com"}, expect=202)
            clock.pass_by(minutes=1)
        refused = await browser.send("POST", "/api/auth/magic-link", {"email": f"{name}@example.com"})
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_codes")
        assert refused.headers["retry-after"] == str((60 - CODES_MAX) * 60)
        assert refused.json()["retryAfterS"] == (60 - CODES_MAX) * 60
    clock.pass_by(minutes=60 - 2 * CODES_MAX)
    await browser.ask_code("ada@example.com")


async def test_one_caller_is_held_back_before_it_can_ask_for_everybody(
    wicket: Instance, clock: Clock
) -> None:
    caller = await open_browser(wicket, wicket.stack, ip="2001:db8:0:1::1")
    neighbour = await open_browser(wicket, wicket.stack, ip="2001:db8:0:1:ffff::2")
    stranger = await open_browser(wicket, wicket.stack, ip="2001:db8:0:2::1")
    body = {"token": "no link's"}
    for _ in range(60):
        await caller.post("/api/auth/verify", body, expect=400)
    refused = await neighbour.send("POST", "/api/auth/verify", body)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused.headers["retry-after"] == "1"
    await stranger.post("/api/auth/verify", body, expect=400)
    clock.pass_by(seconds=1)
    await caller.post("/api/auth/verify", body, expect=400)
    await caller.post("/api/auth/verify", body, expect=429)


async def test_nothing_tells_who_has_an_account(wicket: Instance, browser: Browser) -> None:
    await wicket.person("ada")
    seen = []
    for name in ("ada", "nobody"):
        email = f"{name}@example.com"
        asked = await browser.send("POST", "/api/auth/magic-link", {"email": email})
        tried = await browser.send("POST", "/api/auth/verify", {"email": email, "code": WRONG})
        seen.append([(one.status_code, one.headers.multi_items(), one.content) for one in (asked, tried)])
    assert seen[0] == seen[1]
    assert seen[0][0][0] == 202
    assert [one for one in wicket.mails if "nobody@" in one] == []
    # The work is the same too: a row each, and a guess each.
    assert await wicket.database.read(guesses) == [1, 1]


async def test_who_is_invited_signs_up_with_the_code(wicket: Instance, browser: Browser) -> None:
    owner = await wicket.person("owner")
    agent_id = await owner.make_agent()
    invited = await owner.post(f"/api/agents/{agent_id}/invite", {"email": "ada@example.com"}, expect=201)
    code = await browser.ask_code("ada@example.com")
    # What is revoked between the mail and the answer to it is revoked.
    await owner.delete(f"/api/agents/{agent_id}/invites/{invited['id']}")
    await browser.post("/api/auth/verify", {"email": "ada@example.com", "code": code}, expect=400)
    await owner.post(f"/api/agents/{agent_id}/invite", {"email": "ada@example.com"}, expect=201)
    signed = await browser.sign_in("ada@example.com")
    assert signed["account"]["email"] == "ada@example.com"


@pytest.mark.parametrize(
    ("signup", "email", "may"),
    [
        ("invite", "ada@example.com", False),
        ("domain:example.com", "ada@example.com", True),
        ("domain:example.com", "ada@sub.example.com", False),
        ("domain:example.com", "ada@notexample.com", False),
        ("domain:example.com", "ada@example.com.evil.test", False),
        ("open", "ada@anywhere.test", True),
    ],
)
async def test_who_may_sign_up_is_a_setting(
    database: Database, signup: str, email: str, *, may: bool
) -> None:
    rules = replace(RULES, signup=Signup.parse(signup))
    async with open_instance(database, Servers(), rules=rules) as wicket:
        browser = await open_browser(wicket, wicket.stack)
        assert (await browser.get("/api/auth/status"))["signup"] == signup
        await browser.post("/api/auth/magic-link", {"email": email}, expect=202)
        assert len(wicket.mails) == may
        if may:
            assert (await browser.sign_in(email))["authenticated"] is True


NO_WAYS: tuple[dict[str, object], ...] = (
    {},
    {"email": "ada@example.com"},
    {"code": "ABCDEF"},
    {"email": "ada@example.com", "code": "ABCDEF", "token": "x"},
    {"email": "ada@example.com", "token": "x"},
    {"email": "ada@example.com", "code": 123456},
    {"email": ["ada@example.com"], "code": "ABCDEF"},
    {"email": "ada@example.com\r\nBcc: all@example.com", "code": "ABCDEF"},
    {"email": "ada@example.com", "code": "A" * 101},
    {"email": "ada@example.com", "code": "ABCDEF", "accountId": "x"},
)
NO_ADDRESSES = ("", "ada", "ada@example.com,eve@example.com", "ada@example.com\n", "\u212aate@example.com")
NO_CODES = ("\u017f" * 6, "\u212a" * 6, "ABCDEF" * 2, "ABC", "", " ", "\uff21" * 6)


async def test_what_is_no_way_to_sign_in_is_refused(browser: Browser) -> None:
    for body in NO_WAYS:
        assert (await browser.post("/api/auth/verify", body, expect=400))["code"] == "invalid", body


async def test_what_is_no_address_gets_no_code(browser: Browser) -> None:
    for email in NO_ADDRESSES:
        problem = await browser.post("/api/auth/magic-link", {"email": email}, expect=400)
        assert (problem["code"], problem["field"]) == ("invalid", "email")
    assert browser.wicket.mails == []


async def test_what_is_no_code_is_wrong(wicket: Instance, browser: Browser) -> None:
    ada = await wicket.person("ada")
    for code in NO_CODES:
        await browser.ask_code(ada.email)
        problem = await browser.post("/api/auth/verify", {"email": ada.email, "code": code}, expect=400)
        assert problem["code"] == "wrong_code"


async def test_a_link_of_the_host_signs_in_once_and_makes_the_account(
    wicket: Instance, browser: Browser, clock: Clock
) -> None:
    made = await wicket.database.change(sign_in.make_link, email="ada@example.com", now=clock(), agents=())
    assert made.expires_at - clock() == timedelta(minutes=15)
    clock.pass_by(minutes=14, seconds=59)
    signed = await browser.post("/api/auth/verify", {"token": made.token})
    assert signed["account"]["id"] == made.account_id
    problem = await browser.post("/api/auth/verify", {"token": made.token}, expect=400)
    assert (problem["code"], problem["field"]) == ("wrong_code", "token")
    late = await wicket.database.change(sign_in.make_link, email="ada@example.com", now=clock(), agents=())
    clock.pass_by(minutes=15)
    await browser.post("/api/auth/verify", {"token": late.token}, expect=400)


async def test_signing_in_is_in_the_log_without_its_secrets(wicket: Instance, browser: Browser) -> None:
    ada = await wicket.person("ada")
    code = await browser.ask_code(ada.email)
    await browser.post("/api/auth/verify", {"email": ada.email, "code": code})
    first = browser.cookie
    await browser.post("/api/auth/logout", expect=204)
    events = [row for row in await wicket.database.read(all_events) if row[1] == ada.account_id]
    assert [kind for kind, _, _ in events[-2:]] == ["signed_in", "signed_out"]
    for secret in (code, first, browser.csrf):
        assert secret is not None
        assert secret not in str(events)


async def test_foreign_pages_sign_nobody_in(wicket: Instance, browser: Browser) -> None:
    ada = await wicket.person("ada")
    sent = {"email": ada.email, "code": await browser.ask_code(ada.email)}
    for headers in ({"Origin": "https://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        for path, body in (("/api/auth/verify", sent), ("/api/auth/magic-link", {"email": ada.email})):
            refused = await browser.send("POST", path, body, headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
    own = {"Origin": RULES.base_url, "Sec-Fetch-Site": "same-origin"}
    assert (await browser.send("POST", "/api/auth/verify", sent, own)).status_code == 200


async def test_forms_of_other_sites_are_not_understood(browser: Browser) -> None:
    headers = {"Content-Type": "text/plain"}
    sent: httpx2.Response = await browser.http.post(
        "/api/auth/magic-link", content=b'{"email": "ada@example.com"}', headers=headers
    )
    assert sent.status_code == 415


async def test_what_is_over_is_forgotten(wicket: Instance, browser: Browser, clock: Clock) -> None:
    for name in ("ada", "bob", "eve"):
        await browser.post("/api/auth/magic-link", {"email": f"{name}@example.com"}, expect=202)
    clock.pass_by(hours=1)
    await browser.post("/api/auth/magic-link", {"email": "ada@example.com"}, expect=202)
    assert await wicket.database.read(guesses) == [0]
