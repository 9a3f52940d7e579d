"""A server that is told to stop while calls stream, that is paused and goes on, that may open nothing more."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.faults.clients import RawClient, request_bytes
from tests.faults.process import Served, served
from tests.gateway.scene import grown_old, until
from tests.journeys.log import Logged, open_entries, read_log
from tests.reachable import AgentUnderTest
from tests.upstreams.holding import Holding
from tests.upstreams.recording import Out, RecordingUpstream, Seen
from wicket.core.model import JsonObject
from wicket.store.audit.verify import verify

STREAMING: Final = 50
PARKED: Final = 5
SPARE_DESCRIPTORS: Final = 6
KNOCKING: Final = 60


@dataclass
class Stage:
    server: Served
    upstream: RecordingUpstream
    agent: AgentUnderTest
    key: str

    async def log(self) -> list[Logged]:
        """Once every call is over; checked for tampering."""
        database = self.server.wicket.database

        async def are_over() -> bool:
            return not await open_entries(database)

        await until(are_over)
        report = await database.read(verify)
        assert report.ok, report
        return await read_log(database)

    async def streaming(self, number: int) -> RawClient:
        """A call of which the first event has come."""
        client = await RawClient.connected(self.server.url, buffer_bytes=65_536)
        await client.send(request_bytes(self.server.url, self.key, {"owner": str(number)}))
        await client.read_until(b"working")
        return client


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    async with RecordingUpstream() as upstream, served(directory) as server:
        agent = await server.wicket.agent(services={"fake": upstream.url})
        await agent.policy(service="fake")
        key = await agent.key()
        yield Stage(server, upstream, agent, key)


@asynccontextmanager
async def parked(s: Stage) -> AsyncIterator[list[aiohttp.ClientResponse]]:
    """Streams that stand open for what may happen: modern ones, and those of legacy sessions."""
    listen = {"notifications": {"toolsListChanged": True}}
    modern = {"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}
    async with AsyncExitStack() as stack:
        responses = []
        for number in range(PARKED):
            body = {
                "jsonrpc": "2.0",
                "id": number,
                "method": "subscriptions/listen",
                "params": {**listen, "_meta": _META},
            }
            sent = s.server.wicket.http.post(
                f"{s.server.url}/mcp", data=json.dumps(body), headers=_headers(s.key) | modern
            )
            responses.append(await stack.enter_async_context(sent))
        for _ in range(PARKED):
            opened = await s.server.wicket.rpc(s.key, "initialize", _HELLO)
            session = {"mcp-session-id": opened.headers["mcp-session-id"]}
            attending = s.server.wicket.http.get(f"{s.server.url}/mcp", headers=_headers(s.key) | session)
            responses.append(await stack.enter_async_context(attending))
        assert {response.status for response in responses} == {200}
        for response in responses:
            await response.content.readuntil(b"\n\n")
        yield responses


_META: JsonObject = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
}
_HELLO: JsonObject = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "tests", "version": "1"},
}


def _headers(key: str) -> dict[str, str]:
    return {
        "authorization": f"Bearer {key}",
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
    }


async def is_refused(url: str) -> bool:
    """Whether nobody takes a new connection."""
    try:
        client = await RawClient.connected(url)
    except ConnectionRefusedError:
        return True
    client.reset()
    return False


async def ended(response: aiohttp.ClientResponse) -> None:
    """Until the server has ended a stream, in whatever way."""
    try:
        while await response.content.readany():
            pass
    except aiohttp.ClientError:
        return


async def test_told_to_stop_it_lets_go_who_only_listens_and_brings_fifty_streaming_calls_to_their_end(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s, parked(s) as listeners:
        holding = Holding(streams=True)
        s.upstream.on("tools/call", holding)
        clients = [await s.streaming(number + 1) for number in range(STREAMING)]
        s.server.signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await asyncio.gather(*(ended(response) for response in listeners))
            await until(lambda: is_refused(s.server.url))
        # In this order: nobody listens any more, nobody new gets in, and every call is still on its way.
        assert not holding.left.is_set()
        assert s.server.process.returncode is None
        holding.go_on.set()
        answers = await asyncio.gather(*(client.left() for client in clients))
        assert await s.server.ended() == 0
        entries = await s.log()
    assert [number for number, answer in enumerate(answers) if b'"result"' not in answer] == []
    assert {entry.outcomes for entry in entries} == {("ok",)}
    assert len(entries) == STREAMING


async def test_told_to_stop_with_nothing_but_listeners_it_ends_without_a_grace(tmp_path: Path) -> None:
    """By order, not by the clock: a call that begins when the others are gone would outlive a grace of seconds."""
    async with stage(tmp_path) as s, parked(s) as listeners:
        s.server.signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await asyncio.gather(*(ended(response) for response in listeners))
        assert await s.server.ended() == 0
        assert await s.log() == []


@pytest.mark.promise("P6")
@pytest.mark.parametrize("moved", [True, False], ids=["rules moved", "rules unmoved"])
async def test_paused_between_the_record_and_the_first_byte_it_looks_at_the_rules_again(
    tmp_path: Path, *, moved: bool
) -> None:
    async with stage(tmp_path) as s:
        holding, asked = Holding(), asyncio.Event()

        async def discover(seen: Seen, out: Out) -> None:
            asked.set()
            await holding.go_on.wait()
            s.upstream.on("server/discover", None)
            await s.upstream._modern(seen, out)

        s.upstream.on("server/discover", discover)
        call = asyncio.create_task(s.server.wicket.call(s.key, "fake__echo", {"owner": "7"}))
        await asked.wait()  # it is recorded, and on its way to be sent
        s.server.signal(signal.SIGSTOP)
        await s.server.stopped()
        if moved:
            await s.agent.policy(service="fake", name="no", effect="forbid")
        await grown_old()
        holding.go_on.set()
        s.server.signal(signal.SIGCONT)
        async with asyncio.timeout(30):
            answer = await call
        (entry,) = await s.log()
        calls = len(s.upstream.calls)
    assert entry.allowed
    assert entry.outcomes == ("expired",) if moved else ("ok",)
    assert calls == (0 if moved else 1)
    assert answer.status == (503 if moved else 200)
    if moved:
        assert answer.data["reason"] == "decision_expired"
        assert answer.data["retryable"] is True


@pytest.mark.slow
async def test_paused_with_calls_in_the_air_it_goes_on_where_it_was(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        holding = Holding(streams=True)
        s.upstream.on("tools/call", holding)
        clients = [await s.streaming(number + 1) for number in range(STREAMING)]
        s.server.signal(signal.SIGSTOP)
        await s.server.stopped()
        late = asyncio.create_task(s.server.wicket.call(s.key, "fake__echo", {"owner": "99"}))
        await grown_old(2_000_000_000)
        s.server.signal(signal.SIGCONT)
        await s.upstream.wait_for("tools/call", STREAMING + 1)
        holding.go_on.set()
        assert (await late).status == 200
        for client in clients:
            assert b'"result"' in await client.read_until(b'"result"')
            client.close()
        entries = await s.log()
    assert {entry.outcomes for entry in entries} == {("ok",)}
    assert len(entries) == STREAMING + 1


@pytest.mark.promise("P10")
@pytest.mark.slow
async def test_out_of_descriptors_it_finishes_what_it_has_and_recovers_and_does_not_spin(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        holding = Holding(streams=True)
        s.upstream.on("tools/call", holding)
        clients = [await s.streaming(number + 1) for number in range(PARKED)]
        inside = await RawClient.connected(s.server.url)
        most = s.server.descriptors() + SPARE_DESCRIPTORS
        s.server.limit_descriptors(most)
        knocking = [await RawClient.connected(s.server.url) for _ in range(KNOCKING)]

        async def are_used_up() -> bool:
            return s.server.descriptors() >= most - 1  # libuv keeps one back, to turn somebody away with

        await until(are_used_up)
        await inside.send(request_bytes(s.server.url, s.key, {"owner": "98"}))
        assert await inside.read_until(b"\r\n") in {b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 502 Bad Gateway\r\n"}
        inside.close()
        await busy_no_more(s.server)
        holding.go_on.set()
        for client in clients:
            await client.read_until(b'"result"')
            client.close()
        for client in knocking:
            client.reset()
        await s.server.wicket.http.close()
        s.server.wicket.http = aiohttp.ClientSession()
        await until(lambda: answers_again(s))
        s.server.limit_descriptors(None)
        assert await answers_again(s)
        s.server.signal(signal.SIGTERM)
        assert await s.server.ended() == 0
        entries = await s.log()
        await s.server.wicket.http.close()
    outcomes = [entry.outcomes for entry in entries]
    assert outcomes[:PARKED] == [("ok",)] * PARKED
    assert set(outcomes) <= {("ok",), ("upstream_error",)}


async def busy_no_more(server: Served) -> None:
    """Somewhere in the next seconds there is one in which the server hardly does anything."""
    for _ in range(10):
        before = server.cpu_s()
        await grown_old(1_000_000_000)
        if server.cpu_s() - before < 0.3:
            return
    raise AssertionError("it spins")


async def answers_again(s: Stage) -> bool:
    try:
        return (await s.server.wicket.call(s.key, "fake__echo", {"owner": "1000"})).status == 200
    except aiohttp.ClientError:
        return False
