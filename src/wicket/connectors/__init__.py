"""The services that can be proxied: data, and the pure mapping of a request to the call that is decided."""

from wicket.connectors.resolve import Resolution, labels_of, resolve, selectors_of, tool_tier
from wicket.connectors.services import auth_facts, catalog, custom_namespace, is_reserved

__all__ = [
    "Resolution",
    "auth_facts",
    "catalog",
    "custom_namespace",
    "is_reserved",
    "labels_of",
    "resolve",
    "selectors_of",
    "tool_tier",
]
