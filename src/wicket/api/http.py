"""What every group of endpoints stands on: the parts, who asks, ids in paths, pages.

Each request is authenticated before anything else about it is looked at, by the class of its route: an endpoint on
a router of `guarded_router` cannot be reached without a token or a session, whatever its signature says. A request
with an `Authorization` header is decided by that header alone, whatever cookies come with it.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, assert_never

from fastapi import APIRouter, Depends, Path, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, HTTPBearer
from pydantic import Field

from wicket.api.cookies import Jar
from wicket.api.guards import OPEN, Guard, check_guard
from wicket.api.idempotency import CREATED, once
from wicket.api.models import In
from wicket.core.errors import Forbidden, Invalid, Refused, Unauthenticated, Unavailable, WicketError
from wicket.core.jsonrpc import parse_json
from wicket.core.keys import ServerKeys
from wicket.core.mock import MockAnswer, MockCall
from wicket.core.model import Connector, JsonObject
from wicket.runtime.reading import LogReaders
from wicket.runtime.sign_in import SignIn
from wicket.runtime.upstream import Credential
from wicket.store.accounts import Account, ApiToken, Scope, find_live_token, touch_token
from wicket.store.dashboard_sessions import Debt, Session, Visit, find_live
from wicket.store.db import Database
from wicket.store.page import OFFSET_MAX, PAGE_DEFAULT, PAGE_MAX

BODY_BYTES_MAX: Final = 1024 * 1024
TOUCH_EVERY: Final = timedelta(hours=1)
"""How exact `lastUsedAt` of a token is: noting each use would make every read a write."""
READING_METHODS: Final = frozenset({"GET", "HEAD"})

_UUID: Final[dict[str, Any]] = {
    "pattern": r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    "json_schema_extra": {"format": "uuid"},
}
_SERVICE: Final = r"^[a-z][a-z0-9]{0,30}$"
_TOOL: Final = r"^[A-Za-z0-9_.-]{1,128}$"

AgentId = Annotated[str, Path(alias="agentId", **_UUID)]
MemberId = Annotated[str, Path(alias="memberId", **_UUID)]
PolicyId = Annotated[str, Path(alias="policyId", **_UUID)]
InviteId = Annotated[str, Path(alias="inviteId", **_UUID)]
SessionId = Annotated[str, Path(alias="sessionId", **_UUID)]
TokenId = Annotated[str, Path(alias="tokenId", **_UUID)]
ToolSessionId = Annotated[str, Path(alias="toolSessionId", pattern=r"^ts_[0-9a-f]{24}$")]
EntryId = Annotated[str, Path(alias="entryId", **_UUID)]
Service = Annotated[str, Path(alias="service", pattern=_SERVICE)]
ConnectorKey = Annotated[str, Path(alias="key", pattern=_SERVICE)]
Tool = Annotated[str, Path(alias="tool", pattern=_TOOL)]
Text = Annotated[str, Field(max_length=1_000, pattern=r"^[^\x00]*$")]
"""A parameter that is compared with stored text, which never holds a NUL."""


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the API is built from; made in `app`."""

    db: Database
    keys: ServerKeys
    sign_in: SignIn
    fetch_tools: Callable[[Connector, Credential | None], Awaitable[list[JsonObject]]]
    """The tools that a server lists now, from the server itself; raises UpstreamFailed."""
    stdio: Mapping[str, Connector]
    """The local servers that the host's configuration file names."""
    version: str
    public_url: str
    """Where clients reach this instance, without a slash at the end."""
    metrics_token: str | None = field(repr=False)
    """The bearer that `/metrics` asks for, if any."""
    status: Callable[[], Awaitable[JsonObject]]
    """Database, recorder and backlog, for `/api/status`."""
    forget_tools: Callable[[str, str], None]
    """(agent id, service): drop the tools that this process remembers of it."""
    known_zones: frozenset[str]
    """IANA names of time zones."""
    now: Callable[[], datetime]
    mock_call: Callable[[MockCall], Awaitable[MockAnswer]]
    """Make a member's call through the proxy; raises WicketError for what a real call would be refused for."""
    vet_url: Callable[[str], None]
    """Raise Invalid for an upstream address that must not be reached from here."""
    readers: LogReaders
    """Who reads the log for long."""
    tool_session_idle: timedelta
    """After which silence a tool session has ended."""
    tiers_from_annotations: frozenset[str] = frozenset()
    """Keys of the local servers whose annotations are accepted as tiers when an agent first enables them."""

    @property
    def jar(self) -> Jar:
        """Where dashboard sessions keep their cookie."""
        return Jar.of(self.public_url)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and what with."""

    account_id: str
    email: str
    scopes: frozenset[Scope]
    session_id: str | None = None
    """Of the dashboard session that asks; None for a token."""


def parts_of(request: Request) -> ApiParts:
    """What the instance that serves this request is built from, or what the request was given for itself."""
    parts: ApiParts = request.state.parts
    return parts


def _asker_of(request: Request) -> Asker:
    asker: Asker = request.state.asker
    return asker


def _session_of(request: Request) -> Session:
    session: Session = request.state.session
    return session


def visit_of(request: Request) -> Visit:
    """Where a request comes from."""
    host = request.client.host if request.client is not None else "unknown"
    return Visit(host, request.headers.get("user-agent", ""))


Parts = Annotated[ApiParts, Depends(parts_of)]
Caller = Annotated[Asker, Depends(_asker_of)]
Signed = Annotated[Session, Depends(_session_of)]
"""The session of an endpoint on a `session_router`; what it owes may be unpaid."""
Visiting = Annotated[Visit, Depends(visit_of)]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """Takes JSON bodies without any second meaning: no key twice, no NaN, no halves of characters."""

    guards: ClassVar[frozenset[Guard]] = OPEN
    """What may be stated of who asks: what this class checks."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        check_guard(path, given.get("openapi_extra"), self.guards)
        super().__init__(path, endpoint, **given)

    def get_route_handler(self) -> Handler:
        """Check the body, then do what FastAPI does."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            await _check_body(request)
            return await handle(request)

        return strict


class GuardedRoute(StrictRoute):
    """Serves only who has shown a live token whose scope covers the method, or a session that owes nothing."""

    guards = frozenset(Guard) - OPEN - {Guard.SESSION}

    def get_route_handler(self) -> Handler:
        """Authenticate, then serve; what creates something may be asked for twice."""
        handle = super().get_route_handler()
        if self.status_code == CREATED:
            handle = once(handle)

        async def guarded(request: Request) -> Response:
            request.state.asker = await _authenticate(request)
            return await handle(request)

        return guarded


class SessionRoute(StrictRoute):
    """Serves only who has signed in, also when a second factor is still owed. No token opens it."""

    guards = frozenset({Guard.SESSION})

    def get_route_handler(self) -> Handler:
        """Find the session, then serve."""
        handle = super().get_route_handler()

        async def signed(request: Request) -> Response:
            if has_authorization(request):
                raise Forbidden(
                    "this is done in the dashboard, by who has signed in: send no token",
                    code="session_required",
                )
            request.state.session = await _require_session(request)
            return await handle(request)

        return signed


def guarded_router(tag: str) -> APIRouter:
    """A router for endpoints that need a token or a session."""
    token = HTTPBearer(
        auto_error=False, description="A personal API token, `wkt_...`; scope `write` for changes"
    )
    return _router(tag, GuardedRoute, Security(token), _BY_COOKIE)


def session_router(tag: str) -> APIRouter:
    """A router for endpoints that need a session, and take one that owes a second factor."""
    return _router(tag, SessionRoute, _BY_COOKIE)


_BY_COOKIE: Final = Security(
    APIKeyCookie(
        name="__Host-wicket_session",
        auto_error=False,
        description="A dashboard session; changes need its `csrfToken` in `X-Wicket-CSRF` too",
    )
)


def _router(tag: str, route_class: type[APIRoute], *documented: Any) -> APIRouter:
    return APIRouter(tags=[tag], route_class=route_class, dependencies=documented, redirect_slashes=False)


def open_router(tag: str) -> APIRouter:
    """A router for endpoints that anybody may ask."""
    return APIRouter(tags=[tag], route_class=StrictRoute, redirect_slashes=False)


async def _authenticate(request: Request) -> Asker:
    """Who asks; raises Unauthenticated, or Forbidden: the scope is too small, or a second factor is owed."""
    if has_authorization(request):
        return await _by_token(request)
    session = await _require_session(request)
    debt = session.debt(parts_of(request).sign_in.rules.terms)
    if debt is not None:
        raise owes(debt)
    return Asker(session.account.id, session.account.email, frozenset(Scope), session.id)


async def _by_token(request: Request) -> Asker:
    parts, now = parts_of(request), parts_of(request).now()
    found = await find_token(request)
    if found is None:
        raise Unauthenticated("send a live personal API token: `Authorization: Bearer wkt_...`")
    account, record = found
    needed = Scope.READ if request.method in READING_METHODS else Scope.WRITE
    if needed not in record.scopes:
        raise Forbidden(f"this token lacks the scope `{needed}`: make another", code="insufficient_scope")
    if record.last_used_at is None or now - record.last_used_at > TOUCH_EVERY:
        # Only for people to see: who may read must not depend on whether anything can be written.
        with suppress(Unavailable):
            await parts.db.change(touch_token, token_id=record.id, now=now, agents=())
    return Asker(account.id, account.email, record.scopes)


async def _require_session(request: Request) -> Session:
    """The live session of a request; raises Unauthenticated, or Forbidden for a change that lacks its token."""
    session = await find_session(request)
    if session is None:
        raise Unauthenticated("sign in, or send a live personal API token: `Authorization: Bearer wkt_...`")
    jar = parts_of(request).jar
    cookie = jar.value_in(request)
    if request.method not in READING_METHODS and cookie is not None:
        jar.check_site(request)
        jar.check_token(request, cookie)
    return session


def owes(debt: Debt) -> Forbidden:
    """What is owed first."""
    match debt:
        case Debt.SHOW:
            return Forbidden(
                "show your second factor first: `POST /api/auth/mfa/verify`", code="mfa_required"
            )
        case Debt.SET_UP:
            return Forbidden(
                "this instance asks for a second factor: begin with `POST /api/auth/mfa/setup`",
                code="mfa_setup_required",
            )
        case _:
            assert_never(debt)


async def still_asks(request: Request) -> bool:
    """Whether who asked still may, long after; to look is no use of a session, which goes on ageing."""
    parts = parts_of(request)
    if has_authorization(request):
        return await find_token(request) is not None
    cookie, terms = parts.jar.value_in(request), parts.sign_in.rules.terms
    if cookie is None:
        return False
    session = await parts.db.read(find_live, cookie=cookie, terms=terms, now=parts.now())
    return session is not None and session.debt(terms) is None


async def find_session(request: Request) -> Session | None:
    """The live session of the request's cookie."""
    parts = parts_of(request)
    cookie = parts.jar.value_in(request)
    return None if cookie is None else await parts.sign_in.find(cookie)


