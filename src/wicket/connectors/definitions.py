"""A tool's definition as its upstream states it: what pins compare, and the tier that annotations propose."""

import json
from hashlib import sha256
from typing import Final

from wicket.core.model import Json, JsonObject, Tier

PINNED_FIELDS: Final = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
"""What a model or a person reads, and what says how the tool may be called."""


def definition_hash(tool: JsonObject) -> str:
    """SHA-256 (hex) over the canonical JSON of the pinned fields. An absent field differs from a null one."""
    pinned = {name: tool[name] for name in PINNED_FIELDS if name in tool}
    canonical = json.dumps(pinned, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(canonical.encode()).hexdigest()


def proposed_tier(annotations: Json) -> Tier:
    """What the server says of its own tool; silence and nonsense count as destructive."""
    if not isinstance(annotations, dict):
        return Tier.DESTRUCTIVE
    if annotations.get("readOnlyHint") is True:
        return Tier.READ
    if annotations.get("destructiveHint") is False:
        return Tier.WRITE
    return Tier.DESTRUCTIVE
