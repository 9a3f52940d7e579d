"""The smallest interface to HTTP: a request in; a status, headers and a body that comes in chunks out."""

from wicket.runtime.wire.addresses import AddressPolicy, check_url
from wicket.runtime.wire.client import HttpWire
from wicket.runtime.wire.values import (
    NO_LINES,
    BeforeFirstByte,
    HeaderLines,
    Heard,
    Wire,
    WireLimits,
    WireRequest,
    WireResponse,
    broken,
    header_lines,
    overdue,
    timed_out,
    unreachable,
)

__all__ = [
    "NO_LINES",
    "AddressPolicy",
    "BeforeFirstByte",
    "HeaderLines",
    "Heard",
    "HttpWire",
    "Wire",
    "WireLimits",
    "WireRequest",
    "WireResponse",
    "broken",
    "check_url",
    "header_lines",
    "overdue",
    "timed_out",
    "unreachable",
]
