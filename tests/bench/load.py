"""A client that only counts: `python -m tests.bench.load '<a Load as JSON>'` prints a Measured as JSON.

It runs in a process of its own and does as little as HTTP lets it, so that what is measured is the server. Each
connection sends its next request when the last one is answered, and is a tool session of its own.
"""

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import cast

import uvloop

WARM_UP_S = 0.4
STUCK_S = 60.0
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    port: int
    path: str
    bearer: str
    body: str
    expect: str
    """Part of every right answer."""
    concurrency: int
    session: str
    """The connections' tool sessions are numbered behind this name."""
    seconds: float = 2.0
    calls_each: int = 0
    """Instead of `seconds`: so many calls on each connection."""


@dataclass(frozen=True)
class Measured:
    calls_per_s: float
    calls: int
    """With those of the warm-up."""
    median_ms: float
    p99_ms: float
    events: int
    refused: int
    """Calls that were turned away as 503 for lack of time; no other wrong answer is let pass."""


class Counting:
    """What all connections have seen together."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.expected = load.expect.encode()
        self.took_s: list[float] = []
        self.calls = 0
        self.events = 0
        self.refused = 0
        self.begun_s = time.perf_counter()
        self.over = asyncio.get_running_loop().create_future()
        self.running = load.concurrency

    def answered(self, took_s: float, answer: bytes, calls: int) -> bool:
        """Take note; whether the connection goes on."""
        self.calls += 1
        is_refused = answer.startswith(b"HTTP/1.1 503")
        if not is_refused and not (answer.startswith(b"HTTP/1.1 200") and self.expected in answer):
            self.fail(f"a wrong answer: {answer[:600]!r}")
            return False
        now_s = time.perf_counter() - self.begun_s
        if self.load.calls_each:
            self.took_s.append(took_s)
            self.events += answer.count(b"event: message\n")
            goes_on = calls < self.load.calls_each
        else:
            if now_s > WARM_UP_S:
                self.refused += is_refused
                if not is_refused:
                    self.took_s.append(took_s)
            goes_on = now_s < WARM_UP_S + self.load.seconds
        if not goes_on:
            self.running -= 1
            if not self.running and not self.over.done():
                self.over.set_result(None)
        return goes_on

    def fail(self, why: str) -> None:
        if not self.over.done():
            self.over.set_exception(RuntimeError(why))


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, counting: Counting, number: int) -> None:
        load = counting.load
        head = (
            f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\nAuthorization: Bearer {load.bearer}\r\n"
            "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            f"X-Claude-Code-Session-Id: {load.session}-{number}\r\nContent-Length: {len(load.body)}\r\n\r\n"
        )
        self._request = (head + load.body).encode()
        self._counting = counting
        self._parts: list[bytes] = []
        self._wanted = 0
        self._got = 0
        self._calls = 0
        self._sent_s = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by their class
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._counting.fail(f"the server hung up: {exc!r}")

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        self._got += len(data)
        if not self._wanted:
            data = b"".join(self._parts)
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(data, 0, end + 2)
            self._wanted = -1 if length is None else end + 4 + int(length[1])
        if self._got == self._wanted or (self._wanted < 0 and self._is_last(data)):
            self._answered()

    def _is_last(self, data: bytes) -> bool:
        if len(data) < len(b"0\r\n\r\n") and len(self._parts) > 1:
            data = self._parts[-2] + data
        return data.endswith(b"\r\n0\r\n\r\n") or data == b"0\r\n\r\n"

    def _answered(self) -> None:
        took_s = time.perf_counter() - self._sent_s
        answer = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._calls += 1
        if self._counting.answered(took_s, answer, self._calls):
            self._send()

    def _send(self) -> None:
        self._parts.clear()
        self._wanted = self._got = 0
        self._sent_s = time.perf_counter()
        self._transport.write(self._request)


async def measure(load: Load) -> Measured:
    loop = asyncio.get_running_loop()
    counting = Counting(load)
    for number in range(load.concurrency):
        await loop.create_connection(lambda n=number: Connection(counting, n), "127.0.0.1", load.port)  # type: ignore[misc]
    async with asyncio.timeout(STUCK_S):
        await counting.over
    took_ms = [1000 * took_s for took_s in counting.took_s]
    spent_s = time.perf_counter() - counting.begun_s
    measured_s = spent_s if load.calls_each else spent_s - WARM_UP_S
    p99 = quantiles(took_ms, n=100)[98] if len(took_ms) > 1 else took_ms[0]
    return Measured(
        len(took_ms) / measured_s, counting.calls, median(took_ms), p99, counting.events, counting.refused
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(uvloop.run(measure(Load(**json.loads(sys.argv[1])))))))
