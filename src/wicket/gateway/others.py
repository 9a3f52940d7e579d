"""Methods that decide nothing: the handshake, lists, and what concerns only the way in which we speak."""

from dataclasses import replace

from wicket import __version__
from wicket.core.errors import Refused, RpcCode, WicketError
from wicket.core.jsonrpc import Era, Request
from wicket.core.world import MemberKey, World
from wicket.gateway import answers
from wicket.gateway.client_sessions import McpSessions
from wicket.gateway.http import Outbound
from wicket.gateway.legacy_sessions import LEVELS, LegacySession, LegacySessions
from wicket.gateway.listing import Listing
from wicket.gateway.offers import OFFERS, Offers
from wicket.runtime.credentials import Credentials
from wicket.runtime.upstream import Upstream


class Others:
    """Answers them, for a caller who is admitted and a service that is enabled."""

    def __init__(
        self,
        *,
        listing: Listing,
        offers: Offers,
        mcp_sessions: McpSessions,
        legacy: LegacySessions,
        upstream: Upstream,
        credentials: Credentials,
    ) -> None:
        self._listing = listing
        self._offers = offers
        self._mcp_sessions = mcp_sessions
        self._legacy = legacy
        self._upstream = upstream
        self._credentials = credentials

    async def answer(
        self,
        request: Request,
        world: World,
        key: MemberKey,
        bearer: str,
        service: str | None,
        session: LegacySession | None,
    ) -> Outbound:
        """The answer; raises Refused."""
        match request.method:
            case "tools/list":
                _refuse_cursor(request)
                return answers.listed(
                    request, "tools", await self._listing.tools(world, key, bearer, service)
                )
            case method if method in OFFERS and (service is not None or OFFERS[method].is_prefixed):
                _refuse_cursor(request)
                items = await self._offers.listed(method, world, key, bearer, service)
                if items is None:
                    raise answers.method_not_found(request)
                return answers.listed(request, OFFERS[method].key, items)
            case "initialize" if request.era is Era.LEGACY:
                return await self._initialized(request, world, key, bearer, service)
            case "ping" if request.era is Era.LEGACY:
                return answers.done(request)
            case "logging/setLevel" if request.era is Era.LEGACY:
                return await self._levelled(request, world, key, bearer, session)
            case "server/discover" if request.era is Era.MODERN:
                able = await self._offers.capabilities(world, key, bearer, Era.MODERN, service)
                return answers.discovered(request, version=__version__, capabilities=able)
            case _:
                raise answers.method_not_found(request)

    async def end(self, session: LegacySession, world: World, key: MemberKey, bearer: str) -> None:
        """A legacy session is over: the upstream's end of it too."""
        self._legacy.end(session.id)
        if session.service is None or session.service not in world.services:
            return
        try:
            target = await self._credentials.target(world, key, session.service, bearer)
        except WicketError:
            return
        self._upstream.leave(replace(target, declared=session.declared))

    async def _initialized(
        self, request: Request, world: World, key: MemberKey, bearer: str, service: str | None
    ) -> Outbound:
        session_id = self._mcp_sessions.issue(
            key.id, client_name=request.client_name, client_version=request.client_version
        )
        session = self._legacy.open(session_id, service, request.capabilities)
        able = await self._offers.capabilities(world, key, bearer, Era.LEGACY, session or service)
        return answers.initialized(request, version=__version__, session_id=session_id, capabilities=able)

    async def _levelled(
        self, request: Request, world: World, key: MemberKey, bearer: str, session: LegacySession | None
    ) -> Outbound:
        """The level holds for what passes here, whatever the upstream makes of it."""
        level = request.params.get("level")
        if not isinstance(level, str) or level not in LEVELS:
            raise Refused(f"`level` must be one of {', '.join(LEVELS)}", rpc_code=RpcCode.INVALID_PARAMS)
        if session is None:
            return answers.done(request)
        session.level = level
        if session.service is not None:
            try:
                target = await self._credentials.target(world, key, session.service, bearer)
                await self._upstream.set_level(replace(target, declared=session.declared), level)
            except WicketError:
                return answers.done(request)
        return answers.done(request)


def _refuse_cursor(request: Request) -> None:
    if request.params.get("cursor") is not None:
        raise answers.unknown_cursor()
