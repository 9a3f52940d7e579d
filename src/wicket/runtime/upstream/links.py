"""How each upstream is spoken to: its era, remembered by address, and one legacy session for each owner."""

import asyncio
from collections import OrderedDict
from dataclasses import replace
from typing import Final, TypeAlias, TypeVar

from wicket.core.errors import RpcCode, UpstreamFailed
from wicket.core.jsonrpc import LEGACY_VERSIONS, MODERN_VERSIONS, Era, render_notification
from wicket.core.model import Json, JsonObject
from wicket.runtime.upstream.envelope import BEFORE_INITIALIZE, Link, initialize_params
from wicket.runtime.upstream.flight import SingleFlight
from wicket.runtime.upstream.http import HttpTransport
from wicket.runtime.upstream.reply import answer_of
from wicket.runtime.upstream.values import (
    Answer,
    CredentialRejected,
    Outgoing,
    Target,
    UpstreamLimits,
)
from wicket.runtime.wire import broken, timed_out
from wicket.runtime.wire.values import BROKEN

ERAS_MAX: Final = 10_000
SESSION_ID_CHARS_MAX: Final = 1_024
_MODERN_ERRORS: Final = frozenset(
    {RpcCode.HEADER_MISMATCH, RpcCode.MISSING_CLIENT_CAPABILITY, RpcCode.UNSUPPORTED_VERSION}
)

K = TypeVar("K")
LinkKey: TypeAlias = tuple[str, str, str]
"""(owner, address, the client's own session or nothing)."""


