"""The door of the proxy: Host and Origin, forwarded addresses, bodies, and clients that leave."""

import asyncio
from collections.abc import Iterable
from ipaddress import ip_network

import pytest

from wicket.core.errors import Refused
from wicket.gateway.asgi import (
    Door,
    McpEndpoint,
    Message,
    Scope,
    caller_address,
    check_origin_and_host,
    closing_cancels,
    read_body,
)
from wicket.gateway.http import Headers, Inbound, Outbound

LOOPBACK = Door(body_bytes_max=10, public_host="127.0.0.1:8420", is_loopback=True)
PUBLIC = Door(body_bytes_max=10, public_host="wicket.example", is_loopback=False)
AT_A_PORT = Door(body_bytes_max=10, public_host="wicket.example:8443", is_loopback=False)

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
        10,
        "wicket.example",
        is_loopback=False,
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    )
    headers: Headers = tuple(("x-forwarded-for", value) for value in forwarded)
    noise = (("x_forwarded_for", LIAR), ("x-real-ip", LIAR), ("forwarded", f"for={LIAR}"))
    scope: Scope = {"client": (peer, 1234)} if peer else {"client": None}
    assert caller_address(scope, (*noise, *headers), door) == expected
    assert caller_address(scope, headers, PUBLIC) == peer


def receiving(*messages: Message) -> "asyncio.Queue[Message]":
    queue: asyncio.Queue[Message] = asyncio.Queue()
    for message in messages:
        queue.put_nowait(message)
    return queue


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


async def test_a_body_is_read_to_its_end() -> None:
    assert await read_body((), receiving(part(b"ab"), part(b""), part(b"cd", more=False)).get, 4) == b"abcd"
    assert await read_body((), receiving(part(b"", more=False)).get, 4) == b""


async def test_who_leaves_in_the_middle_of_a_body_asks_for_nothing() -> None:
    assert await read_body((), receiving(part(b"ab"), GONE).get, 4) is None


@pytest.mark.parametrize("length", ["5", "99999999999999999999"])
async def test_a_body_that_says_it_is_too_long_is_not_read(length: str) -> None:
    untouched = receiving()
    with pytest.raises(Refused) as refused:
        await read_body((("content-length", length),), untouched.get, 4)
    assert refused.value.status == 413


async def test_a_body_that_turns_out_too_long_is_refused_as_soon_as_it_does() -> None:
    queue = receiving(part(b"abc"), part(b"de"), part(b"never read"))
    with pytest.raises(Refused) as refused:
        await read_body((), queue.get, 4)
    assert refused.value.status == 413
    assert queue.qsize() == 1


@pytest.mark.parametrize("header", ["-1", "x", "²", "1e9", ""])
async def test_a_length_that_is_none_decides_nothing(header: str) -> None:
    assert await read_body((("content-length", header),), receiving(part(b"ab", more=False)).get, 4) == b"ab"


def test_closing_cancels_in_the_modern_era_alone() -> None:
    assert closing_cancels((("mcp-protocol-version", "2026-07-28"),))
    assert not closing_cancels((("mcp-protocol-version", "2025-11-25"),))
    assert not closing_cancels(())


class Slow:
    """A handler that answers when it is told to, and notes what becomes of it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = False
        self.seen: list[Inbound] = []

    async def answer(self, inbound: Inbound) -> Outbound:
        self.seen.append(inbound)
        self.asked.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return Outbound(200, body=b"{}")


def scope_of(*headers: tuple[str, str], path: str = "/mcp", method: str = "POST") -> Scope:
    raw = [(name.encode(), value.encode()) for name, value in (("Host", "127.0.0.1:8420"), *headers)]
    return {"type": "http", "method": method, "path": path, "headers": raw, "client": ("127.0.0.1", 9)}


@pytest.mark.parametrize(
    ("version", "method", "is_cancelled"),
    [("2026-07-28", "POST", True), ("2025-11-25", "POST", False), ("2025-11-25", "GET", True)],
)
async def test_leaving_cancels_what_ends_with_its_stream(
    version: str, method: str, *, is_cancelled: bool
) -> None:
    handler, sent = Slow(), list[Message]()
    queue = receiving(part(b"{}", more=False))

    async def send(message: Message) -> None:
        sent.append(message)

    endpoint = McpEndpoint(handler, LOOPBACK)
    scope = scope_of(("MCP-Protocol-Version", version), method=method)
    request = asyncio.create_task(endpoint(scope, queue.get, send))
    async with asyncio.timeout(5):
        await handler.asked.wait()
        queue.put_nowait(GONE)
        if not is_cancelled:
            handler.go_on.set()
        await request
    assert handler.cancelled is is_cancelled
    assert bool(sent) is not is_cancelled


async def test_a_defect_is_answered_as_a_failure_that_says_nothing_of_it() -> None:
    class Broken:
        async def answer(self, inbound: Inbound) -> Outbound:
            raise LookupError(f"a secret of {inbound.method}")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await McpEndpoint(Broken(), LOOPBACK)(scope_of(), receiving(part(b"{}", more=False)).get, send)
    assert sent[0]["status"] == 500
    assert b"-32603" in sent[1]["body"]
    assert b"secret" not in sent[1]["body"]


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/mcp", None),
        ("/mcp/", None),
        ("/mcp/github", "github"),
        ("/mcp/github/", "github"),
        ("/mcp/a/b", "a/b"),
    ],
)
async def test_the_path_names_the_connector(path: str, service: str | None) -> None:
    handler = Slow()
    handler.go_on.set()

    async def send(message: Message) -> None:
        """Nobody reads it."""

    await McpEndpoint(handler, LOOPBACK)(scope_of(path=path), receiving(part(b"{}", more=False)).get, send)
    (inbound,) = handler.seen
    assert (inbound.service, inbound.body, inbound.caller_ip) == (service, b"{}", "127.0.0.1")
    assert inbound.header("host") == "127.0.0.1:8420"
