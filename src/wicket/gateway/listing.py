"""`tools/list`: what this member's upstreams offer, cut down to what is accepted and what a policy may permit.

Upstream lists are fetched side by side, each within its own time; one that is slow or dead costs only its own
tools. What is new or changed is noted as a pin before anybody is shown it, and a tool appears only while the
definition that this member's upstream sends is an accepted one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Final, TypeVar

import structlog

from wicket.connectors.definitions import definition_hash, proposed_tier
from wicket.connectors.resolve import selectors_of
from wicket.core.errors import WicketError
from wicket.core.jsonrpc import ParamHeader
from wicket.core.model import Json, JsonObject
from wicket.core.naming import exposed_name
from wicket.core.policy.engine import may_list
from wicket.core.world import Member, MemberKey, World
from wicket.runtime.credentials import Credentials, NoCredentials, owner_of
from wicket.runtime.upstream import Target, Upstream
from wicket.store.pins import SeenTool, may_be_news

LIST_BUDGET_S: Final = 6.0
PARSED_MAX: Final = 1_000
SHOWN_MAX: Final = 200
_LOG = structlog.get_logger(__name__)

K = TypeVar("K")
V = TypeVar("V")

Observe = Callable[[World, Member, str, Sequence[SeenTool]], Awaitable[World | None]]
"""Note definitions as pins; gives back the world that knows them, None when the agent is gone."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a member was shown, and what that depended on."""

    revision: int
    seen: list[list[SeenTool]]
    tools: list[Json]


class Listing:
    """Answers `tools/list` for a member."""

    def __init__(self, *, upstream: Upstream, credentials: Credentials, observe: Observe) -> None:
        self._upstream = upstream
        self._credentials = credentials
        self._observe = observe
        self._last: OrderedDict[tuple[str, str | None], _Shown] = OrderedDict()
        self._parsed: OrderedDict[tuple[str, str], tuple[Sequence[JsonObject], list[SeenTool]]] = (
            OrderedDict()
        )

    async def tools(self, world: World, key: MemberKey, bearer: str, service: str | None) -> list[Json]:
        """The tools of one service with their own names, or of all enabled ones with prefixed names."""
        member = world.members[key.member_id]
        services = list(world.services) if service is None else [service]
        fetched = await asyncio.gather(*(self._fetch(world, key, name, bearer) for name in services))
        for name, seen in zip(services, fetched, strict=True):
            world = await self._noted(world, member, name, seen)
        return self._shown(world, member, service, dict(zip(services, fetched, strict=True)))

    def _shown(
        self, world: World, member: Member, service: str | None, seen: dict[str, list[SeenTool]]
    ) -> list[Json]:
        """The tools to show; those of the last time while neither the world nor any upstream's list is another."""
        place = (member.id, service)
        known = self._last.get(place)
        if known is not None and known.revision == world.revision and _are_same(known.seen, [*seen.values()]):
            return known.tools
        tools: list[Json] = [
            tool.definition | {"name": exposed_name(name if service is None else None, tool.name)}
            for name, listed in seen.items()
            for tool in listed
            if is_shown(world, member, name, tool)
        ]
        _keep(self._last, place, _Shown(world.revision, [*seen.values()], tools), SHOWN_MAX)
        return tools

    async def look_again(self, world: World, key: MemberKey, bearer: str, service: str) -> None:
        """Compare a member's upstream with the pins, for clients that call without ever listing."""
        if service in world.services:
            seen = await self._fetch(world, key, service, bearer)
            await self._noted(world, world.members[key.member_id], service, seen)

    def mirrored(self, world: World, key: MemberKey, service: str, tool: str) -> tuple[ParamHeader, ...]:
        """The arguments that a modern client mirrors into headers, by the list that was shown here last."""
        owner = owner_of(world, key, service) if service in world.services else None
        return () if owner is None else self._upstream.mirrored(owner, service, tool)

    async def _noted(self, world: World, member: Member, service: str, seen: Sequence[SeenTool]) -> World:
        if not may_be_news(world.pins, service=service, member_id=member.id, seen=seen):
            return world
        return await self._observe(world, member, service, seen) or world

    async def _fetch(self, world: World, key: MemberKey, service: str, bearer: str) -> list[SeenTool]:
        try:
            async with asyncio.timeout(LIST_BUDGET_S):
                target = await self._credentials.target(world, key, service, bearer)
                return self._seen(target, await self._upstream.list_tools(target))
        except NoCredentials:
            return []
        except (WicketError, TimeoutError) as failed:
            _LOG.warning(
                "upstream_list_failed", service=service, agent_id=world.agent_id, error=type(failed).__name__
            )
            return []

    def _seen(self, target: Target, tools: Sequence[JsonObject]) -> list[SeenTool]:
        """The definitions parsed, anew when the upstream's list was fetched anew: hashing them takes its time."""
        place = (target.owner, target.connector.key)
        known = self._parsed.get(place)
        if known is not None and _are_same(known[0], tools):
            return known[1]
        seen = parse_definitions(tools)
        _keep(self._parsed, place, (tools, seen), PARSED_MAX)
        return seen


def _are_same(these: Sequence[object], those: Sequence[object]) -> bool:
    return len(these) == len(those) and all(map(is_, these, those))


def _keep(kept: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


def parse_definitions(tools: Sequence[JsonObject]) -> list[SeenTool]:
    """Definitions in order of name; what has no usable name is no tool. The first of a name counts."""
    by_name: dict[str, SeenTool] = {}
    for tool in tools:
        name = tool.get("name")
        if isinstance(name, str) and name and name not in by_name:
            by_name[name] = SeenTool(
                name, definition_hash(tool), tool, proposed_tier(tool.get("annotations"))
            )
    return [by_name[name] for name in sorted(by_name)]


def is_shown(world: World, member: Member, service: str, tool: SeenTool) -> bool:
    """Accepted, not held, in some tier, and permitted by something that may match."""
    pin = world.pins.get((service, tool.name))
    if service not in world.services or pin is None or pin.held or member.id in pin.changed_for:
        return False
    if tool.hash not in pin.accepted:
        return False
    return any(
        may_list(world, member, service, tool.name, tier, [selector])
        for selector, tier in selectors_of(world, service, tool.name)
    )
