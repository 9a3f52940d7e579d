"""The API joined together: every group of endpoints, one form of errors, one description."""

from functools import cache
from typing import Any, Final

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wicket.api import (
    agents,
    audit,
    auth,
    changes,
    connectors,
    docs,
    entities,
    explaining,
    health,
    invites,
    linting,
    me,
    members,
    mock_calls,
    onboarding,
    policies,
    problems,
    reading,
    simulate,
    stats,
    tokens,
    tool_sessions,
    tools,
    versions,
)
from wicket.api.dashboard import Dashboard
from wicket.api.description import complete
from wicket.api.http import BODY_BYTES_MAX, ApiParts
from wicket.core.errors import WicketError

GROUPS: Final = (
    docs,
    health,
    auth,
    me,
    tokens,
    agents,
    members,
    invites,
    onboarding,
    connectors,
    tools,
    entities,
    policies,
    linting,
    simulate,
    versions,
    tool_sessions,
    mock_calls,
    # Before `audit`, which would take their names for ids of entries.
    stats,
    changes,
    reading,
    audit,
    explaining,
)
BODILESS: Final = frozenset({204, 304})
HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""No cache keeps it, no browser guesses or shows it as a page, no other site holds it; an endpoint may say else."""


class Api(FastAPI):
    """FastAPI, whose description says who may ask and what really comes back."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document."""
        if self.openapi_schema is None:
            complete(super().openapi())
        schema: dict[str, Any] = self.openapi_schema or {}
        return schema


class Envelope:
    """Around every request: a bound on its body. Around every answer: what browsers are told, see `HEADERS`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received_bytes = 0

        async def bounded() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > BODY_BYTES_MAX:
                raise WicketError(
                    f"a body has at most {BODY_BYTES_MAX} bytes: send less at once",
                    code="body_too_large",
                    status=413,
                )
            return message

        async def private(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if message["status"] in BODILESS:
                    del headers["Content-Type"]
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, bounded, private)


class Served:
    """The API over the parts of one instance, and the dashboard beside it."""

    def __init__(self, api: Api, parts: ApiParts, dashboard: Dashboard) -> None:
        self.api = api
        self.parts = parts
        self._dashboard = dashboard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._dashboard.serves(scope["path"]):
            await self._dashboard(scope, receive, send)
            return
        state = {**scope.get("state", {}), "parts": self.parts}
        await self.api({**scope, "state": state}, receive, send)


def build_api(parts: ApiParts, *, dashboard: Dashboard | None = None) -> Served:
    """The REST API, and the dashboard that is built, as an ASGI application; it needs no lifespan."""
    return Served(_joined(parts.version), parts, dashboard or Dashboard())


def describe_api(version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of this version, without a server."""
    return _joined(version).openapi()


@cache
def _joined(version: str) -> Api:
    """Built once: the routes are the same for every instance, and take a third of a second."""
    api = Api(
        title="Wicket",
        version=version,
        summary="An authorization proxy for AI agents that speak MCP",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    problems.install(api)
    api.add_middleware(Envelope)
    for group in GROUPS:
        api.include_router(group.routes())
    return api