class Links:
    """Bounded; what was used longest ago is forgotten first, and made again when it is needed."""

    def __init__(self, transport: HttpTransport, *, limits: UpstreamLimits, client_version: str) -> None:
        self._transport = transport
        self._limits = limits
        self._client_version = client_version
        self._links: OrderedDict[LinkKey, Link] = OrderedDict()
        self._eras: OrderedDict[str, Link] = OrderedDict()
        """Address -> the link before a session."""
        self._flights: SingleFlight[LinkKey, Link] = SingleFlight()

    async def of(self, target: Target) -> Link:
        """The link of an owner to an upstream, made where there is none; raises UpstreamFailed."""
        key = _key(target)
        link = self._links.get(key)
        if link is not None:
            self._links.move_to_end(key)
            return link
        return await self._flights.run(key, lambda: self._establish(target, key))

    def drop(self, target: Target, link: Link) -> None:
        """Forget this link, unless another has taken its place already; the era is found out anew too."""
        key = _key(target)
        if self._links.get(key) is link:
            del self._links[key]
        if link.session_id is None:
            self._eras.pop(target.connector.url, None)

    def forget(self, *, owner: str | None, url: str | None) -> None:
        """Forget the sessions of an owner, of an upstream, or of both at once."""
        for key in [*self._links, *self._flights.keys()]:
            if owner in {None, key[0]} and url in {None, key[1]}:
                self._links.pop(key, None)
                self._flights.forget(key)

    def take(self, target: Target) -> Link | None:
        """The link of a client's own session, which is forgotten; None where it had none of its own."""
        self._flights.forget(_key(target))
        link = self._links.pop(_key(target), None)
        return None if link is self._links.get(_key(replace(target, declared=None))) else link

    async def stop(self) -> None:
        """Cancel what is under way."""
        await self._flights.stop()

    async def _establish(self, target: Target, key: LinkKey) -> Link:
        timeout_s = target.connector.upstream_timeout_s or self._limits.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                link = await self._begin(target, timeout_s)
        except TimeoutError as error:
            raise timed_out(target.connector.key, timeout_s) from error
        if self._flights.is_current(key):
            _remember(self._links, key, link, self._limits.sessions_max)
        return link

    async def _begin(self, target: Target, timeout_s: float) -> Link:
        if target.declared is not None:
            return await self._begin_own(target, timeout_s)
        url = target.connector.url
        plain = self._eras.get(url) or await self._probe(target, timeout_s)
        link = plain if plain.era is Era.MODERN else await self._initialize(target, timeout_s)
        # A legacy era is only believed once a session could be begun.
        _remember(self._eras, url, plain, ERAS_MAX)
        return link

    async def _begin_own(self, target: Target, timeout_s: float) -> Link:
        """A session for one client; an upstream that begins none is spoken to as for everybody."""
        try:
            return await self._initialize(target, timeout_s)
        except CredentialRejected:
            raise
        except UpstreamFailed as failed:
            if failed.code != BROKEN:
                raise
        return await self.of(replace(target, declared=None))

    async def _probe(self, target: Target, timeout_s: float) -> Link:
        """Whatever is no sign of a modern server is taken for a legacy one.

        MCP 2026-07-28, basic/transports/streamable-http, "Backward Compatibility".
        """
        modern = Link(Era.MODERN, MODERN_VERSIONS[-1])
        try:
            answer, _ = await self._ask(target, modern, Outgoing("server/discover", {}, timeout_s))
        except CredentialRejected:
            raise
        except UpstreamFailed as failed:
            if failed.code != BROKEN:
                raise
            return BEFORE_INITIALIZE
        if answer.error is None:
            result = answer.result or {}
            version = _newest(result.get("supportedVersions"), MODERN_VERSIONS)
            if version is None:
                return BEFORE_INITIALIZE
            return Link(Era.MODERN, version, capabilities=_capabilities(result))
        if answer.error["code"] not in _MODERN_ERRORS:
            return BEFORE_INITIALIZE
        data = answer.error.get("data")
        supported = data.get("supported") if isinstance(data, dict) else None
        if answer.error["code"] != RpcCode.UNSUPPORTED_VERSION or _newest(supported, MODERN_VERSIONS):
            return modern
        if _newest(supported, LEGACY_VERSIONS):
            return BEFORE_INITIALIZE
        raise broken(target.connector.key, "it speaks no version of MCP that is known here")

    async def _initialize(self, target: Target, timeout_s: float) -> Link:
        service = target.connector.key
        declared = None if target.declared is None else target.declared.capabilities
        outgoing = Outgoing("initialize", initialize_params(self._client_version, declared), timeout_s)
        answer, session_id = await self._ask(target, BEFORE_INITIALIZE, outgoing)
        version = (answer.result or {}).get("protocolVersion")
        if answer.error is not None or version not in LEGACY_VERSIONS or not isinstance(version, str):
            raise broken(service, "it does not begin a session")
        if session_id is not None and not _is_session_id(session_id):
            raise broken(service, "its session has an id that cannot be sent back")
        link = Link(Era.LEGACY, version, session_id, _capabilities(answer.result or {}))
        await self._transport.post(target, link, render_notification("notifications/initialized"))
        return link

    async def _ask(self, target: Target, link: Link, outgoing: Outgoing) -> tuple[Answer, str | None]:
        """The answer to a request of our own, and the session that came with it."""
        exchange = await self._transport.open(target, link, outgoing)
        answer = await answer_of(exchange, service=target.connector.key)
        session_id = exchange.headers.get(b"mcp-session-id")
        return answer, None if session_id is None else session_id.decode("latin-1")


def _key(target: Target) -> LinkKey:
    return target.owner, target.connector.url, "" if target.declared is None else target.declared.session


def _capabilities(result: JsonObject) -> JsonObject:
    said = result.get("capabilities")
    return said if isinstance(said, dict) else {}


def _newest(offered: Json, known: tuple[str, ...]) -> str | None:
    versions = offered if isinstance(offered, list) else []
    return next((version for version in reversed(known) if version in versions), None)


def _is_session_id(text: str) -> bool:
    return 0 < len(text) <= SESSION_ID_CHARS_MAX and text.isascii() and text.isprintable() and " " not in text


def _remember(kept: "OrderedDict[K, Link]", key: K, value: Link, size_max: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > size_max:
        kept.popitem(last=False)
