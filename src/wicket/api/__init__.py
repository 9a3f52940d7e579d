"""The REST API: control-plane requests translated to the store and back. It holds neither rules nor SQL."""

from wicket.api.build import build_api, describe_api
from wicket.api.http import ApiParts

__all__ = ["ApiParts", "build_api", "describe_api"]
