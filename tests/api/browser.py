"""Somebody at a browser: keeps cookies as browsers do, and sends the token of the page with every change."""

import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import httpx2
import pyotp

from tests.api.people import NOW, RULES, Instance
from wicket.api.cookies import CSRF_HEADER

COOKIE: Final = "__Host-wicket_session"
CODE: Final = re.compile(r"Your code: ([0-9A-Z]{6})\n")


@dataclass
class Clock:
    """A clock that is set by hand."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, **time: float) -> None:
        self.at += timedelta(**time)


@dataclass
class Browser:
    """Signed in once `sign_in` has returned."""

    wicket: Instance
    http: httpx2.AsyncClient
    csrf: str | None = None
    secret: str = field(default="", repr=False)
    """What its owner's authenticator shares with Wicket."""

    @property
    def cookie(self) -> str | None:
        return self.http.cookies.get(COOKIE)

    async def send(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        sent = {CSRF_HEADER: self.csrf} if self.csrf is not None and method != "GET" else {}
        response = await self.http.request(method, path, json=body, headers=sent | (headers or {}))
        if response.is_success and response.content:
            self.csrf = response.json().get("csrfToken") or self.csrf
        return response

    async def get(self, path: str, *, expect: int = 200) -> Any:
        return read(await self.send("GET", path), expect)

    async def post(self, path: str, body: object = None, *, expect: int = 200) -> Any:
        return read(await self.send("POST", path, body), expect)

    async def delete(self, path: str, *, expect: int = 204) -> Any:
        return read(await self.send("DELETE", path), expect)

    async def ask_code(self, email: str) -> str:
        """The code that came by mail."""
        before = len(self.wicket.mails)
        await self.post("/api/auth/magic-link", {"email": email}, expect=202)
        (mail,) = self.wicket.mails[before:]
        return code_in(mail)

    async def sign_in(self, email: str) -> Any:
        return await self.post("/api/auth/verify", {"email": email, "code": await self.ask_code(email)})

    async def enrol(self, at: datetime) -> list[str]:
        """Set up a second factor; answers the backup codes."""
        made = await self.post("/api/auth/mfa/setup")
        self.secret = made["secret"]
        confirmed = await self.post("/api/auth/mfa/verify-setup", {"code": self.totp(at)})
        return [str(code) for code in confirmed["backupCodes"]]

    def totp(self, at: datetime) -> str:
        return pyotp.TOTP(self.secret).at(at)


def read(response: httpx2.Response, expect: int) -> Any:
    """The JSON of an answer, whose status must be `expect`."""
    assert response.status_code == expect, (response.request.url, response.status_code, response.text)
    return response.json() if response.content else None


def code_in(mail: str) -> str:
    found = CODE.search(mail)
    assert found is not None, mail
    return found[1]


async def open_browser(
    wicket: Instance, stack: AsyncExitStack, *, ip: str = "192.0.2.1", base_url: str = RULES.base_url
) -> Browser:
    """A browser with no cookies, that closes with the stack."""
    transport = httpx2.ASGITransport(app=wicket.served, client=(ip, 1))
    http = httpx2.AsyncClient(transport=transport, base_url=base_url, headers={"User-Agent": "Tests/1"})
    return Browser(wicket, await stack.enter_async_context(http))
