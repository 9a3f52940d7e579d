"""The second factor: set up, shown, used up, guessed at, and taken off; and what is closed until it was shown."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest
import sqlalchemy as sa

from tests.api.browser import Browser, Clock, open_browser
from tests.api.people import RULES, Instance, Servers, open_instance
from wicket.api.guards import Guard
from wicket.store import tables
from wicket.store.db import Database
from wicket.store.second_factor import ATTEMPTS_MAX, BACKUP_CODES, TOTP_ATTEMPTS_MAX

ADA = "ada@example.com"
NO_CODES = ("", "00000", "0000000", "\u0660" * 6, "ABCD-EFGHJ", "not a code at all", "AAAA-AAAAA-AAAAA")
REQUIRED = replace(RULES, terms=replace(RULES.terms, requires_mfa=True))
TOKEN = {"name": "laptop", "scopes": ["read", "write"]}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def wicket(database: Database, clock: Clock) -> AsyncIterator[Instance]:
    async with open_instance(database, Servers(), now=clock) as instance:
        await instance.person("ada")
        yield instance


@pytest.fixture
async def ada(wicket: Instance) -> Browser:
    """Signed in, without a second factor."""
    browser = await open_browser(wicket, wicket.stack)
    await browser.sign_in(ADA)
    return browser


async def again(wicket: Instance, enrolled: Browser) -> Browser:
    """Another sign-in of the same person, who owes the second factor."""
    browser = await open_browser(wicket, wicket.stack)
    browser.secret = enrolled.secret
    assert (await browser.sign_in(ADA))["mfa"] == {"required": True, "enrolled": True, "passed": False}
    return browser


async def kinds(wicket: Instance) -> list[str]:
    def read(tx: sa.Connection) -> list[str]:
        return list(tx.execute(sa.select(tables.events.c.kind).order_by(tables.events.c.seq)).scalars())

    return await wicket.database.read(read)


async def test_it_is_set_up_with_a_first_code_and_shown_from_then_on(
    wicket: Instance, ada: Browser, clock: Clock
) -> None:
    other = await open_browser(wicket, wicket.stack)
    await other.sign_in(ADA)
    made = await ada.post("/api/auth/mfa/setup")
    uri = urlsplit(made["otpauthUri"])
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Wicket:ada%40example.com")
    assert parse_qs(uri.query) == {"secret": [made["secret"]], "issuer": ["Wicket"]}
    assert ET.fromstring(made["qrSvg"]).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own
    ada.secret, before = made["secret"], ada.cookie
    assert (await ada.get("/api/auth/status"))["mfa"]["enrolled"] is False
    await ada.post("/api/auth/mfa/verify-setup", {"code": "000000"}, expect=400)
    confirmed = await ada.post("/api/auth/mfa/verify-setup", {"code": ada.totp(clock())})
    assert confirmed["mfa"] == {"required": True, "enrolled": True, "passed": True}
    assert len(set(confirmed["backupCodes"])) == BACKUP_CODES
    assert ada.cookie != before
    assert (await ada.get("/api/users/me"))["mfaEnrolled"] is True
    # Who was signed in elsewhere has not shown it.
    await other.get("/api/users/me", expect=401)
    clock.pass_by(seconds=30)
    browser = await again(wicket, ada)
    assert (await browser.get("/api/users/me", expect=403))["code"] == "mfa_required"
    owing = browser.cookie
    shown = await browser.post("/api/auth/mfa/verify", {"code": browser.totp(clock())})
    assert shown["mfa"]["passed"] is True
    assert browser.cookie != owing
    await browser.get("/api/users/me")
    assert (await kinds(wicket))[-3:] == ["mfa_enrolled", "sign_in_begun", "signed_in"]


async def test_a_code_works_once_and_one_step_around_the_clock(
    wicket: Instance, ada: Browser, clock: Clock
) -> None:
    await ada.enrol(clock())
    browser = await again(wicket, ada)
    used = browser.totp(clock())
    problem = await browser.post("/api/auth/mfa/verify", {"code": used}, expect=400)
    assert (problem["code"], problem["field"]) == ("wrong_code", "code")
    clock.pass_by(seconds=60)
    for drift_s, is_right in (
        (-60, False),
        (60, False),
        (-30, True),
        (-30, False),
        (0, True),
        (30, True),
        (0, False),
    ):
        browser = await again(wicket, ada)
        code = pass_code(browser, clock, drift_s)
        await browser.post("/api/auth/mfa/verify", {"code": code}, expect=200 if is_right else 400)


def pass_code(browser: Browser, clock: Clock, drift_s: int) -> str:
    """What a device shows whose clock goes wrong; in two groups, as they do."""
    there = Clock(clock())
    there.pass_by(seconds=drift_s)
    code = browser.totp(there())
    return f"{code[:3]} {code[3:]}"


async def test_backup_codes_work_once_each(wicket: Instance, ada: Browser, clock: Clock) -> None:
    codes = await ada.enrol(clock())
    browser = await again(wicket, ada)
    await browser.post("/api/auth/mfa/verify", {"code": codes[0].lower().replace("-", " ")})
    second = await again(wicket, ada)
    await second.post("/api/auth/mfa/verify", {"code": codes[0]}, expect=400)
    mixed = codes[1][:4] + codes[2][4:]
    await second.post("/api/auth/mfa/verify", {"code": mixed}, expect=400)
    await second.post("/api/auth/mfa/verify", {"code": codes[1]})
    assert (await kinds(wicket)).count("backup_code_used") == 2
    renewed = await second.post("/api/auth/mfa/backup-codes", {"code": codes[2]})
    assert not set(renewed["backupCodes"]) & set(codes)
    third = await again(wicket, ada)
    await third.post("/api/auth/mfa/verify", {"code": codes[3]}, expect=400)
    await third.post("/api/auth/mfa/verify", {"code": renewed["backupCodes"][0]})


async def test_a_backup_code_used_twice_at_once_works_once(
    wicket: Instance, ada: Browser, clock: Clock
) -> None:
    (code, *_) = await ada.enrol(clock())
    crowd = [await again(wicket, ada) for _ in range(3)]
    answers = await asyncio.gather(
        *(one.send("POST", "/api/auth/mfa/verify", {"code": code}) for one in crowd)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400]


async def test_five_wrong_codes_are_looked_at_and_the_sixth_ends_the_session(
    wicket: Instance, ada: Browser, clock: Clock
) -> None:
    await ada.enrol(clock())
    clock.pass_by(seconds=30)
    browser = await again(wicket, ada)
    for code in NO_CODES[:ATTEMPTS_MAX]:
        problem = await browser.post("/api/auth/mfa/verify", {"code": code}, expect=400)
        assert problem["code"] == "wrong_code"
    right = {"code": browser.totp(clock())}
    assert (await browser.post("/api/auth/mfa/verify", right, expect=401))["code"] == "unauthenticated"
    assert (await browser.get("/api/auth/status"))["authenticated"] is False


@pytest.mark.parametrize("code", ["000000", "AAAA-AAAAA-AAAAA"])
async def test_guesses_sent_at_once_are_five(wicket: Instance, ada: Browser, clock: Clock, code: str) -> None:
    await ada.enrol(clock())
    browser = await again(wicket, ada)
    answers = await asyncio.gather(
        *(browser.send("POST", "/api/auth/mfa/verify", {"code": code}) for _ in range(20))
    )
    found = [answer.status_code for answer in answers]
    assert (found.count(400), found.count(401)) == (ATTEMPTS_MAX, 20 - ATTEMPTS_MAX)


async def test_new_sessions_give_no_new_guesses_at_the_six_digits(
    wicket: Instance, ada: Browser, clock: Clock
) -> None:
    codes = await ada.enrol(clock())
    for _ in range(TOTP_ATTEMPTS_MAX // ATTEMPTS_MAX):
        browser = await again(wicket, ada)
        for _ in range(ATTEMPTS_MAX):
            await browser.post("/api/auth/mfa/verify", {"code": "000000"}, expect=400)
    browser = await again(wicket, ada)
    clock.pass_by(seconds=30)
    refused = await browser.send("POST", "/api/auth/mfa/verify", {"code": browser.totp(clock())})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_attempts")
    assert int(refused.headers["retry-after"]) > 0
    # The owner is not locked out by whoever guesses.
    await browser.post("/api/auth/mfa/verify", {"code": codes[0]})


async def test_taking_it_off_takes_a_code_of_it(wicket: Instance, ada: Browser, clock: Clock) -> None:
    codes = await ada.enrol(clock())
    assert (await ada.post("/api/auth/mfa/setup", expect=409))["code"] == "mfa_enrolled"
    await ada.post("/api/auth/mfa/disable", {"code": ada.totp(clock())}, expect=400)
    clock.pass_by(seconds=30)
    gone = await ada.post("/api/auth/mfa/disable", {"code": ada.totp(clock())})
    assert gone["mfa"] == {"required": False, "enrolled": False, "passed": False}
    assert (await ada.post("/api/auth/mfa/verify", {"code": codes[0]}, expect=400))["code"] == "wrong_code"
    assert (await ada.post("/api/auth/mfa/verify", {"code": "000000"}, expect=409))["code"] == "mfa_not_begun"
    assert "mfa_disabled" in await kinds(wicket)
    browser = await open_browser(wicket, wicket.stack)
    assert (await browser.sign_in(ADA))["mfa"]["required"] is False
    await browser.get("/api/users/me")


async def test_a_sign_in_that_stays_without_its_second_factor_ends_after_half_an_hour(
    wicket: Instance, ada: Browser, clock: Clock
) -> None:
    await ada.enrol(clock())
    browser = await again(wicket, ada)
    clock.pass_by(minutes=29, seconds=59)
    assert (await browser.get("/api/users/me", expect=403))["code"] == "mfa_required"
    clock.pass_by(seconds=1)
    await browser.get("/api/users/me", expect=401)
    await ada.get("/api/users/me")


@pytest.mark.slow
async def test_until_it_is_shown_only_signing_in_goes_on(
    wicket: Instance, ada: Browser, clock: Clock
) -> None:
    await ada.enrol(clock())
    browser = await again(wicket, ada)
    described = wicket.api.openapi()["paths"]
    closed = [
        (method, path.replace("{", "").replace("}", ""))
        for path, methods in described.items()
        for method, operation in methods.items()
        if Guard(operation["x-wicket-guard"]) not in {Guard.PUBLIC, Guard.COLLECTOR, Guard.SESSION}
    ]
    assert len(closed) > 40
    for method, path in closed:
        answer = await browser.send(method.upper(), path, {})
        assert (answer.status_code, answer.json()["code"]) == (403, "mfa_required"), (method, path)
    await browser.post("/api/auth/logout", expect=204)


async def test_an_instance_may_ask_everybody_for_one(database: Database, clock: Clock) -> None:
    async with open_instance(database, Servers(), now=clock, rules=REQUIRED) as wicket:
        person = await wicket.person("ada")
        browser = await open_browser(wicket, wicket.stack)
        signed = await browser.sign_in(ADA)
        assert signed["mfa"] == {"required": True, "enrolled": False, "passed": False}
        assert (await browser.get("/api/users/me", expect=403))["code"] == "mfa_setup_required"
        assert (await browser.post("/api/users/me/tokens", TOKEN, expect=403))["code"] == "mfa_setup_required"
        await browser.enrol(clock())
        await browser.get("/api/users/me")
        # What is not theirs to end stays: to take it off is to owe it again.
        clock.pass_by(seconds=30)
        await browser.post("/api/auth/mfa/disable", {"code": browser.totp(clock())})
        assert (await browser.get("/api/users/me", expect=403))["code"] == "mfa_setup_required"
        # Tokens go on working, and make no tokens.
        await person.get("/api/users/me")
        assert (await person.post("/api/users/me/tokens", TOKEN, expect=403))["code"] == "session_required"


async def test_tokens_of_an_account_with_one_are_made_by_who_has_shown_it(
    wicket: Instance, ada: Browser, clock: Clock
) -> None:
    made = await ada.post("/api/users/me/tokens", TOKEN, expect=201)
    by_token = {"Authorization": f"Bearer {made['token']}"}
    first = await ada.http.post("/api/users/me/tokens", json=TOKEN, headers=by_token)
    assert first.status_code == 201
    await ada.enrol(clock())
    refused = await ada.http.post("/api/users/me/tokens", json=TOKEN, headers=by_token)
    assert (refused.status_code, refused.json()["code"]) == (403, "session_required")
    owing = await again(wicket, ada)
    assert (await owing.post("/api/users/me/tokens", TOKEN, expect=403))["code"] == "mfa_required"
    await ada.post("/api/users/me/tokens", TOKEN, expect=201)
    assert (await ada.http.get("/api/agents", headers=by_token)).status_code == 200


async def test_what_is_kept_of_it_opens_nothing(wicket: Instance, ada: Browser, clock: Clock) -> None:
    codes = await ada.enrol(clock())

    def rows(tx: sa.Connection) -> str:
        kept = (
            tables.accounts,
            tables.backup_codes,
            tables.dashboard_sessions,
            tables.events,
            tables.sign_in_codes,
        )
        return str([tuple(row) for table in kept for row in tx.execute(sa.select(table))])

    text = await wicket.database.read(rows)
    for secret in (ada.secret, str(ada.cookie), str(ada.csrf), *codes, *(code[5:] for code in codes)):
        assert secret not in text
    digests = await wicket.database.read(
        lambda tx: tx.execute(sa.select(tables.backup_codes.c.digest)).scalars().all()
    )
    assert all(digest.startswith("$argon2id$") for digest in digests)
