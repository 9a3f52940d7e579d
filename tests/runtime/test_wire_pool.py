"""How many connections there are, who gets them in which order, and when one that is waited for is given up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import TypeAlias

import pytest

from tests.upstreams.recording import Out, RecordingUpstream, Seen
from wicket.core.errors import UpstreamFailed
from wicket.runtime.wire import NO_LINES, AddressPolicy, HttpWire, WireLimits, WireRequest
from wicket.runtime.wire.connection import Connection
from wicket.runtime.wire.pool import Room

NEVER_S = 3_600
Task: TypeAlias = asyncio.Task[None]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


def post(url: str, *, timeout_s: float = 5) -> WireRequest:
    return WireRequest(url=url, headers=NO_LINES, body=b"{}", timeout_s=timeout_s, service="fake")


@asynccontextmanager
async def wire_of(limits: WireLimits | None = None) -> AsyncIterator[HttpWire]:
    wire = HttpWire(addresses=AddressPolicy(allow_private=True), limits=limits)
    try:
        async with asyncio.timeout(10):
            yield wire
    finally:
        await wire.close()


async def say(_: Seen, out: Out) -> None:
    await out.json({"said": True})


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# A room


async def test_who_comes_first_enters_first() -> None:
    room, entered = Room(2), list[int]()

    async def enter(number: int) -> None:
        await room.enter()
        entered.append(number)

    tasks = [asyncio.create_task(enter(number)) for number in range(5)]
    await settle()
    assert (entered, room.free) == ([0, 1], 0)
    for count in (3, 4, 5):
        room.leave()
        await settle()
        assert (entered, room.free) == ([*range(count)], 0)
    await asyncio.gather(*tasks)
    for free in (1, 2):
        room.leave()
        assert room.free == free


@pytest.mark.parametrize("way", ["left long ago", "leaves", "is handed it"])
async def test_a_place_is_not_lost_with_who_waited_for_it(way: str) -> None:
    room = Room(1)
    await room.enter()
    leaving, staying = (asyncio.create_task(room.enter()) for _ in range(2))
    await settle()
    if way == "is handed it":
        room.leave()
        leaving.cancel()
    else:
        leaving.cancel()
        if way == "left long ago":
            await settle()
        room.leave()
    async with asyncio.timeout(5):
        await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
    room.leave()
    assert room.free == 1


# A pool


async def test_connections_of_all_hosts_together_are_bounded() -> None:
    go_on = asyncio.Event()

    async def wait(seen: Seen, out: Out) -> None:
        await go_on.wait()
        await say(seen, out)

    async with (
        RecordingUpstream() as one,
        RecordingUpstream() as other,
        wire_of(WireLimits(connections_max=3, connections_per_host=2)) as wire,
    ):
        one.on("*", wait)
        other.on("*", wait)
        calls = [
            asyncio.create_task(wire.send(post(url)))
            for url in (one.url, one.url, one.url, other.url, other.url)
        ]
        await one.wait_for("", 2)
        await other.wait_for("", 1)
        await settle()
        assert (one.connections, other.connections) == (2, 1)
        go_on.set()
        for call in asyncio.as_completed(calls):
            (await call).close()
        # An answer that nobody reads leaves no connection that could be used again.
        assert len(one.seen) == 3
        assert len(other.seen) == 2


async def test_who_waits_for_a_connection_gets_the_one_that_is_given_back() -> None:
    async with RecordingUpstream() as server, wire_of(WireLimits(connections_per_host=1)) as wire:
        server.on("*", say)
        first = await wire.send(post(server.url))
        waiting = [asyncio.create_task(wire.send(post(server.url))) for _ in range(3)]
        await settle()
        assert len(server.seen) == 1
        assert await first.read()
        for call in waiting:
            assert await (await call).read()
        assert (len(server.seen), server.connections) == (4, 1)


async def test_a_connection_whose_answer_was_not_read_is_not_used_again() -> None:
    async def much(_: Seen, out: Out) -> None:
        await out.head(200, {"Content-Length": "10"})
        await out.raw(b"12345")
        await out.until_left()

    async with RecordingUpstream() as server, wire_of() as wire:
        server.on("*", much)
        response = await wire.send(post(server.url))
        assert await response.receive() == b"12345"
        response.close()
        server.on("*", say)
        assert b"12345" not in await (await wire.send(post(server.url))).read()
        assert server.connections == 2


async def test_an_answer_that_was_received_to_its_end_is_nobodys_any_more() -> None:
    async with RecordingUpstream() as server, wire_of() as wire:
        server.on("*", say)
        over = await wire.send(post(server.url))
        assert await over.read()
        under_way = await wire.send(post(server.url))
        assert await over.receive() == b""
        over.close()
        assert await under_way.read() == b'{"said": true}'
        assert server.connections == 1


async def test_a_busy_answer_is_given_up_at_the_instant_that_was_set() -> None:
    async def babble(_: Seen, out: Out) -> None:
        await out.stream()
        while True:
            await out.chunk(b"and another thing. " * 1_000)

    async with RecordingUpstream() as server, wire_of() as wire:
        server.on("*", babble)
        response = await wire.send(post(server.url))
        response.ends_at_s = asyncio.get_running_loop().time() + 0.05
        with pytest.raises(UpstreamFailed) as failed:
            await response.read(1_000_000_000)
        response.close()
        assert (failed.value.code, failed.value.status) == ("upstream_timeout", 504)


# A connection


class Wired(asyncio.Transport):
    """The other end of a connection that has no socket."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert data

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


