"""MCP towards upstreams. A call is forwarded for a `Recorded` and nothing else; lists are fetched and kept."""

import secrets
import time
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from wicket.core.errors import UpstreamFailed, WicketError
from wicket.core.jsonrpc import Era, ParamHeader, RequestId, param_headers
from wicket.core.model import Call, Connector, ConnectorKind, JsonObject
from wicket.runtime.upstream.http import HttpTransport, SessionGone
from wicket.runtime.upstream.links import Links
from wicket.runtime.upstream.lists import ToolLists
from wicket.runtime.upstream.pages import read_pages
from wicket.runtime.upstream.reply import UpstreamReply, answer_of
from wicket.runtime.upstream.standing import Said, Standing
from wicket.runtime.upstream.values import Answer, Exchange, LocalServers, Outgoing, Target, UpstreamLimits
from wicket.runtime.wire import BeforeFirstByte, Wire, broken, header_lines, unreachable

if TYPE_CHECKING:
    from wicket.runtime.recorder import Recorded

TOOLS_CALL: Final = "tools/call"
FIRST_ID_BITS: Final = 48
CLIENT_ERRORS: Final = range(400, 500)
NOT_OF_THE_LINK: Final = frozenset({401, 403, 408, 413, 429})
"""Failing statuses that say nothing about the session or the era."""


