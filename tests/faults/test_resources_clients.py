"""Clients that never read, that leave at every stage, and that give two calls one id: what they cost, what they get."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa

from tests.faults.clients import RawClient, request_bytes
from tests.gateway.scene import Scene, scene
from tests.upstreams import faults
from tests.upstreams.holding import Holding
from tests.upstreams.recording import Out, Seen
from wicket.core.jsonrpc.strict import VALUES_MAX
from wicket.core.model import AgentStatus, Json, JsonObject

BUFFERED_BYTES_MAX: Final = 24 * 1024 * 1024
"""Of an answer that nobody reads: the sockets of both sides, and our own buffers."""
AT_ONCE: Final = 25
HANG_UPS: Final[dict[str, Callable[[RawClient], None]]] = {
    "closes": RawClient.close,
    "resets": RawClient.reset,
}


class Endless:
    """An upstream that streams as fast as anybody takes it, and counts what was taken."""

    def __init__(self) -> None:
        self.taken = 0
        self.left = asyncio.Event()
        self._piece: JsonObject = {
            "jsonrpc": "2.0",
            "method": "notifications/message",
            "params": {"data": "x" * 32_768},
        }

    async def __call__(self, _seen: Seen, out: Out) -> None:
        try:
            await out.stream()
            while True:
                await out.event(self._piece)
                self.taken += 32_768
        finally:
            self.left.set()


async def until_stalled(s: Scene, endless: Endless) -> None:
    """Until nothing more is taken though others are served; or so much that it is no back pressure."""
    async with asyncio.timeout(60):
        while endless.taken <= BUFFERED_BYTES_MAX:
            before = endless.taken
            answers = await asyncio.gather(*(s.call(tool="other__echo") for _ in range(AT_ONCE)))
            assert {answer.status for answer in answers} == {200}
            if before == endless.taken > 0:
                return


@asynccontextmanager
async def with_another_service(directory: Path) -> AsyncIterator[tuple[Scene, Endless]]:
    """`fake` streams without end, `other` is the same upstream and answers."""
    async with scene(directory) as s:
        await s.wicket.connector(s.agent, "other", s.upstream.url)
        await s.wicket.enable(s.agent, "fake", "other")
        await s.agent.policy(service="other")
        await s.pin("other", *s.upstream.tools)
        assert (await s.call()).status == 200
        endless = Endless()

        async def behave(seen: Seen, out: Out) -> None:
            if seen.params["arguments"] == {"text": "endless"}:
                await endless(seen, out)
            else:
                await out.json(faults.result_of(seen.id))

        s.upstream.on("tools/call", behave)
        yield s, endless


@pytest.mark.promise("P10")
@pytest.mark.parametrize("modern", [False, True], ids=["legacy", "modern"])
async def test_who_never_reads_holds_up_its_upstream_and_nobody_else_and_is_cut_by_the_switch(
    tmp_path: Path, *, modern: bool
) -> None:
    async with with_another_service(tmp_path) as (s, endless):
        client = await RawClient.connected(s.wicket.url)
        await client.send(request_bytes(s.wicket.url, s.key, {"text": "endless"}, modern=modern))
        await client.stop_reading()
        await until_stalled(s, endless)
        assert 0 < endless.taken <= BUFFERED_BYTES_MAX
        await s.agent.status(AgentStatus.DISABLED)
        async with asyncio.timeout(10):
            await endless.left.wait()
        entries = await s.ended()
        client.close()
    (entry,) = (entry for entry in entries if entry.body["toolArgs"] == {"text": "endless"})
    assert entry.outcomes == ("cancelled",)


@pytest.mark.promise("P10")
@pytest.mark.parametrize("how", HANG_UPS)
async def test_who_never_reads_and_leaves_ends_its_call(how: str, tmp_path: Path) -> None:
    async with with_another_service(tmp_path) as (s, endless):
        client = await RawClient.connected(s.wicket.url)
        await client.send(request_bytes(s.wicket.url, s.key, {"text": "endless"}, modern=True))
        await client.stop_reading()
        await until_stalled(s, endless)
        HANG_UPS[how](client)
        async with asyncio.timeout(10):
            await endless.left.wait()
        entries = await s.ended()
    (entry,) = (entry for entry in entries if entry.body["toolArgs"] == {"text": "endless"})
    assert entry.outcomes == ("cancelled",)


@contextmanager
def writing_blocked(s: Scene) -> Iterator[Callable[[], Awaitable[None]]]:
    """Somebody else has the turn to write, so that decisions wait; called, it waits until that is so."""
    has_turn, give_back = threading.Event(), threading.Event()
    held: list[asyncio.Task[None]] = []

    def hold(tx: sa.Connection) -> None:
        has_turn.set()
        assert give_back.wait(30)

    async def begun() -> None:
        held.append(asyncio.create_task(s.wicket.change(hold, agents=[])))
        async with asyncio.timeout(10):
            while not has_turn.is_set():
                await asyncio.sleep(0)

    try:
        yield begun
    finally:
        give_back.set()


@pytest.mark.parametrize("how", HANG_UPS)
@pytest.mark.parametrize("stage", ["nothing", "half a head", "a head", "half a body"])
async def test_who_leaves_before_its_request_is_whole_has_asked_nothing(
    stage: str, how: str, tmp_path: Path
) -> None:
    async with scene(tmp_path) as s:
        whole = request_bytes(s.wicket.url, s.key, {"text": "x" * 1000}, modern=True)
        head = whole.index(b"\r\n\r\n") + 4
        sizes = {
            "nothing": 0,
            "half a head": head // 2,
            "a head": head,
            "half a body": (head + len(whole)) // 2,
        }
        for _ in range(5):
            client = await RawClient.connected(s.wicket.url)
            await client.send(whole[: sizes[stage]])
            HANG_UPS[how](client)
        assert (await s.call({"text": "after"})).status == 200
        entries = await s.ended()
    assert [entry.body["toolArgs"] for entry in entries] == [{"text": "after"}]


@pytest.mark.parametrize("how", HANG_UPS)
@pytest.mark.parametrize("modern", [False, True], ids=["legacy", "modern"])
async def test_who_leaves_while_it_is_being_decided_is_on_record_once(
    how: str, tmp_path: Path, *, modern: bool
) -> None:
    async with scene(tmp_path) as s:
        assert (await s.call()).status == 200
        holding = Holding()
        s.upstream.on("tools/call", holding)
        with writing_blocked(s) as blocked:
            await blocked()
            clients = [await RawClient.connected(s.wicket.url) for _ in range(5)]
            for number, client in enumerate(clients):
                await client.send(request_bytes(s.wicket.url, s.key, {"text": str(number)}, modern=modern))
            async with asyncio.timeout(10):
                while s.wicket.parts.recorder.backlog < len(clients):
                    await asyncio.sleep(0)
            for client in clients:
                HANG_UPS[how](client)
        if not modern:
            await s.upstream.wait_for("tools/call", 1 + len(clients))
            holding.go_on.set()
        entries = await s.ended(1 + len(clients))
    outcome = "cancelled" if modern else "ok"
    assert [entry.outcomes for entry in entries] == [("ok",), *[(outcome,)] * len(clients)]
    assert len(s.upstream.calls) <= 1 + len(clients)


@pytest.mark.parametrize("how", HANG_UPS)
@pytest.mark.parametrize("streams", [False, True], ids=["before the answer", "while it streams"])
@pytest.mark.parametrize("modern", [False, True], ids=["legacy", "modern"])
async def test_who_leaves_while_the_upstream_works_cancels_in_the_modern_era_and_not_in_the_legacy_one(
    how: str, tmp_path: Path, *, streams: bool, modern: bool
) -> None:
    async with scene(tmp_path) as s:
        holding = Holding(streams=streams)
        s.upstream.on("tools/call", holding)
        client = await RawClient.connected(s.wicket.url, buffer_bytes=65_536)
        await client.send(request_bytes(s.wicket.url, s.key, {"text": "left"}, modern=modern))
        await s.upstream.wait_for("tools/call")
        if streams:
            assert b"text/event-stream" in await client.read_until(b"\r\n\r\n")
            await client.read_until(b"\n\n")
        HANG_UPS[how](client)
        if modern:
            async with asyncio.timeout(10):
                await holding.left.wait()
        else:
            holding.go_on.set()
        (entry,) = await s.ended()
    assert entry.outcomes == ("cancelled" if modern else "ok",)
    assert len(s.upstream.calls) == 1


@pytest.mark.parametrize("modern", [False, True], ids=["legacy", "modern"])
async def test_calls_that_share_one_id_each_get_their_own_answer(tmp_path: Path, *, modern: bool) -> None:
    async with scene(tmp_path) as s:
        holding = Holding()
        s.upstream.on("tools/call", holding)
        calls = [
            asyncio.create_task(s.call({"text": f"number {number}"}, modern=modern))
            for number in range(AT_ONCE)
        ]
        await s.upstream.wait_for("tools/call", AT_ONCE)
        holding.go_on.set()
        answers = await asyncio.gather(*calls)
        entries = await s.ended(AT_ONCE)
    said = [json.loads(str(_content(answer.result)[0]["text"])) for answer in answers]
    assert said == [{"text": f"number {number}"} for number in range(AT_ONCE)]
    assert {answer.json["id"] for answer in answers} == {1}
    assert len({seen.id for seen in s.upstream.calls}) == AT_ONCE
    assert [entry.outcomes for entry in entries] == [("ok",)] * AT_ONCE


@pytest.mark.promise("P10")
async def test_a_body_of_very_many_values_is_refused_before_anybody_waits_for_it(tmp_path: Path) -> None:
    numbers: list[Json] = [1] * (VALUES_MAX + 1)
    async with scene(tmp_path) as s:
        assert (await s.call({"list": numbers[: VALUES_MAX // 2]})).status == 200
        assert (await s.call({"text": ",{}[]" * VALUES_MAX})).status == 200
        refused = await s.call({"list": numbers})
        nested = await s.call({"list": [{"a": 1, "b": ['"', "\\"]} for _ in range(VALUES_MAX)]})
        entries = await s.ended(2)
    assert [(one.status, one.error["code"]) for one in (refused, nested)] == [(400, -32700)] * 2
    assert len(entries) == len(s.upstream.calls) == 2


def _content(result: JsonObject) -> list[JsonObject]:
    content = result["content"]
    assert isinstance(content, list)
    return [item for item in content if isinstance(item, dict)]
