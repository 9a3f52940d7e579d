"""The fifty policies of the measured agent: ten bear on its reads, one of them by the session's facts."""

from wicket.core.model import JsonObject

SERVICE = "bench"
ALLOWED_TOOL = "work"
DENIED_TOOL = "erase"
OTHER_TOOLS = tuple(f"other_{number}" for number in range(40))
TOOLS = (ALLOWED_TOOL, DENIED_TOOL, *OTHER_TOOLS)


def policies() -> list[JsonObject]:
    """As people would write them; the denied tool is covered by none that permits."""
    bearing: list[JsonObject] = [
        {"name": "reads", "effect": "permit", "tools": ["tier:read"]},
        {"name": "work from here", "effect": "permit", "tools": ["work"], "network": {"in": ["127.0.0.0/8"]}},
        {
            "name": "not after many denials",
            "effect": "forbid",
            "tools": ["tier:read"],
            "session": [{"type": "denyCount", "operator": ">=", "value": 100}],
        },
    ]
    nets: list[JsonObject] = [
        {"name": f"not from {net}", "effect": "forbid", "tools": ["work"], "network": {"in": [net]}}
        for net in (f"10.{number}.0.0/16" for number in range(7))
    ]
    others: list[JsonObject] = [{"name": tool, "effect": "permit", "tools": [tool]} for tool in OTHER_TOOLS]
    return [{"service": SERVICE, **policy} for policy in [*bearing, *nets, *others]]