class Upstream:
    """The upstreams of this process. `stop` it on the event loop that used it."""

    def __init__(
        self,
        *,
        wire: Wire,
        stdio: LocalServers | None,
        limits: UpstreamLimits,
        client_version: str,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._stdio = stdio
        self._http = HttpTransport(
            wire, limits=limits, client_version=client_version, first_id=secrets.randbits(FIRST_ID_BITS)
        )
        self._links = Links(self._http, limits=limits, client_version=client_version)
        self._standing = Standing(self._http, self._links, limits)
        self._lists = ToolLists(self._ask, limits=limits, now_s=now_s)
        if stdio is not None:
            stdio.on_list_changed(lambda key: self.forget(service=key))

    async def forward(
        self,
        recorded: "Recorded",
        target: Target,
        *,
        meta: JsonObject,
        progress_token: RequestId | None,
        before_first_byte: BeforeFirstByte | None,
        capabilities: JsonObject | None = None,
        inputs: JsonObject | None = None,
        asks: Collection[str] = (),
    ) -> UpstreamReply:
        """Send the call that was recorded as allowed, at most once, and wait for the head of its answer.

        `capabilities` are what the client can do, `inputs` what it brings of an earlier round, and `asks` the
        requests of the upstream that it answers in the middle of a call.
        `before_first_byte` is awaited when the connection is there; what it raises comes out, and nothing is
        sent. Raises UpstreamFailed (502, 504).
        """
        call = recorded.call
        if not recorded.allowed or call is None or call.service != target.connector.key:
            raise WicketError("a call was about to be forwarded that is not recorded as allowed")
        service, owner = target.connector.key, target.owner
        timeout_s = target.connector.upstream_timeout_s or self._limits.timeout_s
        outgoing = Outgoing(
            call.method,
            _params_of(call) | inputs if inputs else _params_of(call),
            self._limits.asking_timeout_s if asks else timeout_s,
            self._limits.exchange_s_max,
            meta=meta,
            capabilities=capabilities or {},
            wants_progress=progress_token is not None,
            before_first_byte=before_first_byte,
        )
        return UpstreamReply(
            await self._open(target, outgoing),
            service=service,
            progress_token=progress_token,
            outdated=partial(self._lists.forget, owner=owner, service=service),
            asks=asks,
        )

    async def start(self, connector: Connector) -> None:
        """Where it is a local server, come back once it runs: it may take longer than a list; raises UpstreamFailed."""
        if connector.kind is ConnectorKind.STDIO and self._stdio is not None:
            await self._stdio.start(connector.key)

    async def list_tools(self, target: Target) -> list[JsonObject]:
        """Every tool of the upstream as it describes them, at most a minute old; not to be changed.

        Raises UpstreamFailed within the time that a list has, and at once for a while after a failure.
        """
        return list((await self._lists.of(target)).tools)

    async def list_others(self, target: Target, method: str, key: str) -> list[JsonObject] | None:
        """What `method` (`prompts/list`, `resources/list`...) lists; None where the upstream has none of it."""
        return await read_pages(self._ask, target, method, key, self._limits)

    async def capabilities(self, target: Target) -> tuple[JsonObject, Era]:
        """What the upstream says that it can do, and in which era; raises UpstreamFailed."""
        if target.connector.kind is ConnectorKind.STDIO:
            return {"tools": {}}, Era.LEGACY
        link = await self._links.of(target)
        return link.capabilities, link.era

    def listening(
        self, target: Target, wanted: JsonObject, before_first_byte: BeforeFirstByte | None
    ) -> AbstractAsyncContextManager[Said | None]:
        """See `Standing.listening`. Subscriptions to resources must have been recorded as allowed."""
        return self._standing.listening(target, wanted, before_first_byte)

    def attending(self, target: Target) -> AbstractAsyncContextManager[Said | None]:
        """See `Standing.attending`."""
        return self._standing.attending(target)

    async def set_level(self, target: Target, level: str) -> None:
        """Tell a legacy upstream which log messages its session wants; raises UpstreamFailed."""
        link = await self._links.of(target)
        if link.era is Era.LEGACY and "logging" in link.capabilities:
            await self._ask(
                target, Outgoing("logging/setLevel", {"level": level}, self._limits.list_timeout_s)
            )

    def leave(self, target: Target) -> None:
        """End a client's own session, if there is one."""
        link = self._links.take(target)
        if link is not None and link.session_id is not None:
            self._http.leave(target, link)

    def mirrored(self, owner: str, service: str, tool: str) -> tuple[ParamHeader, ...]:
        """The arguments of a tool that go into headers too, by the list at hand; none where there is no list."""
        return self._lists.known_headers(owner, service, tool)

    def forget(self, *, owner: str | None = None, service: str | None = None) -> None:
        """Drop cached lists of an owner, of a service, or both."""
        self._lists.forget(owner=owner, service=service)

    def forget_sessions(self, *, owner: str | None = None, url: str | None = None) -> None:
        """Drop sessions of an owner, at an address, or both: after a credential was replaced or removed."""
        self._links.forget(owner=owner, url=url)

    async def stop(self) -> None:
        """Cancel what is under way aside of calls; the wire and the local servers are stopped by their owner."""
        await self._lists.stop()
        await self._links.stop()
        await self._http.stop()

    async def _open(self, target: Target, outgoing: Outgoing, *, is_again: bool = False) -> Exchange:
        """Send, and once more where the upstream does not know the session: it has not looked at the request then."""
        service = target.connector.key
        if target.connector.kind is ConnectorKind.STDIO:
            if self._stdio is None:
                raise unreachable(service, "no local servers are configured")
            return await self._stdio.open(service, outgoing)
        link = await self._links.of(target)
        if link.era is Era.MODERN and outgoing.method == TOOLS_CALL:
            outgoing = await self._mirroring(target, outgoing)
        try:
            return await self._http.open(target, link, outgoing)
        except SessionGone as gone:
            self._links.drop(target, link)
            if is_again:
                raise broken(service, "it forgets sessions that it has just begun") from gone
        except UpstreamFailed as failed:
            status = failed.facts.get("upstream_status")
            if isinstance(status, int) and status not in NOT_OF_THE_LINK and status in CLIENT_ERRORS:
                self._links.drop(target, link)
            raise
        return await self._open(target, outgoing, is_again=True)

    async def _mirroring(self, target: Target, outgoing: Outgoing) -> Outgoing:
        """The call with those of its arguments in headers that the upstream's list of tools wants there."""
        tool, arguments = outgoing.params["name"], outgoing.params["arguments"]
        wanted = await self._lists.headers_of(target, str(tool))
        if not wanted or not isinstance(arguments, dict):
            return outgoing
        return replace(outgoing, param_lines=header_lines(param_headers(wanted, arguments)))

    async def _ask(self, target: Target, outgoing: Outgoing) -> tuple[Answer, Era]:
        exchange = await self._open(target, outgoing)
        return await answer_of(exchange, service=target.connector.key), exchange.era


def _params_of(call: Call) -> JsonObject:
    """Only what was decided: the unprefixed tool and its arguments; other methods are all arguments."""
    if call.method == TOOLS_CALL:
        return {"name": call.tool, "arguments": call.arguments}
    return call.arguments
