"""The REST API: control-plane requests translated to the store and back. It holds neither rules nor SQL."""

from wicket.api.build import Served, build_api, describe_api
from wicket.api.http import BODY_BYTES_MAX, ApiParts

__all__ = ["BODY_BYTES_MAX", "ApiParts", "Served", "build_api", "describe_api"]
