"""Which addresses may be connected to.

A name is resolved first, each address is vetted, and the connection is made to a vetted address: a name that
resolves differently the next time gains nothing. Addresses that carry an IPv4 address inside are judged by it.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from aiohappyeyeballs import AddrInfoType

from wicket.core.errors import Invalid

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Lookup: TypeAlias = Callable[[str, int, int], list[tuple[Any, ...]]]
"""As `socket.getaddrinfo(host, port, family)`; runs in a thread."""

LOOKUP_THREADS: Final = 16
ADDRESSES_KNOWN_MAX: Final = 1_000

_PRIVATE: Final = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)
"""What `upstream_allow_private = true` opens."""

_SPECIAL: Final = tuple(
    ip_network(text)
    for text in (
        # Metadata services of clouds, wherever they lie.
        "100.100.100.200/32",
        "168.63.129.16/32",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        # This network, link-local, protocol assignments, documentation, benchmarks, multicast, reserved.
        "0.0.0.0/8",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
"""What only a network named by the operator opens."""

_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")


class AddressRefused(OSError):
    """No address of the name may be connected to."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Public addresses, and what the operator allowed beyond them."""

    allow_private: bool | tuple[Network, ...] = False
    """True: private and loopback ones, but no metadata services; networks: exactly those."""

    def permits(self, text: str) -> bool:
        """Whether this address, in any spelling that the system takes for one, may be connected to."""
        try:
            address = _judged_by(ip_address(text))
        except ValueError:
            return False
        if isinstance(self.allow_private, tuple) and _within(address, self.allow_private):
            return True
        if _within(address, _SPECIAL):
            return False
        return self.allow_private is True or not _within(address, _PRIVATE)


def _judged_by(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    is_loopback = address.is_loopback
    if address in _NAT64 or (address in _COMPATIBLE and not is_loopback):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def vetted_sockets(policy: AddressPolicy) -> Callable[[AddrInfoType], socket.socket]:
    """Makes the socket of a connection once its address is final.

    The last look at it, and the only one that a host written as an address gets. What is found of an address is
    remembered: an upstream that ends each connection has us make one for each call.
    """
    permits = lru_cache(maxsize=ADDRESSES_KNOWN_MAX)(policy.permits)

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, proto, _, address = info
        if not permits(str(address[0])):
            raise AddressRefused(f"{address[0]} may not be connected to")
        return socket.socket(family, kind, proto)

    return make


class VettingResolver:
    """Resolves in threads of its own, so that a slow name server holds up nothing else, and vets."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup | None = None) -> None:
        self._policy = policy
        self._lookup = lookup or _getaddrinfo
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="wicket-dns")

    async def resolve(self, host: str, port: int) -> list[AddrInfoType]:
        """Addresses that may be connected to; raises OSError when there are none."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, self._lookup, host, port, socket.AddressFamily.AF_UNSPEC
        )
        allowed = [
            (family, kind, proto, "", address)
            for family, kind, proto, _, address in found
            if self._policy.permits(str(address[0]))
        ]
        if not allowed:
            raise AddressRefused(f"no address of {host} may be connected to")
        return allowed

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(host: str, port: int, family: int) -> list[tuple[Any, ...]]:
    return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))


def check_url(url: str, policy: AddressPolicy) -> None:
    """Raise Invalid (`url`) for an upstream that could never be reached from here, as far as its text tells.

    A name is vetted again, by its addresses, on every connection.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise Invalid("`url` is not an address: write https://host/path", field="url") from error
    if parts.scheme not in {"http", "https"} or not host or parts.username or parts.password:
        raise Invalid(
            "`url` must be an http or https address without a user: write https://host/path", field="url"
        )
    if _is_literal(host) and not policy.permits(host):
        raise Invalid(
            "`url` is a private address: the operator allows those with WICKET_UPSTREAM_ALLOW_PRIVATE",
            field="url",
        )


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
