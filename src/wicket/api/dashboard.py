"""The dashboard as it is served: one page at every address of it, and the files that this page is made of.

What may be asked for is a table, made from the folder when an instance starts: no path of a request reaches the disk.
"""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

STATIC: Final = Path(__file__).parent.parent / "static"
"""Where `make dashboard` leaves it: no part of the repository, and a part of every wheel."""
NONCE_MARK: Final = "NONCE-OF-THIS-ANSWER"
"""What stands in the built page for a nonce: see `dashboard/vite.config.ts`."""
NONCE_BYTES: Final = 18
PAGES: Final = frozenset({"", "sign-in", "agents", "audit", "connectors", "changes", "account"})
"""How the address of a page begins: a test holds it against the table of `dashboard/src/app/router.tsx`."""
READING: Final = ("GET", "HEAD")
KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
ENCODINGS: Final = {"br": ".br", "gzip": ".gz"}
"""The one that is tried first first, and how its files end."""
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE_HEADERS: Final = {
    **HEADERS,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NOT_BUILT: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Wicket</title>
<meta name="color-scheme" content="light dark"></head>
<body><h1>The dashboard is not built</h1>
<p>This Wicket runs from a checkout: run <code>make dashboard</code> there, then start it again.
A wheel of a release brings its dashboard along.</p>
<p>Everything else works: the proxy at <code>/mcp</code>, <a href="/api/docs">the REST API</a>,
and the command line.</p></body></html>
"""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the dashboard, and the same compressed."""

    path: Path
    kind: str
    digest: str
    is_hashed: bool
    """Whether its name holds a digest of what is in it, so that it never changes."""
    encodings: tuple[str, ...]

    def answer(self, asked: Headers) -> tuple[Mapping[str, str], Path | None]:
        """Headers and what to send, for what a browser says it takes; nothing is sent of what it has."""
        taken = _taken(asked.get("accept-encoding", ""))
        encoding = next((one for one in self.encodings if one in taken), None)
        etag = f'"{self.digest}-{encoding}"' if encoding else f'"{self.digest}"'
        headers = {
            **HEADERS,
            "Cache-Control": "public, max-age=31536000, immutable" if self.is_hashed else "no-cache",
            "ETag": etag,
            "Vary": "Accept-Encoding",
        }
        if etag in {one.strip().removeprefix("W/") for one in asked.get("if-none-match", "").split(",")}:
            return headers, None
        if encoding is None:
            return headers, self.path
        sent = self.path.with_name(self.path.name + ENCODINGS[encoding])
        return {**headers, "Content-Encoding": encoding}, sent


class Dashboard:
    """What is served beside the API; an ASGI application for the paths that `serves` says are its own."""

    def __init__(self, static: Path = STATIC) -> None:
        self._files = {f"/{file.path.relative_to(static).as_posix()}": file for file in _files_in(static)}
        page = static / "index.html"
        self._page = page.read_text(encoding="utf-8") if page.is_file() else None

    def serves(self, path: str) -> bool:
        """Whether there is a page or a file at a path."""
        return path in self._files or path.split("/")[1] in PAGES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(scope["method"], scope["path"], Headers(scope=scope))
        await answer(scope, receive, send)

    async def _answer(self, method: str, path: str, asked: Headers) -> Response:
        if method not in READING:
            return Response(status_code=405, headers={**HEADERS, "Allow": ", ".join(READING)})
        file = self._files.get(path)
        if file is None:
            return self._render_page()
        headers, sent = file.answer(asked)
        if sent is None:
            return Response(status_code=304, headers=headers)
        return Response(await asyncio.to_thread(sent.read_bytes), 200, headers, media_type=file.kind)

    def _render_page(self) -> Response:
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        headers = {**PAGE_HEADERS, "Content-Security-Policy": POLICY.format(nonce=nonce)}
        if self._page is None:
            return Response(NOT_BUILT, 503, headers, media_type="text/html")
        return Response(self._page.replace(NONCE_MARK, nonce), 200, headers, media_type="text/html")


def _files_in(static: Path) -> list[File]:
    """What browsers may fetch; none when nothing was built."""
    return [
        File(
            path,
            KINDS[path.suffix],
            sha256(path.read_bytes()).hexdigest()[:32],
            is_hashed=path.parent.name == "assets",
            encodings=tuple(
                name for name, ending in ENCODINGS.items() if path.with_name(path.name + ending).is_file()
            ),
        )
        for path in sorted(static.rglob("*"))
        if path.suffix in KINDS
    ]


def _taken(accepted: str) -> set[str]:
    """The encodings of an `Accept-Encoding` (RFC 9110 section 12.5.3); `*` is nobody's whom we serve."""
    parts = (one.replace(" ", "").lower().partition(";q=") for one in accepted.split(","))
    return {name for name, _, weight in parts if weight.strip("0.") or not weight}
