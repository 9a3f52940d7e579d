"""The cookie of a dashboard session, and how a request that it comes with is told from one that a foreign page sends.

A browser sends cookies along whoever made it send the request. So a change needs three things beside: a token that
only a page of ours can read, no foreign `Origin`, and no `Sec-Fetch-Site` that says otherwise.
"""

import hmac
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from fastapi import Request, Response

from wicket.core.errors import Forbidden
from wicket.store.dashboard_sessions import AGE_MAX

CSRF_HEADER: Final = "X-Wicket-CSRF"
OWN_SITES: Final = frozenset({"same-origin", "none"})
_NAME: Final = "wicket_session"
_CSRF_LABEL: Final = b"wicket/csrf/1"
_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Jar:
    """How this instance's cookie is called and kept, and which origins its pages have."""

    name: str
    is_secure: bool
    origins: frozenset[str]

    @classmethod
    def of(cls, public_url: str) -> "Jar":
        """For the address that browsers use.

        `__Host-` binds the cookie to exactly this host, by https. Browsers do not agree on whether plain http on
        loopback may set such a cookie, so there, and only there, it has neither the prefix nor `Secure`.
        """
        parts = urlsplit(public_url)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        if parts.scheme == "http" and is_loopback(parts.hostname or ""):
            port = "" if parts.port is None else f":{parts.port}"
            spellings = {f"http://{name}{port}" for name in _LOOPBACK_NAMES}
            return cls(_NAME, is_secure=False, origins=frozenset({origin, *spellings}))
        return cls(f"__Host-{_NAME}", is_secure=True, origins=frozenset({_without_default_port(parts)}))

    def value_in(self, request: Request) -> str | None:
        """The cookie of a request; two of them are none, since nobody knows which of them was planted."""
        pairs = (
            pair.strip().partition("=")
            for header in request.headers.getlist("cookie")
            for pair in header.split(";")
        )
        values = [value for name, _, value in pairs if name == self.name]
        return values[0] if len(values) == 1 and values[0] else None

    def put(self, response: Response, value: str) -> None:
        """Have the browser keep it. When a session ends is the server's to say, not the cookie's."""
        response.set_cookie(
            self.name,
            value,
            max_age=AGE_MAX // _SECOND,
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )

    def drop(self, response: Response) -> None:
        """Have the browser forget it."""
        response.delete_cookie(self.name, path="/", secure=self.is_secure, httponly=True, samesite="lax")

    def check_site(self, request: Request) -> None:
        """Refuse what a foreign page sends; raises Forbidden `csrf_failed`."""
        origins = request.headers.getlist("origin")
        sites = request.headers.getlist("sec-fetch-site")
        if any(origin.lower() not in self.origins for origin in origins) or not OWN_SITES.issuperset(sites):
            raise Forbidden(
                "this request comes from another site: use the dashboard itself", code="csrf_failed"
            )

    def check_token(self, request: Request, cookie: str) -> None:
        """Refuse a change without the session's token; raises Forbidden `csrf_failed`."""
        sent = request.headers.getlist(CSRF_HEADER)
        if len(sent) != 1 or not hmac.compare_digest(sent[0].encode(), csrf_token(cookie).encode()):
            raise Forbidden(
                f"send the `csrfToken` of `/api/auth/status` in the header `{CSRF_HEADER}`",
                code="csrf_failed",
            )


def csrf_token(cookie: str) -> str:
    """What proves that a page could read an answer of ours. Made from the cookie, it changes with the session."""
    return hmac.digest(cookie.encode(), _CSRF_LABEL, "sha256").hex()


def is_loopback(host: str) -> bool:
    """Whether a name or address means this host itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _without_default_port(parts: SplitResult) -> str:
    """An origin as browsers write it (RFC 6454 section 6.2)."""
    default = 443 if parts.scheme == "https" else 80
    netloc = parts.netloc.removesuffix(f":{default}") if parts.port == default else parts.netloc
    return f"{parts.scheme}://{netloc}".lower()
