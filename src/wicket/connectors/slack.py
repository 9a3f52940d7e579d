"""What a call of Slack's tools targets: channels, by id.

A user's id in place of a channel's means the direct messages with that user. What has an id of its own (a canvas,
a file, a list) may be shared in any channel.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from wicket.connectors.arguments import Grammar
from wicket.connectors.knowledge import Mapper, Question
from wicket.core.model import Resource

CHANNEL: Final = Grammar(
    re.compile(r"[CDGUW][A-Z0-9]{2,30}", re.ASCII),
    "the id of a channel or a user, such as `C0123456789`, and no name",
)
DIRECT: Final = "DUW"
"""Ids of conversations between people, which are private whatever nobody has told."""


def _channel(asked: Question) -> list[Resource]:
    channel = asked.arguments.text("channel_id", CHANNEL)
    if channel is None:
        return []
    found = asked.known.resource("Channel", channel)
    if channel[0] not in DIRECT:
        return [found]
    attributes = {**found.attributes, "isPrivate": True}
    return [replace(found, attributes=attributes, unknown=found.unknown - {"isPrivate"})]


TARGETS: Final[Mapping[str, Mapper]] = {
    "channel": _channel,
    "new_channel": lambda asked: [asked.known.resource("Channel", "new", is_new=True)],
    "any_channel": lambda asked: [asked.known.unknown("Channel")],
}
"""How the catalog names the ways in which a tool's resources are found."""
TYPES: Final[Mapping[str, tuple[str, ...]]] = {"Channel": ("channel", "new_channel", "any_channel")}
"""Type -> the targets whose resources are of it."""
