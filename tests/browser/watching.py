"""What a page must never do, noticed while it is used: every visit ends with `troubles` that have to be none."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Request, Response, WebError

OF_NO_HOST: Final = frozenset({"data", "blob", "about"})
STATUS_LINE: Final = "Failed to load resource: the server responded with a status of "
"""What Chromium writes for every answer from 400 on, which is looked at by itself."""
TELL_VIOLATIONS: Final = """
document.addEventListener("securitypolicyviolation", (event) => {
    const what = event.blockedURI || event.sample || "something";
    console.error(`content security policy: ${event.effectiveDirective} forbids ${what}`);
});
"""


@dataclass
class Watch:
    """Collects what goes wrong on all the pages of a browser context."""

    origin: str
    expected: list[re.Pattern[str]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    rests: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing is asked for; a stream that stays open does not count."""
    _under_way: set[Request] = field(default_factory=set)

    async def over(self, context: BrowserContext) -> None:
        """Begin; pages that are open already are not seen."""
        context.on("console", self._on_console)
        context.on("weberror", self._on_exception)
        context.on("request", self._on_request)
        context.on("response", self._on_response)
        context.on("requestfinished", self._on_end)
        context.on("requestfailed", self._on_end)
        self.rests.set()
        await context.add_init_script(TELL_VIOLATIONS)

    def expect(self, pattern: str) -> None:
        """Call no trouble what says this, `400 POST /api/auth/verify`: the test provokes it."""
        self.expected.append(re.compile(pattern))
        self.troubles = [one for one in self.troubles if not self._is_expected(one)]

    def _is_expected(self, trouble: str) -> bool:
        return any(pattern.search(trouble) for pattern in self.expected)

    def _note(self, trouble: str) -> None:
        if not self._is_expected(trouble):
            self.troubles.append(trouble)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "assert"} and not message.text.startswith(STATUS_LINE):
            self._note(f"console: {message.text}")

    def _on_exception(self, error: WebError) -> None:
        self._note(f"uncaught: {error.error}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in OF_NO_HOST and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self._note(f"another host: {request.method} {request.url}")
        if "text/event-stream" not in request.headers.get("accept", ""):
            self._under_way.add(request)
            self.rests.clear()

    def _on_end(self, request: Request) -> None:
        self._under_way.discard(request)
        if not self._under_way:
            self.rests.set()

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self._note(f"{response.status} {response.request.method} {urlsplit(response.url).path}")