def sent() -> Connection:
    connection = Connection(1_000)
    connection.connection_made(Wired())
    connection.write(b"a request")
    return connection


async def is_given_up(connection: Connection, within_s: float, ends_at_s: float = inf) -> bool:
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await connection.news(within_s, ends_at_s)
    return not connection.is_usable


async def test_silence_is_given_up_and_the_connection_with_it() -> None:
    assert await is_given_up(sent(), 0.01)


async def test_patience_ends_when_everything_is_to_end() -> None:
    assert await is_given_up(sent(), NEVER_S, asyncio.get_running_loop().time() + 0.01)


async def test_an_impatient_caller_is_heard_behind_a_patient_one() -> None:
    connection = sent()
    news = connection.news(NEVER_S)
    connection.data_received(HEAD)
    await news
    assert await is_given_up(connection, 0.01)


async def test_what_was_heard_gives_a_caller_its_whole_patience_again() -> None:
    loop, connection = asyncio.get_running_loop(), sent()
    news = connection.news(0.02)
    connection.data_received(HEAD)
    await news
    begun_s = loop.time()
    assert await is_given_up(connection, 0.1)
    assert loop.time() - begun_s >= 0.1


async def test_a_connection_that_nobody_waits_for_is_not_given_up() -> None:
    loop, connection, rung = asyncio.get_running_loop(), sent(), asyncio.Event()
    news = connection.news(0.01)
    connection.data_received(HEAD + b"done")
    await news
    assert connection.take() == b"done"
    loop.call_later(0.05, rung.set)
    await rung.wait()
    assert connection.is_usable


# What comes of a body


BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"


def hearing(connection: Connection, enough: bytes, *, within_s: float = 5) -> tuple[Task, list[bytes]]:
    """A task that waits until `enough` has come, and what was heard."""
    pieces: list[bytes] = []

    def heard() -> bool:
        pieces.append(connection.take())
        return pieces[-1] == enough

    return asyncio.create_task(connection.hear(within_s, inf, heard)), pieces


async def test_a_body_is_heard_as_it_comes_and_who_waits_goes_on_when_it_is_enough() -> None:
    connection = sent()
    connection.data_received(BODY + b"a")
    waiting, pieces = hearing(connection, b"c")
    await settle()
    connection.data_received(b"b")
    assert pieces == [b"a", b"b"]  # before anybody had a turn
    await settle()
    assert not waiting.done()
    connection.data_received(b"c")
    connection.data_received(b"d")
    await waiting
    assert pieces == [b"a", b"b", b"c"]
    assert connection.take() == b"d"


async def test_who_waits_for_a_body_goes_on_at_its_end() -> None:
    connection = sent()
    waiting, pieces = hearing(connection, b"never")
    connection.data_received(BODY + b"abc")
    await settle()
    connection.data_received(b"def and what nobody asked for")
    await waiting
    assert pieces == [b"abc", b"def"]
    assert not connection.is_usable


async def test_what_goes_wrong_with_what_is_heard_is_told_to_who_waits() -> None:
    class Wrong(Exception):
        pass

    def heard() -> bool:
        if connection.take() == b"x":
            raise Wrong
        return False

    connection = sent()
    connection.data_received(BODY)
    waiting = asyncio.create_task(connection.hear(5, inf, heard))
    await settle()
    connection.data_received(b"x")
    connection.data_received(b"y")
    with pytest.raises(Wrong):
        await waiting
    assert connection.take() == b"y"


async def test_who_has_left_hears_nothing_any_more() -> None:
    connection = sent()
    connection.data_received(BODY)
    waiting, pieces = hearing(connection, b"never")
    await settle()
    waiting.cancel()
    connection.data_received(b"a")
    await asyncio.gather(waiting, return_exceptions=True)
    assert (pieces, connection.take()) == ([], b"a")


async def test_a_body_is_given_up_when_it_has_been_silent_for_long_and_not_before() -> None:
    loop, connection = asyncio.get_running_loop(), sent()
    connection.data_received(BODY)
    waiting, pieces = hearing(connection, b"never", within_s=0.05)
    await settle()
    heard_at_s = loop.time()
    connection.data_received(b"a")
    with pytest.raises(TimeoutError):
        await waiting
    assert loop.time() - heard_at_s >= 0.05
    assert pieces == [b"a"]
