"""What upstreams offer beside tools: prompts and resources, cut down to what may be used, and their capabilities.

A list is shown where some policy may permit what it leads to: prompts where `prompts/get` may be, resources
where `resources/read` may be. Behind the aggregator prompts carry their service's prefix, as tools do.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog

from wicket.core.errors import WicketError
from wicket.core.jsonrpc import Era
from wicket.core.model import Json, JsonObject, Tier
from wicket.core.naming import SEPARATOR
from wicket.core.policy.engine import may_list
from wicket.core.world import MemberKey, World
from wicket.gateway.legacy_sessions import LegacySession
from wicket.gateway.listing import LIST_BUDGET_S
from wicket.gateway.targets import PROMPT, READ
from wicket.runtime.credentials import Credentials, NoCredentials
from wicket.runtime.upstream import Target, Upstream

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """A list that upstreams keep: where it stands in the result, and the action that it leads to."""

    key: str
    action: str
    is_prefixed: bool = False
    """Served by the aggregator too, with the service before each name."""


OFFERS: Final[Mapping[str, Offer]] = {
    "prompts/list": Offer("prompts", PROMPT, is_prefixed=True),
    "resources/list": Offer("resources", READ),
    "resources/templates/list": Offer("resourceTemplates", READ),
}
AGGREGATED: Final[JsonObject] = {"tools": {}, "prompts": {}, "completions": {}, "logging": {}}
"""What the aggregator can do, whatever is behind it."""
_FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "tools": ("listChanged",),
    "prompts": ("listChanged",),
    "resources": ("subscribe", "listChanged"),
    "completions": (),
    "logging": (),
}


class Offers:
    """Asks each upstream within its own time; one that fails offers nothing, and costs nobody else anything."""

    def __init__(self, *, upstream: Upstream, credentials: Credentials) -> None:
        self._upstream = upstream
        self._credentials = credentials

    async def listed(
        self, method: str, world: World, key: MemberKey, bearer: str, service: str | None
    ) -> list[Json] | None:
        """The items of a list of `OFFERS`; None where the one service that is asked has no such list."""
        offer = OFFERS[method]
        services = [service] if service is not None else list(world.services)
        may = [
            name
            for name in services
            if may_list(world, world.members[key.member_id], name, offer.action, Tier.READ, [None])
        ]
        fetched = await asyncio.gather(*(self._fetch(method, world, key, bearer, name) for name in may))
        if service is not None:
            return list(fetched[0] or []) if fetched and fetched[0] is not None else ([] if not may else None)
        return [
            item | {"name": f"{name}{SEPARATOR}{item['name']}"}
            for name, items in zip(may, fetched, strict=True)
            for item in items or []
            if isinstance(item.get("name"), str)
        ]

    async def capabilities(
        self, world: World, key: MemberKey, bearer: str, era: Era, session: LegacySession | str | None
    ) -> JsonObject:
        """What a client may expect: of one service (its key, or a session with it) or, without, of all together.

        What only streams between the eras could tell is left out where the upstream speaks the other one.
        """
        service = session.service if isinstance(session, LegacySession) else session
        if service is None:
            return AGGREGATED
        said: JsonObject = {}
        spoken = era
        try:
            async with asyncio.timeout(LIST_BUDGET_S):
                target = await self._credentials.target(world, key, service, bearer)
                if isinstance(session, LegacySession):
                    target = replace(target, declared=session.declared)
                said, spoken = await self._upstream.capabilities(target)
        except NoCredentials:
            pass
        except (WicketError, TimeoutError) as failed:
            _LOG.warning("upstream_capabilities_failed", service=service, error=type(failed).__name__)
        return {"tools": {}} | _known(said, keeps_flags=spoken is era)

    async def _fetch(
        self, method: str, world: World, key: MemberKey, bearer: str, service: str
    ) -> list[JsonObject] | None:
        try:
            async with asyncio.timeout(LIST_BUDGET_S):
                target: Target = await self._credentials.target(world, key, service, bearer)
                return await self._upstream.list_others(target, method, OFFERS[method].key)
        except NoCredentials:
            return []
        except (WicketError, TimeoutError) as failed:
            _LOG.warning(
                "upstream_list_failed", service=service, agent_id=world.agent_id, error=type(failed).__name__
            )
            return []


def _known(said: JsonObject, *, keeps_flags: bool) -> JsonObject:
    """Of an upstream's capabilities, those that are passed on here; all that is not known is left out."""
    known: JsonObject = {}
    for name, flags in _FLAGS.items():
        has = said.get(name)
        if isinstance(has, dict):
            known[name] = {flag: True for flag in flags if keeps_flags and has.get(flag) is True}
    return known
