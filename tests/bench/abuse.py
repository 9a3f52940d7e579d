"""What healthy callers notice of clients who behave badly: `python -m tests.bench.abuse` prints figures as JSON.

Callers go on at their own pace while one abuse after the other is done to the server, and a probe asks `/alive` over
one connection a hundred times a second: how late it is answered is how long the event loop was busy with others. Each
abuse is compared with the quiet turns before and after it. Floods come at a rate, so that what is measured is whether
one waits for the other, and not how fast the machine is. `WICKET_TEST_ROUNDS` says how many turns.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final, TypeAlias

from tests import evidence
from tests.bench.bulkheads import agent_of
from tests.bench.load import Load
from tests.bench.policies import ALLOWED_TOOL, SERVICE
from tests.bench.subjects import call_body, process, upstream
from tests.faults.clients import RawClient, request_bytes
from tests.faults.process import Served, served
from tests.upstreams import faults
from tests.upstreams.recording import Out, RecordingUpstream, Seen
from wicket.core.model import JsonObject

HUNG, ENDLESS = "hung", "endless"
CALLERS: Final = 4
SECONDS: Final = 4.0
PROBE_EVERY_S: Final = 0.01
HALF_OPEN: Final = 2_000
ON_THE_HUNG_ONE: Final = 200
READING_NOTHING: Final = 50
FLOOD_PER_S: Final = 200
LARGE_PER_S: Final = 5
LARGE_BYTES: Final = 4 * 1024 * 1024 - 1_024
ELSEWHERE: Final = tuple(f"127.0.1.{number}" for number in range(1, 9))
"""Where the abuse comes from: not from the address of the healthy callers."""
P99_RATIO_MAX: Final = 2.0


@dataclass(frozen=True)
class Scene:
    server: Served
    key: str

    def request(self, service: str, arguments: Mapping[str, str], *, key: str | None = None) -> bytes:
        tool = f"{service}__{ALLOWED_TOOL}"
        return request_bytes(self.server.url, key or self.key, {**arguments}, tool=tool, modern=True)


Abuse: TypeAlias = Callable[[Scene], Coroutine[None, None, None]]


async def behave(_scene: Scene) -> None:
    await asyncio.Event().wait()


async def hold(scene: Scene, count: int, sent: bytes) -> None:
    """So many connections that send so much, read nothing, and come back when they are thrown out."""

    async def one(number: int) -> None:
        source = ELSEWHERE[number % len(ELSEWHERE)]
        while True:
            with suppress(OSError):
                client = await RawClient.connected(scene.server.url, source=source)
                try:
                    await client.send(sent)
                    await client.stop_reading()
                    while not client.writer.transport.is_closing():
                        await asyncio.sleep(1)
                finally:
                    client.reset()

    await asyncio.gather(*(one(number) for number in range(count)))


async def half_open(scene: Scene) -> None:
    whole = scene.request(SERVICE, {})
    await hold(scene, HALF_OPEN, whole[: len(whole) // 2])


async def hung_calls(scene: Scene) -> None:
    await hold(scene, ON_THE_HUNG_ONE, scene.request(HUNG, {}))


async def never_read(scene: Scene) -> None:
    await hold(scene, READING_NOTHING, scene.request(ENDLESS, {}))


async def flood(scene: Scene, sent: bytes, per_s: int) -> None:
    """One after the other on one connection, at a rate, whatever is answered."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            client = await RawClient.connected(scene.server.url, buffer_bytes=65_536, source=ELSEWHERE[0])
            reading = asyncio.create_task(client.left())
            try:
                while not reading.done():
                    await client.send(sent)
                    await asyncio.sleep(1 / per_s)
            finally:
                reading.cancel()
                client.reset()


async def strangers(scene: Scene) -> None:
    await flood(scene, scene.request(SERVICE, {}, key="A" * 32), FLOOD_PER_S)


async def denied(scene: Scene) -> None:
    await flood(scene, scene.request("unheard", {}), FLOOD_PER_S)


async def malformed(scene: Scene) -> None:
    whole = scene.request(SERVICE, {"text": "x" * 60_000})
    await flood(scene, whole[:-2] + b"]]", FLOOD_PER_S)


async def large(scene: Scene) -> None:
    await flood(scene, scene.request("unheard", {"text": "x" * LARGE_BYTES}), LARGE_PER_S)


async def comes_and_goes(scene: Scene) -> None:
    """Leaves in the middle of its call."""
    sent = scene.request(HUNG, {})
    while True:
        with suppress(OSError):
            client = await RawClient.connected(scene.server.url, source=ELSEWHERE[0])
            await client.send(sent)
            await asyncio.sleep(1 / FLOOD_PER_S)
            client.reset()


