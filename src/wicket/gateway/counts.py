"""Requests that leave no audit entry, counted for `/metrics` by what they were and never by whose."""

from typing import Final

from prometheus_client import Counter

MALFORMED: Final = "malformed"
UNKNOWN_KEY: Final = "unknown_key"
NOTIFICATION: Final = "notification"
RESPONSE: Final = "response"
OTHER: Final = "other"
_KINDS: Final = frozenset(
    {
        *(MALFORMED, UNKNOWN_KEY, NOTIFICATION, RESPONSE),
        *("initialize", "ping", "server/discover", "logging/setLevel", "subscriptions/listen"),
        *("tools/list", "prompts/list", "resources/list", "resources/templates/list"),
    }
)
"""Methods are the client's to invent, so those that are not known share one label."""

_UNENTERED: Final = Counter(
    "wicket_proxy_unentered_requests", "Requests to the proxy that are not in the audit log", ("kind",)
)


def count_unentered(kind: str) -> None:
    """Count one; `kind` is a constant of this module, or a method."""
    _UNENTERED.labels(kind if kind in _KINDS else OTHER).inc()
