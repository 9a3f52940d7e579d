"""What is seen of tools, and what is kept of it."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from wicket.connectors.definitions import definition_hash, proposed_tier
from wicket.connectors.services import catalog
from wicket.core.model import JsonObject, Tier, ToolFacts

_ADDRESSABLE: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SeenTool:
    """A tool as an upstream lists it."""

    name: str
    hash: str
    definition: JsonObject
    proposed_tier: Tier
    """What its annotations say; only a proposal."""

    @property
    def is_addressable(self) -> bool:
        """Whether any call can name it; what none can (blanks, look-alikes) is never pinned."""
        return _ADDRESSABLE.fullmatch(self.name) is not None


@dataclass(frozen=True, slots=True)
class ToolChange:
    """A definition that a member's upstream sends and nobody has accepted."""

    member_id: str
    hash: str
    definition: JsonObject
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class PinnedTool:
    name: str
    tier: Tier | None
    """In force: the owner's word, else the table's tier or what annotations raised it to; None: to be reviewed."""
    proposed_tier: Tier | None
    held: bool
    accepted: tuple[str, ...]
    definition: JsonObject
    """The definition accepted last; empty while none was seen."""
    first_seen_at: datetime
    reviewed_at: datetime | None
    changes: tuple[ToolChange, ...]


def seen_tools(definitions: Iterable[JsonObject]) -> tuple[SeenTool, ...]:
    """What a server lists, in its order; what has no name is no tool."""
    return tuple(
        SeenTool(name, definition_hash(tool), tool, proposed_tier(tool.get("annotations")))
        for tool in definitions
        if isinstance(name := tool.get("name"), str) and name
    )


def table_of(service: str) -> Mapping[str, ToolFacts]:
    """The catalog's table of a service; custom and stdio connectors have none."""
    connector = catalog().get(service)
    return {} if connector is None else connector.tools


def by_name(seen: Iterable[SeenTool]) -> dict[str, list[SeenTool]]:
    """Addressable tools; an upstream may list a name twice, and then every definition counts."""
    named: dict[str, list[SeenTool]] = {}
    for tool in seen:
        if tool.is_addressable:
            named.setdefault(tool.name, []).append(tool)
    return named


def connector_tools_to_json(seen: Iterable[SeenTool], *, accept_tiers: bool) -> str:
    """How a custom connector remembers the tools that it was made with, and the tiers accepted with it."""
    return json.dumps(
        [
            {
                "name": tool.name,
                "tier": tool.proposed_tier if accept_tiers else None,
                "proposedTier": tool.proposed_tier,
                "hash": tool.hash,
                "definition": tool.definition,
            }
            for tool, *_ in by_name(seen).values()
        ],
        ensure_ascii=False,
    )
