"""Somebody signs in to a whole Wicket, by real mail over real HTTP; and what that leaves behind."""

import re
from pathlib import Path

import aiohttp
import pyotp
import pytest
from yarl import URL

from tests.instance import Instance
from tests.mailbox import Mailbox, open_mailbox
from tests.reachable import now
from tests.upstreams.recording import RecordingUpstream
from wicket.api.cookies import CSRF_HEADER
from wicket.store import sign_in

ADA = "ada@example.com"
"""Has no account yet."""
COOKIE = "wicket_session"


async def post(
    http: aiohttp.ClientSession, url: str, body: object = None, *, csrf: str | None = None, expect: int = 200
) -> dict[str, object]:
    async with http.post(url, json=body, headers={CSRF_HEADER: csrf} if csrf else {}) as answer:
        assert answer.status == expect, await answer.text()
        return dict(await answer.json(content_type=None) or {})


async def sign_in_by_mail(http: aiohttp.ClientSession, wicket: Instance, mailbox: Mailbox) -> tuple[str, str]:
    """The code of the newest letter, and the session's token."""
    await post(http, f"{wicket.url}/api/auth/magic-link", {"email": ADA}, expect=202)
    letter = (await mailbox.holds(len(mailbox.letters) + 1))[-1]
    found = re.search(r"Your code: (\w{6})", letter.get_content())
    assert found is not None
    signed = await post(http, f"{wicket.url}/api/auth/verify", {"email": ADA, "code": found[1]})
    return found[1], str(signed["csrfToken"])


@pytest.mark.promise("P9")
async def test_who_signs_in_by_mail_leaves_no_secret_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        open_mailbox() as mailbox,
        Instance.started(
            tmp_path,
            smtp_url=f"smtp://127.0.0.1:{mailbox.port}",
            mail_from="wicket@example.com",
            signup="domain:example.com",
        ) as wicket,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        auth = f"{wicket.url}/api/auth"
        code, csrf = await sign_in_by_mail(http, wicket, mailbox)
        cookies = [http.cookie_jar.filter_cookies(URL(wicket.url))[COOKIE].value]
        made = await post(http, f"{auth}/mfa/setup", csrf=csrf)
        secret = str(made["secret"])
        confirmed = await post(
            http, f"{auth}/mfa/verify-setup", {"code": pyotp.TOTP(secret).at(now())}, csrf=csrf
        )
        cookies.append(http.cookie_jar.filter_cookies(URL(wicket.url))[COOKIE].value)
        codes = [str(one) for one in list(confirmed["backupCodes"])]  # type: ignore[call-overload]
        shown = await post(http, f"{auth}/mfa/verify", {"code": codes[0]}, csrf=str(confirmed["csrfToken"]))
        link = await wicket.change(sign_in.make_link, email=ADA, now=now(), agents=())
        for token in (link.token, "a" * 43):
            expect = 200 if token == link.token else 400
            await post(http, f"{auth}/verify", {"token": token}, expect=expect)
        secrets = [code, secret, *cookies, csrf, str(shown["csrfToken"]), *codes, link.token]
        async with http.get(f"{wicket.url}/metrics") as answer:
            metrics = await answer.text()
    said = "".join(capsys.readouterr())
    kept = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file())
    for one in secrets:
        assert one.encode() not in kept
        assert one not in said
        assert one not in metrics
    assert ADA not in said
    assert ADA not in metrics
    assert 'wicket_sign_ins_total{outcome="accepted",step="code"}' in metrics
    assert len(set(cookies)) == 2


async def test_a_session_is_nothing_to_the_proxy_and_a_member_key_nothing_to_the_api(tmp_path: Path) -> None:
    async with (
        RecordingUpstream() as upstream,
        Instance.started(tmp_path) as wicket,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        agent = await wicket.agent(services={"fake": upstream.url})
        await agent.policy(service="fake")
        key = await agent.key()
        link = await wicket.change(sign_in.make_link, email="owner@example.com", now=now(), agents=())
        await post(http, f"{wicket.url}/api/auth/verify", {"token": link.token})
        cookie = f"{COOKIE}={http.cookie_jar.filter_cookies(URL(wicket.url))[COOKIE].value}"
        refused = await wicket.call(None, "fake__echo", {"text": "hello"}, headers={"cookie": cookie})
        assert refused.status == 401
        called = await wicket.call(key, "fake__echo", {"text": "hello"}, headers={"cookie": cookie})
        assert called.status == 200
        assert all("cookie" not in seen.headers for seen in upstream.calls)
        # The key is what decides on the API too, and there it is nobody's.
        async with http.get(
            f"{wicket.url}/api/users/me", headers={"Authorization": f"Bearer {key}"}
        ) as answer:
            assert answer.status == 401
        async with http.get(f"{wicket.url}/api/users/me") as answer:
            assert (await answer.json())["email"] == "owner@example.com"


async def test_without_a_mail_server_the_code_is_on_the_console_and_not_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Instance.started(tmp_path, signup="open") as wicket, aiohttp.ClientSession() as http:
        await post(http, f"{wicket.url}/api/auth/magic-link", {"email": ADA}, expect=202)
        lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "Your code: " in line]) == 1
    # What is shown is set apart from what is logged, which others read and keep.
    assert [line for line in lines if not line.startswith("  | ")] == []