ABUSES: Final[tuple[Abuse, ...]] = (
    *(half_open, hung_calls, never_read, strangers, denied, malformed, large, comes_and_goes),
)


async def probe(scene: Scene, took_ms: list[float]) -> None:
    """How late `/alive` is answered, on one connection for as long as it lasts."""
    asked = f"GET /alive HTTP/1.1\r\nHost: {scene.server.url.removeprefix('http://')}\r\n\r\n".encode()
    while True:
        client = await RawClient.connected(scene.server.url, buffer_bytes=65_536)
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                begun_s = time.perf_counter()
                await client.send(asked)
                head = await client.read_until(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                await client.reader.readexactly(int(length))
                took_ms.append(1_000 * (time.perf_counter() - begun_s))
                await asyncio.sleep(PROBE_EVERY_S)
        client.reset()


async def measured(scene: Scene, directory: Path) -> dict[str, float]:
    """The healthy callers, in a process of their own, and the probe beside them."""
    port, body = int(scene.server.url.rpartition(":")[2]), call_body(f"{SERVICE}__{ALLOWED_TOOL}")
    load = Load(port, "/mcp", scene.key, body, '"result"', CALLERS, "healthy", SECONDS)
    took_ms: list[float] = []
    probing = asyncio.create_task(probe(scene, took_ms))
    async with process(
        [sys.executable, "-m", "tests.bench.load", json.dumps(asdict(load))], cwd=directory
    ) as client:
        said = json.loads((await client.communicate())[0])
    probing.cancel()
    return {
        "p99_ms": said["p99_ms"],
        "calls": said["calls"],
        "lag_p99_ms": quantiles(took_ms, n=100)[98],
        "lag_max_ms": max(took_ms),
        "rss_mib": scene.server.rss_kib() / 1_024,
        "descriptors": scene.server.descriptors(),
    }


async def turn(abuse: Abuse, scene: Scene, directory: Path) -> dict[str, float]:
    """The figures while an abuse goes on."""
    abusing = asyncio.create_task(abuse(scene))
    try:
        return await measured(scene, directory)
    finally:
        abusing.cancel()
        await asyncio.gather(abusing, return_exceptions=True)


@asynccontextmanager
async def standing(directory: Path) -> AsyncIterator[Scene]:
    """A server with a fast upstream, one that hangs, and one that never ends."""

    async def pour(_seen: Seen, out: Out) -> None:
        await out.stream()
        while True:
            await out.event(
                {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * 8_192}}
            )

    tool: JsonObject = {"name": ALLOWED_TOOL, "inputSchema": {"type": "object"}}
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(upstream(directory))
        hung = await stack.enter_async_context(RecordingUpstream(tools=[tool]))
        endless = await stack.enter_async_context(RecordingUpstream(tools=[tool]))
        hung.on("tools/call", faults.hang)
        endless.on("tools/call", pour)
        server = await stack.enter_async_context(served(directory))
        urls = {SERVICE: f"http://127.0.0.1:{port}/mcp", HUNG: hung.url, ENDLESS: endless.url}
        yield Scene(server, await agent_of(server.wicket, urls))


async def run(rounds: int, directory: Path) -> dict[str, dict[str, float]]:
    """Abuse -> its figures, the median of all rounds; with the quiet turns as `behave`."""
    seen: dict[str, list[dict[str, float]]] = defaultdict(list)
    ratios: dict[str, list[float]] = defaultdict(list)
    async with standing(directory) as scene:
        for _ in range(rounds):
            before = await turn(behave, scene, directory)
            for abuse in ABUSES:
                during = await turn(abuse, scene, directory)
                after = await turn(behave, scene, directory)
                seen[abuse.__name__].append(during)
                seen[behave.__name__] += [before, after]
                ratios[abuse.__name__].append(2 * during["p99_ms"] / (before["p99_ms"] + after["p99_ms"]))
                before = after
    figures = {
        name: {what: round(median(turn[what] for turn in turns), 2) for what in turns[0]}
        for name, turns in seen.items()
    }
    for name, found in ratios.items():
        figures[name]["p99_ratio"] = round(median(found), 3)
    return figures


async def main() -> int:
    with tempfile.TemporaryDirectory(prefix="wicket-abuse-") as name:
        figures = await run(evidence.asked("WICKET_TEST_ROUNDS", 3), Path(name))
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    abused = {name: found["p99_ratio"] for name, found in figures.items() if "p99_ratio" in found}
    slow = sum(ratio > P99_RATIO_MAX for ratio in abused.values())
    evidence.note(
        "abuse",
        len(abused),
        wrong={"abuses that more than double others' p99": slow},
        **{f"p99_percent_{name}": round(100 * ratio) for name, ratio in abused.items()},
    )
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
