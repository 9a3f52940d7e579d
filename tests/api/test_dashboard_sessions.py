"""Dashboard sessions: their cookie, how long they count, how they end, and what a foreign page can do with them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from http.cookies import SimpleCookie

import pytest

from tests.api.browser import COOKIE, Browser, Clock, open_browser
from tests.api.people import RULES, Instance, Servers, open_instance
from wicket.api.cookies import CSRF_HEADER, Jar
from wicket.store import accounts, dashboard_sessions
from wicket.store.dashboard_sessions import SESSIONS_MAX, Visit
from wicket.store.db import Database

AGENT = {"name": "helper", "trustMode": "trusted"}


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
    browser = await open_browser(wicket, wicket.stack)
    await browser.sign_in("ada@example.com")
    return browser


async def cookie_set(wicket: Instance, base_url: str) -> SimpleCookie:
    browser = await open_browser(wicket, wicket.stack, base_url=base_url)
    sent = {"email": "ada@example.com", "code": await browser.ask_code("ada@example.com")}
    return SimpleCookie((await browser.send("POST", "/api/auth/verify", sent)).headers["set-cookie"])


async def test_the_cookie_is_for_this_host_https_and_no_script(wicket: Instance) -> None:
    (cookie,) = (await cookie_set(wicket, RULES.base_url)).values()
    assert cookie.key == COOKIE
    assert len(cookie.value) == 43
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "lax")
    assert (cookie["path"], cookie["domain"], cookie["max-age"]) == ("/", "", str(30 * 86_400))


async def test_on_plain_http_on_loopback_it_is_as_strict_as_browsers_allow(database: Database) -> None:
    url = "http://127.0.0.1:8420"
    async with open_instance(database, Servers(), public_url=url) as wicket:
        await wicket.person("ada")
        (cookie,) = (await cookie_set(wicket, url)).values()
    assert cookie.key == "wicket_session"
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == ("", True, "lax")


@pytest.mark.parametrize(
    ("public_url", "name", "origins"),
    [
        ("https://w.example", COOKIE, {"https://w.example"}),
        ("https://W.example:443/", COOKIE, {"https://w.example"}),
        ("https://w.example:8443", COOKIE, {"https://w.example:8443"}),
        ("https://localhost:8443", COOKIE, {"https://localhost:8443"}),
        (
            "http://localhost:8420",
            "wicket_session",
            {"http://localhost:8420", "http://127.0.0.1:8420", "http://[::1]:8420"},
        ),
    ],
)
def test_what_is_ours_follows_from_the_public_address(public_url: str, name: str, origins: set[str]) -> None:
    jar = Jar.of(public_url)
    assert (jar.name, jar.is_secure, set(jar.origins)) == (name, name == COOKIE, origins)


async def test_each_sign_in_has_a_cookie_of_its_own_and_ends_the_one_before(
    wicket: Instance, ada: Browser
) -> None:
    before = ada.cookie
    planted = await open_browser(wicket, wicket.stack)
    planted.http.cookies.set(COOKIE, "a" * 43, domain="wicket.test")
    await planted.sign_in("ada@example.com")
    assert planted.cookie != "a" * 43
    await ada.sign_in("ada@example.com")
    assert ada.cookie != before
    sessions = await ada.get("/api/users/me/sessions")
    assert sessions["total"] == 2
    stale = await open_browser(wicket, wicket.stack)
    stale.http.cookies.set(COOKIE, str(before))
    assert (await stale.get("/api/users/me", expect=401))["code"] == "unauthenticated"


async def test_sessions_are_listed_and_ended_one_by_one(wicket: Instance, ada: Browser, clock: Clock) -> None:
    clock.pass_by(minutes=5)
    phone = await open_browser(wicket, wicket.stack, ip="198.51.100.7")
    await phone.sign_in("ada@example.com")
    listed = await ada.get("/api/users/me/sessions")
    assert listed["total"] == 2
    other, own = sorted(listed["items"], key=lambda one: one["current"])
    assert own | {"id": "", "userAgent": ""} == {
        "id": "",
        "createdAt": "2026-11-23T12:00:00Z",
        "lastSeenAt": "2026-11-23T12:05:00Z",
        "expiresAt": "2026-11-24T00:05:00Z",
        "callerIp": "192.0.2.1",
        "userAgent": "",
        "mfaAt": None,
        "current": True,
    }
    assert (other["callerIp"], other["userAgent"], other["current"]) == ("198.51.100.7", "Tests/1", False)
    await ada.delete(f"/api/users/me/sessions/{other['id']}")
    await phone.get("/api/users/me", expect=401)
    await ada.delete(f"/api/users/me/sessions/{other['id']}", expect=404)
    await ada.delete(f"/api/users/me/sessions/{own['id']}")
    await ada.get("/api/users/me", expect=401)


async def test_nobody_ends_the_sessions_of_others(wicket: Instance, ada: Browser) -> None:
    eve = await wicket.person("eve")
    (session,) = (await ada.get("/api/users/me/sessions"))["items"]
    await eve.delete(f"/api/users/me/sessions/{session['id']}", expect=404)
    assert (await eve.get("/api/users/me/sessions"))["items"] == []
    await ada.get("/api/users/me")


async def test_whoever_signs_out_is_out(wicket: Instance, ada: Browser) -> None:
    cookie = ada.cookie
    left = await ada.send("POST", "/api/auth/logout")
    assert (left.status_code, left.content) == (204, b"")
    assert "Max-Age=0" in left.headers["set-cookie"]
    ada.http.cookies.set(COOKIE, str(cookie))
    await ada.get("/api/users/me", expect=401)
    await ada.post("/api/auth/logout", expect=401)
    assert (await ada.get("/api/auth/status"))["authenticated"] is False


async def test_a_session_ends_when_it_is_not_used_and_lives_on_when_it_is(ada: Browser, clock: Clock) -> None:
    for _ in range(3):
        clock.pass_by(hours=11, minutes=59)
        await ada.get("/api/users/me")
    clock.pass_by(hours=12)
    assert (await ada.get("/api/users/me", expect=401))["code"] == "unauthenticated"


async def test_a_session_ends_after_thirty_days_whatever_is_done(ada: Browser, clock: Clock) -> None:
    for _ in range(60):
        clock.pass_by(hours=11, minutes=59)
        await ada.get("/api/auth/status")
    assert (await ada.get("/api/auth/status"))["authenticated"] is True
    clock.pass_by(hours=1)
    assert (await ada.get("/api/auth/status"))["authenticated"] is False


async def test_a_session_is_noted_as_seen_once_a_minute(wicket: Instance, ada: Browser, clock: Clock) -> None:
    seen = []
    for _ in range(3):
        clock.pass_by(seconds=30)
        await ada.get("/api/users/me")
        (session,) = await wicket.database.read(
            dashboard_sessions.list_live,
            account_id=(await ada.get("/api/users/me"))["id"],
            terms=RULES.terms,
            now=clock(),
        )
        seen.append((session.last_seen_at - session.created_at) // timedelta(seconds=1))
    assert seen == [0, 60, 60]


async def test_an_account_has_so_many_sessions_and_no_more(
    wicket: Instance, ada: Browser, clock: Clock
) -> None:
    account = await wicket.database.read(
        accounts.get_account, account_id=(await ada.get("/api/users/me"))["id"]
    )
    for _ in range(SESSIONS_MAX):
        clock.pass_by(minutes=5)
        await wicket.database.change(
            dashboard_sessions.begin,
            account=account,
            by="tests",
            visit=Visit("192.0.2.2", "tests"),
            terms=RULES.terms,
            now=clock(),
            agents=(),
        )
    live = await wicket.database.read(
        dashboard_sessions.list_live, account_id=account.id, terms=RULES.terms, now=clock()
    )
    assert len(live) == SESSIONS_MAX
    await ada.get("/api/users/me", expect=401)


async def test_what_a_browser_calls_itself_is_shown_shortened_and_plain(wicket: Instance) -> None:
    browser = await open_browser(wicket, wicket.stack)
    browser.http.headers["User-Agent"] = "Evil\x1b[2J" + "a" * 500
    await browser.sign_in("ada@example.com")
    (session,) = (await browser.get("/api/users/me/sessions"))["items"]
    assert session["userAgent"] == ("Evil[2J" + "a" * 500)[:200]


CSRF = [
    # what is sent beside the cookie, and whether a change is made
    ({}, True),
    ({"Origin": RULES.base_url}, True),
    ({"Origin": RULES.base_url.upper()}, True),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({CSRF_HEADER: ""}, False),
    ({CSRF_HEADER: "0" * 64}, False),
    ({"Origin": "null"}, False),
    ({"Origin": "https://evil.test"}, False),
    ({"Origin": "http://wicket.test"}, False),
    ({"Origin": "https://wicket.test.evil.test"}, False),
    ({"Origin": "https://wicket.test:8443"}, False),
    ({"Origin": ""}, False),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": ""}, False),
]


async def test_a_change_needs_the_token_of_the_page_and_no_foreign_site(ada: Browser) -> None:
    for number, (headers, is_made) in enumerate(CSRF):
        for path, body in (("/api/agents", AGENT | {"name": f"a{number}"}), ("/api/auth/mfa/setup", None)):
            answer = await ada.send("POST", path, body, headers)
            assert answer.is_success is is_made, (path, headers, answer.text)
            if not is_made:
                assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")


async def test_a_change_without_any_token_is_refused_and_reading_needs_none(ada: Browser) -> None:
    token, ada.csrf = ada.csrf, None
    for method, path in (("POST", "/api/auth/logout"), ("DELETE", f"/api/users/me/sessions/{'0' * 8}")):
        refused = await ada.send(method, path)
        assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
    assert (await ada.send("GET", "/api/users/me", headers={"Origin": "https://evil.test"})).is_success
    two = await ada.http.post(
        "/api/auth/logout", headers=[(CSRF_HEADER, str(token)), (CSRF_HEADER, str(token))]
    )
    assert (two.status_code, two.json()["code"]) == (403, "csrf_failed")


async def test_the_token_of_another_session_is_none(wicket: Instance, ada: Browser) -> None:
    other = await open_browser(wicket, wicket.stack)
    await other.sign_in("ada@example.com")
    assert other.csrf != ada.csrf
    ada.csrf = other.csrf
    assert (await ada.post("/api/agents", AGENT, expect=403))["code"] == "csrf_failed"


async def test_two_cookies_of_the_name_are_none(ada: Browser) -> None:
    for cookies in (f"{COOKIE}={ada.cookie}; {COOKIE}=x", f"{COOKIE}=x; {COOKIE}={ada.cookie}", f"{COOKIE}="):
        answer = await ada.http.get("/api/users/me", headers={"Cookie": cookies})
        assert answer.status_code == 401
    for name in (COOKIE.upper(), COOKIE.removeprefix("__Host-"), f"x{COOKIE}"):
        answer = await ada.http.get("/api/users/me", headers={"Cookie": f"{name}={ada.cookie}"})
        assert answer.status_code == 401


async def test_a_bearer_decides_alone_whatever_cookies_come_along(wicket: Instance, ada: Browser) -> None:
    eve = await wicket.person("eve")
    as_eve = {"Authorization": f"Bearer {eve.token}"}
    assert (await ada.send("GET", "/api/users/me", headers=as_eve)).json()["email"] == eve.email
    assert (await ada.send("GET", "/api/auth/status", headers=as_eve)).json()["email"] == eve.email
    # No cookie decides, so nothing of the browser's has to be proven.
    made = await ada.http.post("/api/agents", json=AGENT, headers=as_eve | {"Sec-Fetch-Site": "cross-site"})
    assert made.status_code == 201
    for header in ("Bearer wkt_wrong", "Basic YTpi", ""):
        refused = await ada.send("GET", "/api/users/me", headers={"Authorization": header})
        assert refused.status_code == 401
        status = await ada.send("GET", "/api/auth/status", headers={"Authorization": header})
        assert status.json()["authenticated"] is False
    closed = await ada.send("POST", "/api/auth/logout", headers=as_eve)
    assert (closed.status_code, closed.json()["code"]) == (403, "session_required")
    await ada.get("/api/users/me")


async def test_browsers_are_told_to_keep_answers_to_themselves(ada: Browser) -> None:
    for path in ("/api/auth/status", "/api/users/me", "/api/nothing", "/api/agents/x"):
        headers = (await ada.send("GET", path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_the_idle_time_is_a_setting(database: Database, clock: Clock) -> None:
    rules = replace(RULES, terms=replace(RULES.terms, idle=timedelta(minutes=1)))
    async with open_instance(database, Servers(), now=clock, rules=rules) as wicket:
        await wicket.person("ada")
        browser = await open_browser(wicket, wicket.stack)
        await browser.sign_in("ada@example.com")
        clock.pass_by(seconds=59)
        await browser.get("/api/users/me")
        clock.pass_by(seconds=1)
        assert (await browser.get("/api/users/me", expect=401))["code"] == "unauthenticated"
