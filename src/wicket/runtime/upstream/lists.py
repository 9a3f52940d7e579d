"""Tool lists of upstreams: every page, bounded, one for each owner and service, kept for a minute."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from wicket.core.errors import Invalid, Refused, UpstreamFailed
from wicket.core.jsonrpc import Era, ParamHeader, parse_param_headers, tool_call
from wicket.core.model import Json, JsonObject
from wicket.runtime.upstream.flight import SingleFlight
from wicket.runtime.upstream.values import Answer, Outgoing, Target, UpstreamLimits
from wicket.runtime.wire import broken, timed_out

ListKey: TypeAlias = tuple[str, str]
"""(owner, service)."""
Ask: TypeAlias = Callable[[Target, Outgoing], Awaitable[tuple[Answer, Era]]]

_PAGE_CHARS_MAX: Final = 4_096
"""Of a cursor."""


@dataclass(frozen=True, slots=True)
class ToolList:
    """What an upstream listed for one owner."""

    tools: tuple[JsonObject, ...] = ()
    headers: dict[str, tuple[ParamHeader, ...]] = field(default_factory=dict)
    """Tool -> the parameters that it wants mirrored into headers, where there are any."""
    size: int = 0
    """About as many bytes."""
    failed: UpstreamFailed | None = None
    at_s: float = 0.0


class ToolLists:
    """What was used longest ago is forgotten first."""

    def __init__(self, ask: Ask, *, limits: UpstreamLimits, now_s: Callable[[], float]) -> None:
        self._ask = ask
        self._limits = limits
        self._now_s = now_s
        self._kept: OrderedDict[ListKey, ToolList] = OrderedDict()
        self._size = 0
        self._flights: SingleFlight[ListKey, ToolList] = SingleFlight()

    async def of(self, target: Target) -> ToolList:
        """The list as it was at most `list_ttl_s` ago; raises UpstreamFailed."""
        key = (target.owner, target.connector.key)
        kept = self._kept.get(key)
        if kept is None or not self._is_fresh(kept):
            kept = await self._flights.run(key, lambda: self._fetch(target, key))
        else:
            self._kept.move_to_end(key)
        if kept.failed is not None:
            raise kept.failed
        return kept

    async def headers_of(self, target: Target, tool: str) -> tuple[ParamHeader, ...]:
        """What of a call's arguments goes into headers, by the list at hand, however old.

        Nothing where none can be had: an upstream that needs them says so then.
        """
        kept = self._kept.get((target.owner, target.connector.key))
        if kept is None or kept.failed is not None:
            try:
                kept = await self.of(target)
            except UpstreamFailed:
                return ()
        return kept.headers.get(tool, ())

    def known_headers(self, owner: str, service: str, tool: str) -> tuple[ParamHeader, ...]:
        """As `headers_of`, by what is at hand and without asking anybody."""
        kept = self._kept.get((owner, service))
        return () if kept is None else kept.headers.get(tool, ())

    def forget(self, *, owner: str | None, service: str | None) -> None:
        """Forget the lists of an owner, of a service, or of both at once, those under way included."""
        for key in [*self._kept, *self._flights.keys()]:
            if owner in {None, key[0]} and service in {None, key[1]}:
                self._flights.forget(key)
                self._drop(key)

    async def stop(self) -> None:
        """Cancel what is under way."""
        await self._flights.stop()

    def _is_fresh(self, kept: ToolList) -> bool:
        limit_s = self._limits.list_ttl_s if kept.failed is None else self._limits.list_retry_s
        return self._now_s() - kept.at_s < limit_s

    async def _fetch(self, target: Target, key: ListKey) -> ToolList:
        limit_s = self._limits.list_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                fetched = await self._pages(target)
        except TimeoutError:
            fetched = ToolList(failed=timed_out(target.connector.key, limit_s), at_s=self._now_s())
        except UpstreamFailed as failed:
            fetched = ToolList(failed=failed, at_s=self._now_s())
        if self._flights.is_current(key):
            self._keep(key, fetched)
        return fetched

    async def _pages(self, target: Target) -> ToolList:
        """Read all pages; raises UpstreamFailed where they never end."""
        service, at_s = target.connector.key, self._now_s()
        found: dict[str, JsonObject] = {}
        headers: dict[str, tuple[ParamHeader, ...]] = {}
        cursors: set[str] = set()
        params: JsonObject = {}
        for _ in range(self._limits.list_pages_max):
            answer, era = await self._ask(target, Outgoing("tools/list", params, self._limits.list_timeout_s))
            if answer.result is None or not isinstance(listed := answer.result.get("tools"), list):
                raise broken(service, "it does not list its tools")
            for tool in listed:
                _add(tool, found, headers, era)
            if len(found) > self._limits.tools_max:
                raise broken(service, f"it lists more than {self._limits.tools_max} tools")
            cursor = answer.result.get("nextCursor")
            if cursor is None:
                return ToolList(tuple(found.values()), headers, _size_of(found), None, at_s)
            if not isinstance(cursor, str) or len(cursor) > _PAGE_CHARS_MAX or cursor in cursors:
                raise broken(service, "the pages of its list of tools lead nowhere")
            cursors.add(cursor)
            params = {"cursor": cursor}
        raise broken(service, f"its list of tools has more than {self._limits.list_pages_max} pages")

    def _keep(self, key: ListKey, fetched: ToolList) -> None:
        self._drop(key)
        self._kept[key] = fetched
        self._size += fetched.size
        while len(self._kept) > self._limits.lists_max or self._size > self._limits.lists_bytes_max:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: ListKey) -> None:
        if (dropped := self._kept.pop(key, None)) is not None:
            self._size -= dropped.size


def _add(
    tool: Json, found: dict[str, JsonObject], headers: dict[str, tuple[ParamHeader, ...]], era: Era
) -> None:
    """Take in a tool as it came.

    Left out: what has no name that could be called, the second of a name, and on modern upstreams what wants
    impossible headers, as the specification asks of clients.
    """
    if not isinstance(tool, dict):
        return
    try:
        name, _ = tool_call({"name": tool.get("name")})
        wanted = parse_param_headers(tool.get("inputSchema")) if era is Era.MODERN else ()
    except (Refused, Invalid):
        return
    if name not in found:
        found[name] = tool
        if wanted:
            headers[name] = wanted


def _size_of(found: dict[str, JsonObject]) -> int:
    return sum(len(json.dumps(tool)) for tool in found.values())