async def find_token(request: Request) -> tuple[Account, ApiToken] | None:
    """The live token of a request, and whose it is."""
    parts = parts_of(request)
    token = bearer_of(request)
    return None if token is None else await parts.db.read(find_live_token, token=token, now=parts.now())


def has_authorization(request: Request) -> bool:
    """Whether a request says by itself who asks: then its cookies say nothing."""
    return "authorization" in request.headers


def bearer_of(request: Request) -> str | None:
    """The one bearer of a request; two of them are none."""
    headers = request.headers.getlist("authorization")
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    return token.strip(" ") if scheme.lower() == "bearer" else None


async def _check_body(request: Request) -> None:
    body = await request.body()
    if not body:
        return
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise WicketError(
            "send JSON, with `Content-Type: application/json`", code="unsupported_media_type", status=415
        )
    try:
        parse_json(body)
    except Refused as refused:
        raise Invalid(refused.sentence, field="body") from refused


class PageQuery(In):
    """`limit` and `offset`, or the `nextCursor` of the page before."""

    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_MAX)
    offset: int = Field(0, ge=0, le=OFFSET_MAX)
    cursor: Text | None = None

    @property
    def start(self) -> int:
        """Where the page begins; raises Invalid for a cursor that is none of ours."""
        return self.offset if self.cursor is None else _parse_cursor(self.cursor)

    def next_cursor(self, total: int) -> str | None:
        """Where the next page begins, if there is one."""
        end = self.start + self.limit
        return urlsafe_b64encode(str(end).encode()).decode() if end < total else None


def _parse_cursor(cursor: str) -> int:
    try:
        start = int(urlsafe_b64decode(cursor.encode()))
    except (binascii.Error, ValueError) as error:
        raise Invalid("`cursor` is the `nextCursor` of an earlier answer", field="cursor") from error
    if not 0 <= start <= OFFSET_MAX:
        raise Invalid("`cursor` is the `nextCursor` of an earlier answer", field="cursor")
    return start
