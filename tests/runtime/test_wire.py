import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.tls import self_signed
from tests.upstreams.recording import Out, RecordingUpstream, Seen
from wicket.core.errors import Invalid, UpstreamFailed, WicketError
from wicket.runtime.wire import AddressPolicy, HttpWire, WireLimits, WireRequest, check_url, header_lines
from wicket.runtime.wire.addresses import AddressRefused, vetted_sockets

LOOPBACK = AddressPolicy(allow_private=True)
"""What tests talk to."""


def post(url: str, body: bytes = b"{}", *, timeout_s: float = 5, **headers: str) -> WireRequest:
    return WireRequest(url=url, headers=header_lines(headers), body=body, timeout_s=timeout_s, service="fake")


@asynccontextmanager
async def wire_of(
    addresses: AddressPolicy = LOOPBACK, limits: WireLimits | None = None, **given: Any
) -> AsyncIterator[HttpWire]:
    wire = HttpWire(addresses=addresses, limits=limits, **given)
    try:
        yield wire
    finally:
        await wire.close()


async def say(seen: Seen, out: Out) -> None:
    await out.json({"said": seen.body.decode()}, headers={"Set-Cookie": "a=b", "X-Twice": "1"})


@pytest.mark.parametrize(
    ("address", "policy", "expected"),
    [
        (address, policy, expected)
        for address, *verdicts in (
            # address, by default, with private ones allowed, with 10.1.0.0/16 and fd01::/16 allowed
            ("8.8.8.8", True, True, True),
            ("2606:4700::1", True, True, True),
            ("::ffff:8.8.8.8", True, True, True),
            ("64:ff9b::808:808", True, True, True),
            ("10.1.2.3", False, True, True),
            ("10.2.2.3", False, True, False),
            ("::ffff:10.1.2.3", False, True, True),
            ("64:ff9b::a01:203", False, True, True),
            ("::a01:203", False, True, True),
            ("127.0.0.1", False, True, False),
            ("127.255.255.254", False, True, False),
            ("::1", False, True, False),
            ("::ffff:127.0.0.1", False, True, False),
            ("::ffff:7f00:1", False, True, False),
            ("192.168.0.1", False, True, False),
            ("172.16.0.1", False, True, False),
            ("172.32.0.1", True, True, True),
            ("100.64.0.1", False, True, False),
            ("fd00::1", False, True, False),
            ("fd01::1", False, True, True),
            ("169.254.169.254", False, False, False),
            ("::ffff:169.254.169.254", False, False, False),
            ("64:ff9b::a9fe:a9fe", False, False, False),
            ("100.100.100.200", False, False, False),
            ("168.63.129.16", False, False, False),
            ("fd00:ec2::254", False, False, False),
            ("fe80::1", False, False, False),
            ("fe80::1%eth0", False, False, False),
            ("fec0::1", False, False, False),
            ("0.0.0.0", False, False, False),  # noqa: S104 - nothing is bound
            ("::", False, False, False),
            ("255.255.255.255", False, False, False),
            ("224.0.0.1", False, False, False),
            ("ff02::1", False, False, False),
            ("2002:7f00:1::", False, False, False),
            ("2001:0:1::1", False, False, False),
            ("192.0.2.1", False, False, False),
            ("198.18.0.1", False, False, False),
            ("240.0.0.1", False, False, False),
            ("2130706433", False, False, False),
            ("127.1", False, False, False),
            ("0x7f.0.0.1", False, False, False),
            ("0177.0.0.1", False, False, False),
            ("localhost", False, False, False),
            ("", False, False, False),
        )
        for policy, expected in zip(
            (
                AddressPolicy(),
                AddressPolicy(allow_private=True),
                AddressPolicy(allow_private=(ip_network("10.1.0.0/16"), ip_network("fd01::/16"))),
            ),
            verdicts,
            strict=True,
        )
    ],
)
def test_an_address_is_permitted_or_not(address: str, policy: AddressPolicy, *, expected: bool) -> None:
    assert policy.permits(address) is expected


def test_a_metadata_address_is_open_only_to_who_names_its_network() -> None:
    assert AddressPolicy(allow_private=(ip_network("169.254.169.254/32"),)).permits("169.254.169.254")


