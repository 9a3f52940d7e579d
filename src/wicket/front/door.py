"""Who may come in, and as whom: Host, Origin, and forwarded addresses."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from wicket.core.errors import Refused, RpcCode
from wicket.core.jsonrpc import MODERN_VERSIONS
from wicket.gateway.http import Headers

_LOOPBACK_HOST: Final = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")
_HOST_GRAMMAR: Final = re.compile(
    r"([A-Za-z0-9_.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+(:[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{0,5})?"
)


@dataclass(frozen=True, slots=True)
class Door:
    """What is checked before anybody is asked."""

    public_host: str
    """Host (and port, where not the default) that clients use."""
    is_loopback: bool
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()

    def trusts(self, address: str) -> bool:
        """Whether forwarded addresses are believed of this peer."""
        return _is_trusted(address, self.trusted_proxies)


def is_host(value: str) -> bool:
    """Whether a Host header names a host at all (RFC 9110 section 7.2, RFC 3986 section 3.2)."""
    return _HOST_GRAMMAR.fullmatch(value) is not None


def check_origin_and_host(headers: Headers, door: Door) -> None:
    """Refuse foreign pages and rebound names (403): only our own Host, and no Origin but our own."""
    hosts = [value for name, value in headers if name == "host"]
    if len(hosts) != 1 or not _is_ours(hosts[0], door):
        raise _forbidden("this Host is not served here: use the address that the operator published")
    for name, value in headers:
        if name == "origin" and not _is_our_origin(value, door):
            raise _forbidden("this Origin may not call the proxy")


def _is_ours(host: str, door: Door) -> bool:
    if host.lower() == door.public_host.lower():
        return True
    return door.is_loopback and _LOOPBACK_HOST.fullmatch(host.lower()) is not None


def _is_our_origin(origin: str, door: Door) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and _is_ours(parts.netloc, door)


def _forbidden(sentence: str) -> Refused:
    return Refused(sentence, rpc_code=RpcCode.INVALID_REQUEST, status=403)


def caller_address(peer: str, headers: Headers, door: Door) -> str:
    """The peer's address, or the one a trusted proxy forwards: the last that no trusted proxy has."""
    forwarded = [
        part.strip() for name, value in headers if name == "x-forwarded-for" for part in value.split(",")
    ]
    address = peer
    while forwarded and door.trusts(address):
        address = forwarded.pop()
    return address


def _is_trusted(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    if not networks:
        return False
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped  # how a socket for both families names an IPv4 peer
    return any(parsed in network for network in networks)


def closing_cancels(headers: Headers) -> bool:
    """Whether closing the stream is cancellation: in the modern era (MCP 2026-07-28, basic/transports)."""
    return any(name == "mcp-protocol-version" and value in MODERN_VERSIONS for name, value in headers)
