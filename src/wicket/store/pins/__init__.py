"""Pins: which definitions of an upstream's tools are accepted, for each (agent, service).

The first definition seen of a tool is pinned. Another one is held for the members whose upstream sends it, and
for nobody else, until the owner's review accepts it. A tool in no table has no tier until that review.
"""

from wicket.store.pins.observing import PINS_MAX, may_be_news, observe, seed_connector_tools
from wicket.store.pins.reviewing import drop_pins, forget_member, list_tools, review
from wicket.store.pins.values import PinnedTool, SeenTool, ToolChange, connector_tools_to_json, seen_tools

__all__ = [
    "PINS_MAX",
    "PinnedTool",
    "SeenTool",
    "ToolChange",
    "connector_tools_to_json",
    "drop_pins",
    "forget_member",
    "list_tools",
    "may_be_news",
    "observe",
    "review",
    "seed_connector_tools",
    "seen_tools",
]