def test_an_address_is_looked_at_once_and_the_verdict_stays_with_it() -> None:
    looked_at: list[str] = []

    class Watched(AddressPolicy):
        def permits(self, text: str) -> bool:
            looked_at.append(text)
            return super().permits(text)

    make = vetted_sockets(Watched(allow_private=(ip_network("10.1.0.0/16"),)))
    for _ in range(3):
        make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.1.2.3", 443))).close()
        with pytest.raises(AddressRefused):
            make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.2.2.3", 443)))
    assert looked_at == ["10.1.2.3", "10.2.2.3"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "127。0。0。1",
    ],
)
async def test_no_spelling_of_a_private_address_is_connected_to(host: str) -> None:
    async with RecordingUpstream() as server, wire_of(AddressPolicy()) as wire:
        url = server.url.replace("127.0.0.1", host)
        with pytest.raises(UpstreamFailed) as failed:
            await wire.send(post(url))
        assert failed.value.code == "upstream_unreachable"
        assert server.connections == 0


@pytest.mark.parametrize(
    "url", ["ftp://x/", "file:///etc/passwd", "http://", "http://a:b@x/", "http://[::1", "x"]
)
async def test_what_is_no_plain_http_address_is_not_connected_to(url: str) -> None:
    async with wire_of() as wire:
        with pytest.raises(UpstreamFailed) as failed:
            await wire.send(post(url))
        assert failed.value.code == "upstream_unreachable"


async def test_a_name_is_connected_to_at_the_address_that_was_vetted() -> None:
    asked: list[str] = []

    def lookup(host: str, port: int, family: int) -> list[tuple[Any, ...]]:
        # A name server that answers with something harmless first, and with loopback from then on.
        address = "198.51.100.1" if not asked else "127.0.0.1"
        asked.append(address)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    public = AddressPolicy(allow_private=(ip_network("198.51.100.0/24"),))
    limits = WireLimits(connect_timeout_s=0.2)
    async with RecordingUpstream() as server, wire_of(public, limits, lookup=lookup) as wire:
        url = server.url.replace("127.0.0.1", "rebinding.example")
        for _ in range(3):
            with pytest.raises(UpstreamFailed):
                await wire.send(post(url))
        assert server.connections == 0


