"""Who may come in, and as whom: Host and Origin, forwarded addresses, and whom leaving cancels."""

from collections.abc import Iterable
from ipaddress import ip_network

import pytest

from wicket.core.errors import Refused
from wicket.front.door import Door, caller_address, check_origin_and_host, closing_cancels
from wicket.gateway.http import Headers

LOOPBACK = Door(public_host="127.0.0.1:8420", is_loopback=True)
PUBLIC = Door(public_host="wicket.example", is_loopback=False)
AT_A_PORT = Door(public_host="wicket.example:8443", is_loopback=False)

HOSTS = [
    (LOOPBACK, "127.0.0.1:8420", True),
    (LOOPBACK, "localhost:8420", True),
    (LOOPBACK, "LOCALHOST", True),
    (LOOPBACK, "[::1]:9", True),
    (LOOPBACK, "[::1]", True),
    (LOOPBACK, "::1", False),
    (LOOPBACK, "localhost.", False),
    (LOOPBACK, "localhost.evil.example", False),
    (LOOPBACK, "evil.localhost", False),
    (LOOPBACK, "localhost:evil.example", False),
    (LOOPBACK, "localhost:80@evil.example", False),
    (LOOPBACK, "localhost:80:80", False),
    (LOOPBACK, "localhost:123456", False),
    (LOOPBACK, "localhost/", False),
    (LOOPBACK, "localhost\n", False),
    (LOOPBACK, "127.0.0.2", False),
    (LOOPBACK, "2130706433", False),
    (LOOPBACK, "evil.example", False),
    (LOOPBACK, "", False),
    (PUBLIC, "wicket.example", True),
    (PUBLIC, "Wicket.Example", True),
    (PUBLIC, "wicket.example:443", False),
    (PUBLIC, "wicket.example/mcp?", False),
    (PUBLIC, "wicket.example.evil.example", False),
    (PUBLIC, "localhost", False),
    (PUBLIC, "127.0.0.1", False),
    (AT_A_PORT, "wicket.example:8443", True),
    (AT_A_PORT, "wicket.example", False),
]
ORIGINS = [
    (LOOPBACK, "http://localhost:3000", True),
    (LOOPBACK, "http://127.0.0.1:8420", True),
    (LOOPBACK, "https://[::1]", True),
    (LOOPBACK, "null", False),
    (LOOPBACK, "", False),
    (LOOPBACK, "localhost", False),
    (LOOPBACK, "file://localhost", False),
    (LOOPBACK, "http://evil.example", False),
    (LOOPBACK, "http://localhost@evil.example", False),
    (LOOPBACK, "http://evil.example#localhost", False),
    (LOOPBACK, "http://localhost.evil.example", False),
    (LOOPBACK, "http://[", False),
    (PUBLIC, "https://wicket.example", True),
    (PUBLIC, "https://wicket.example:444", False),
    (PUBLIC, "http://localhost", False),
]


def is_let_in(door: Door, *headers: tuple[str, str]) -> bool:
    try:
        check_origin_and_host(headers, door)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(("door", "host", "expected"), HOSTS)
def test_only_our_own_host_is_served(door: Door, host: str, *, expected: bool) -> None:
    assert is_let_in(door, ("host", host)) is expected


@pytest.mark.parametrize(("door", "origin", "expected"), ORIGINS)
def test_only_our_own_pages_may_call(door: Door, origin: str, *, expected: bool) -> None:
    assert is_let_in(door, ("host", door.public_host), ("origin", origin)) is expected


def test_two_hosts_none_and_a_second_origin_are_refused() -> None:
    ours = ("host", PUBLIC.public_host)
    assert not is_let_in(PUBLIC)
    assert not is_let_in(PUBLIC, ours, ours)
    assert not is_let_in(
        PUBLIC, ours, ("origin", "https://wicket.example"), ("origin", "https://evil.example")
    )


PROXY, EDGE, CLIENT, LIAR = "10.0.0.1", "10.0.0.2", "203.0.113.7", "198.51.100.9"
FORWARDED: list[tuple[str, tuple[str, ...], str]] = [
    (CLIENT, (), CLIENT),
    (CLIENT, (LIAR,), CLIENT),
    (PROXY, (), PROXY),
    (PROXY, (CLIENT,), CLIENT),
    (PROXY, (f"{LIAR}, {CLIENT}",), CLIENT),
    (PROXY, (LIAR, CLIENT), CLIENT),
    (PROXY, (f"{LIAR}, {CLIENT}, {EDGE}",), CLIENT),
    (PROXY, (f"{CLIENT},{EDGE}", PROXY), CLIENT),
    (PROXY, (EDGE,), EDGE),
    (PROXY, (f"{LIAR}, unknown",), "unknown"),
    (f"::ffff:{PROXY}", (CLIENT,), CLIENT),
    ("fd00::1", ("2001:db8::7",), "2001:db8::7"),
    ("", (CLIENT,), ""),
]


@pytest.mark.parametrize(("peer", "forwarded", "expected"), FORWARDED)
def test_forwarded_addresses_are_believed_from_trusted_proxies_alone(
    peer: str, forwarded: Iterable[str], expected: str
) -> None:
    door = Door(
        "wicket.example",
        is_loopback=False,
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    )
    headers: Headers = tuple(("x-forwarded-for", value) for value in forwarded)
    noise = (("x_forwarded_for", LIAR), ("x-real-ip", LIAR), ("forwarded", f"for={LIAR}"))
    assert caller_address(peer, (*noise, *headers), door) == expected
    assert caller_address(peer, headers, PUBLIC) == peer


def test_closing_cancels_in_the_modern_era_alone() -> None:
    assert closing_cancels((("mcp-protocol-version", "2026-07-28"),))
    assert not closing_cancels((("mcp-protocol-version", "2025-11-25"),))
    assert not closing_cancels(())
