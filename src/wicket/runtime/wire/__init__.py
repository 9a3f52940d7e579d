"""The smallest interface to HTTP: a request in; a status, headers and an iterator of chunks out."""

from wicket.runtime.wire.addresses import AddressPolicy, check_url
from wicket.runtime.wire.client import HttpWire
from wicket.runtime.wire.values import (
    BeforeFirstByte,
    Wire,
    WireLimits,
    WireRequest,
    WireResponse,
    broken,
    timed_out,
    unreachable,
)

__all__ = [
    "AddressPolicy",
    "BeforeFirstByte",
    "HttpWire",
    "Wire",
    "WireLimits",
    "WireRequest",
    "WireResponse",
    "broken",
    "check_url",
    "timed_out",
    "unreachable",
]