async def test_of_several_addresses_only_those_allowed_are_tried() -> None:
    def lookup(host: str, port: int, family: int) -> list[tuple[Any, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("169.254.169.254", "127.0.0.1")
        ]

    async with RecordingUpstream() as server, wire_of(lookup=lookup) as wire:
        server.on("*", say)
        response = await wire.send(post(server.url.replace("127.0.0.1", "several.example")))
        assert response.status == 200
        response.close()


async def test_an_unknown_name_is_unreachable() -> None:
    def unknown(host: str, port: int, family: int) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async with wire_of(lookup=unknown) as wire:
        with pytest.raises(UpstreamFailed) as failed:
            await wire.send(post("http://unknown.example/"))
        assert failed.value.code == "upstream_unreachable"


async def test_the_body_goes_out_as_it_is_and_the_answer_comes_in_chunks() -> None:
    body = json.dumps({"text": "\u00e9\n" * 50_000}).encode()
    async with RecordingUpstream() as server, wire_of() as wire:

        async def mirror(seen: Seen, out: Out) -> None:
            await out.stream()
            for _ in range(3):
                await out.chunk(seen.body)
            await out.finish()

        server.on("*", mirror)
        response = await wire.send(post(server.url, body, Authorization="Bearer x"))
        assert await response.read() == body * 3
        assert server.seen[0].headers["authorization"] == "Bearer x"
        assert server.seen[0].body == body


async def test_no_cookie_is_kept_and_no_redirect_followed() -> None:
    async def away(seen: Seen, out: Out) -> None:
        await out.body(b"", status=302, headers={"Location": "/elsewhere", "Set-Cookie": "a=b"})

    async with RecordingUpstream() as server, wire_of() as wire:
        server.on("*", away)
        for _ in range(2):
            response = await wire.send(post(server.url))
            assert response.status == 302
            response.close()
        assert [seen.path for seen in server.seen] == ["/mcp", "/mcp"]
        assert all("cookie" not in seen.headers for seen in server.seen)


async def test_one_connection_serves_call_after_call() -> None:
    async with RecordingUpstream() as server, wire_of() as wire:
        server.on("*", say)
        for _ in range(5):
            response = await wire.send(post(server.url))
            assert await response.read()
            response.close()
        assert server.connections == 1


async def test_the_gate_opens_after_the_connection_and_before_the_first_byte() -> None:
    async with RecordingUpstream() as server, wire_of() as wire:
        server.on("*", say)
        for _ in range(2):
            bytes_in = server.bytes_in

            async def gate(bytes_in: int = bytes_in) -> None:
                for _ in range(20):
                    await asyncio.sleep(0)
                assert (server.connections, server.bytes_in) == (1, bytes_in)

            response = await wire.send(post(server.url), before_first_byte=gate)
            assert await response.read()
            assert server.bytes_in > bytes_in


async def test_a_gate_that_raises_leaves_no_connection_behind() -> None:
    async def shut() -> None:
        raise WicketError("no", code="decision_expired")

    limits = WireLimits(connections_per_host=1)
    async with RecordingUpstream() as server, wire_of(limits=limits) as wire:
        server.on("*", say)
        for _ in range(5):
            with pytest.raises(WicketError, match="no"):
                await wire.send(post(server.url), before_first_byte=shut)
        async with asyncio.timeout(5):
            response = await wire.send(post(server.url))
        response.close()
        assert len(server.seen) == 1


async def test_a_connection_that_closes_while_the_gate_is_asked_is_replaced_unsent() -> None:
    asked = 0

    async def gate() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            server.drop_connections()
            for _ in range(20):
                await asyncio.sleep(0)

    async with RecordingUpstream() as server, wire_of() as wire:
        server.on("*", say)
        for _ in range(2):
            response = await wire.send(post(server.url), before_first_byte=gate)
            assert await response.read()
        assert (asked, server.connections, len(server.seen)) == (3, 2, 2)


async def test_an_answer_that_came_before_its_request_is_given_to_nobody() -> None:
    async with RecordingUpstream() as server, wire_of() as wire:
        server.on("*", say)
        response = await wire.send(post(server.url, b'{"a": 1}'))
        assert await response.read()
        for writer in server._writers:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale")
        for _ in range(20):
            await asyncio.sleep(0)
        response = await wire.send(post(server.url, b'{"b": 2}'))
        assert await response.read() == b'{"said": "{\\"b\\": 2}"}'


async def test_callers_beyond_the_connections_of_a_host_wait_and_then_give_up() -> None:
    limits = WireLimits(connections_per_host=2, connect_timeout_s=2.0)
    async with RecordingUpstream() as server, RecordingUpstream() as other, wire_of(limits=limits) as wire:

        async def hang(seen: Seen, out: Out) -> None:
            await out.until_left()

        server.on("*", hang)
        other.on("*", say)
        stuck = [asyncio.create_task(wire.send(post(server.url))) for _ in range(2)]
        await server.wait_for("", 2)
        with pytest.raises(UpstreamFailed) as failed:
            await wire.send(post(server.url))
        assert failed.value.code == "upstream_unreachable"
        response = await wire.send(post(other.url))
        response.close()
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = self_signed(tmp_path)
    server_side.load_cert_chain(certificate)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=server_side)
    async with server, wire_of() as wire:
        with pytest.raises(UpstreamFailed) as failed:
            await wire.send(post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"))
        assert failed.value.code == "upstream_unreachable"


def test_a_request_shows_neither_its_headers_nor_its_body() -> None:
    assert "secret" not in repr(post("http://x/", b"secret body", Authorization="Bearer secret"))


@pytest.mark.parametrize(
    "url", ["https://mcp.example.com/mcp", "http://8.8.8.8:8080/", "https://[2606:4700::1]/mcp"]
)
def test_an_address_that_could_be_connected_to_is_accepted_when_it_is_entered(url: str) -> None:
    with nullcontext() as raised:
        check_url(url, AddressPolicy())
    assert raised is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/mcp",
        "http://[::1]/mcp",
        "http://169.254.169.254/latest",
        "https://user:secret@example.com/",
        "ftp://example.com/",
        "https:///mcp",
        "https://[::1",
        "example.com/mcp",
    ],
)
def test_an_address_that_could_never_be_connected_to_is_refused_when_it_is_entered(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_url(url, AddressPolicy())
    assert refused.value.field == "url"
    assert "secret" not in refused.value.sentence
