"""Signing in and out of the dashboard, and the second factor.

POST magic-link   a code goes out by mail
POST verify       code, or link -> session, which may owe a second factor
POST mfa/verify   -> session that owes nothing
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Final, Self

import segno
from fastapi import APIRouter, BackgroundTasks, Depends, Request, Response
from pydantic import Field, SecretStr, model_validator

from wicket.api.cookies import csrf_token
from wicket.api.guards import Guard, by
from wicket.api.http import (
    ApiParts,
    Parts,
    Signed,
    Visiting,
    find_session,
    find_token,
    has_authorization,
    open_router,
    parts_of,
    session_router,
    visit_of,
)
from wicket.api.me import AccountOut
from wicket.api.models import In, Out
from wicket.runtime.mail import Letter
from wicket.store.accounts import Account
from wicket.store.dashboard_sessions import OpenedSession, Session
from wicket.store.second_factor import BackupCode
from wicket.store.sign_in import CODE_TTL

QR_PIXELS: Final = 5
"""Of one module of a QR code, about what a telephone reads from a screen."""


class MfaOut(Out):
    required: bool
    """A second factor has to be shown before anything else: the account has one, or the instance wants one."""
    enrolled: bool
    """False and `required`: it has to be set up first."""
    passed: bool
    """Shown by this session."""


class StatusOut(Out):
    """Who is signed in with this request, and what comes next."""

    authenticated: bool
    email: str | None = None
    account: AccountOut | None = None
    mfa: MfaOut | None = None
    csrf_token: str | None = Field(default=None, repr=False)
    """For the header `X-Wicket-CSRF` of every change; a new one with every new cookie. None for a token."""
    signup: str
    """Who may sign in without an account: `invite`, `domain:example.com` or `open`."""


class AskIn(In):
    email: str = Field(max_length=1_000)


class AskedOut(Out):
    expires_in_s: int


class VerifyIn(In):
    """`email` and `code` of a mail, or the `token` of a link."""

    email: str | None = Field(None, max_length=1_000)
    code: SecretStr | None = Field(None, max_length=100)
    token: SecretStr | None = Field(None, max_length=200)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        by_code = self.email is not None and self.code is not None
        if by_code == (self.token is not None) or (self.token is not None and (self.email or self.code)):
            raise ValueError("send `email` and `code`, or `token`")
        return self


class FactorIn(In):
    code: SecretStr = Field(max_length=100)
    """Six digits of the authenticator, or a backup code."""


class EnrolmentOut(Out):
    secret: str = Field(repr=False)
    """To be typed where nothing can be scanned."""
    otpauth_uri: str = Field(repr=False)
    qr_svg: str = Field(repr=False)
    """The same to be scanned: a whole SVG image."""


class BackupCodesOut(StatusOut):
    backup_codes: Sequence[str] = Field(repr=False)
    """Shown this once; each works once."""


def _admit(request: Request) -> None:
    """A bound on what one address can try, beside the exact ones of the store; raises Limited."""
    parts_of(request).sign_in.admit(visit_of(request).caller_ip)


def _from_own_site(request: Request) -> None:
    """Nobody is signed in by a foreign page, as somebody else; raises Forbidden `csrf_failed`."""
    parts_of(request).jar.check_site(request)


LIMITED: Final = "too_many_requests"
FROM_OWN_SITE: Final = ("csrf_failed", LIMITED)
ADMITTED: Final = [Depends(_admit)]
ADMITTED_HERE: Final = [Depends(_from_own_site), Depends(_admit)]


def routes() -> APIRouter:
    """`/api/auth`."""
    router = APIRouter()
    router.include_router(_open_routes())
    router.include_router(_session_routes())
    return router


def _open_routes() -> APIRouter:
    router = open_router("auth")
    router.get("/api/auth/status", **by(Guard.PUBLIC))(read_sign_in)
    router.post(
        "/api/auth/magic-link",
        status_code=202,
        dependencies=ADMITTED_HERE,
        **by(Guard.PUBLIC, *FROM_OWN_SITE, "too_many_codes"),
    )(ask_code)
    router.post(
        "/api/auth/verify", dependencies=ADMITTED_HERE, **by(Guard.PUBLIC, *FROM_OWN_SITE, "wrong_code")
    )(verify_sign_in)
    return router


def _session_routes() -> APIRouter:
    router = session_router("auth")
    root = "/api/auth/mfa"
    factor = by(Guard.SESSION, LIMITED, "wrong_code", "too_many_attempts", "mfa_not_begun", "mfa_unreadable")
    router.post("/api/auth/logout", status_code=204, **by(Guard.SESSION))(sign_out)
    router.post(root + "/setup", dependencies=ADMITTED, **by(Guard.SESSION, LIMITED, "mfa_enrolled"))(
        set_up_factor
    )
    router.post(
        root + "/verify-setup",
        dependencies=ADMITTED,
        **by(Guard.SESSION, LIMITED, "wrong_code", "mfa_enrolled", "mfa_not_begun"),
    )(confirm_factor)
    router.post(root + "/verify", dependencies=ADMITTED, **factor)(show_factor)
    router.post(root + "/disable", dependencies=ADMITTED, **factor)(disable_factor)
    router.post(root + "/backup-codes", dependencies=ADMITTED, **factor)(renew_backup_codes)
    return router


async def read_sign_in(request: Request, parts: Parts) -> StatusOut:
    """Who is signed in; anybody may ask."""
    if has_authorization(request):
        found = await find_token(request)
        return _status(parts, None if found is None else found[0])
    session = await find_session(request)
    if session is None:
        return _status(parts, None)
    return _session_status(parts, session, parts.jar.value_in(request) or "")


async def ask_code(body: AskIn, parts: Parts, later: BackgroundTasks) -> AskedOut:
    """Send a code to an address, if it may sign in; the answer is the same if it may not."""
    letter = await parts.sign_in.ask_code(body.email)
    later.add_task(_send, parts, letter)
    return AskedOut(expires_in_s=int(CODE_TTL.total_seconds()))


async def verify_sign_in(
    body: VerifyIn, request: Request, response: Response, visit: Visiting, parts: Parts
) -> StatusOut:
    """Sign in with the code of a mail, or the token of a link; a session that came along is ended."""
    before = None if has_authorization(request) else await find_session(request)
    if body.token is not None:
        opened = await parts.sign_in.by_link(body.token.get_secret_value(), visit, instead_of=before)
    else:
        code = "" if body.code is None else body.code.get_secret_value()
        opened = await parts.sign_in.by_code(body.email or "", code, visit, instead_of=before)
    return _opened(parts, response, opened)


async def sign_out(session: Signed, response: Response, parts: Parts) -> None:
    """End this session."""
    await parts.sign_in.sign_out(session)
    parts.jar.drop(response)


async def set_up_factor(session: Signed, parts: Parts) -> EnrolmentOut:
    """Begin with a second factor; it counts once a code of it was shown."""
    made = await parts.sign_in.set_up(session)
    return EnrolmentOut(secret=made.secret, otpauth_uri=made.uri, qr_svg=_draw(made.uri))


async def confirm_factor(body: FactorIn, session: Signed, response: Response, parts: Parts) -> BackupCodesOut:
    """Show the first code of a new second factor, which is asked for from now on; every other session ends."""
    opened, codes = await parts.sign_in.confirm(session, body.code.get_secret_value())
    return _with_codes(_opened(parts, response, opened), codes)


async def show_factor(body: FactorIn, session: Signed, response: Response, parts: Parts) -> StatusOut:
    """Show the second factor: a code of the authenticator, or a backup code."""
    return _opened(parts, response, await parts.sign_in.show(session, body.code.get_secret_value()))


async def disable_factor(body: FactorIn, session: Signed, response: Response, parts: Parts) -> StatusOut:
    """Drop the second factor, which takes a last code of it."""
    opened = await parts.sign_in.disable(session, body.code.get_secret_value())
    return _opened(parts, response, opened)


async def renew_backup_codes(
    body: FactorIn, session: Signed, response: Response, parts: Parts
) -> BackupCodesOut:
    """Make ten new backup codes, which takes a code; the old ones are void."""
    opened, codes = await parts.sign_in.renew_backup_codes(session, body.code.get_secret_value())
    return _with_codes(_opened(parts, response, opened), codes)


async def _send(parts: ApiParts, letter: Letter | None) -> None:
    if letter is not None:
        parts.sign_in.mailer.send(letter)


def _opened(parts: ApiParts, response: Response, opened: OpenedSession) -> StatusOut:
    parts.jar.put(response, opened.cookie)
    return _session_status(parts, opened.session, opened.cookie)


def _session_status(parts: ApiParts, session: Session, cookie: str) -> StatusOut:
    mfa = MfaOut(
        required=session.account.is_enrolled or parts.sign_in.rules.terms.requires_mfa,
        enrolled=session.account.is_enrolled,
        passed=session.account.is_enrolled and session.mfa_at is not None,
    )
    return _status(parts, session.account).model_copy(update={"mfa": mfa, "csrf_token": csrf_token(cookie)})


def _status(parts: ApiParts, account: Account | None) -> StatusOut:
    return StatusOut(
        authenticated=account is not None,
        email=None if account is None else account.email,
        account=None if account is None else AccountOut.of(account),
        signup=parts.sign_in.rules.signup.text,
    )


def _with_codes(status: StatusOut, codes: Sequence[BackupCode]) -> BackupCodesOut:
    return BackupCodesOut(**dict(status), backup_codes=[code.text for code in codes])


def _draw(uri: str) -> str:
    image = BytesIO()
    segno.make(uri, error="m", micro=False).save(image, kind="svg", scale=QR_PIXELS, xmldecl=False)
    return image.getvalue().decode()
