"""Where signed statements about the log are kept outside: a file elsewhere, or whoever takes a POST.

Each is one line of JSON with its text and its signature, the same either way: `wicket audit verify --checkpoint`
reads what a sink has kept. They are sent in their order, one after the other, until the sink has them; it may get
one twice.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import structlog

from wicket.core.checkpoints import Signed
from wicket.core.errors import Unavailable, UpstreamFailed
from wicket.runtime.wire import Wire, WireRequest, header_lines
from wicket.store.checkpoints import list_unsent, mark_sent
from wicket.store.db import Database
from wicket.store.duties import Duty, on_duty

FILE: Final = "checkpoints.jsonl"
TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024
STATEMENTS_MAX: Final = 100
"""That are read, and marked as sent, together."""
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 300.0
LAST_ROUND_S: Final = 5.0
"""For what is written on the way out."""

_log = structlog.get_logger()


class Sink(Protocol):
    async def keep(self, signed: Signed) -> None:
        """Return once it is kept; raises Unavailable."""


def sink_at(url: str, wire: Wire) -> Sink:
    """The sink that a setting names: `file:///directory`, or an address that takes a POST."""
    parts = urlsplit(url)
    return FileSink(Path(unquote(parts.path))) if parts.scheme == "file" else HttpSink(url, wire)


class FileSink:
    """A file that grows, in a directory that must be there: a mount that is not is no place to keep anything."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def keep(self, signed: Signed) -> None:
        try:
            await asyncio.to_thread(self._append, signed.render_line() + "\n")
        except OSError as error:
            raise Unavailable(
                f"`{self._directory}` takes no checkpoints ({error.strerror}): check that it is there, and its owner"
            ) from error

    def _append(self, line: str) -> None:
        descriptor = os.open(
            self._directory / FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            is_begun = file.seek(0, os.SEEK_END) > 0
            if is_begun:
                file.seek(-1, os.SEEK_END)
            # A line that was cut off, by a full disk or a crash, must not spoil the next one.
            cut = b"\n" if is_begun and file.read(1) != b"\n" else b""
            file.write(cut + line.encode())
            file.flush()
            os.fsync(file.fileno())
        if not is_begun:
            _sync_directory(self._directory)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class HttpSink:
    """Any answer of the 200s says that it is kept."""

    def __init__(self, url: str, wire: Wire) -> None:
        self._url = url
        self._wire = wire

    async def keep(self, signed: Signed) -> None:
        lines = {"Content-Type": "application/json", "Wicket-Signature": signed.signature.hex()}
        request = WireRequest(
            url=self._url,
            headers=header_lines(lines),
            body=signed.render_line().encode(),
            timeout_s=TIMEOUT_S,
            service="the sink of checkpoints",
            response_bytes_max=ANSWER_BYTES_MAX,
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._wire.send(request)
                try:
                    await answer.read()
                finally:
                    answer.close()
        except (UpstreamFailed, TimeoutError) as error:
            raise Unavailable(f"the sink of checkpoints did not take one: {error}") from error
        if answer.status // 100 != 2:  # noqa: PLR2004 - the class of statuses that say yes
            raise Unavailable(
                f"the sink of checkpoints answered {answer.status}: it must answer 200 to keep one"
            )


class Sending:
    """Brings statements to the sink, from one process at a time; start it, wake it, stop it."""

    def __init__(
        self, database: Database, sink: Sink, *, every_s: float, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._sink = sink
        self._every_s = every_s
        self._now = now
        self._woken = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._sending = asyncio.create_task(self._send_again_and_again())

    def wake(self) -> None:
        """A statement was written."""
        self._woken.set()

    async def stop(self) -> None:
        """Send what is left, if the sink takes it in time; the next start does otherwise."""
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending
        try:
            async with asyncio.timeout(LAST_ROUND_S):
                await self.send()
        except (Unavailable, TimeoutError) as error:
            _log.warning("checkpoints wait to be sent by the next start", error=str(error))

    async def send(self) -> None:
        """Send whatever the sink has not got, unless another process does; raises Unavailable."""
        async with on_duty(self._database, Duty.SENDING) as is_ours:
            while is_ours and (unsent := await self._database.read(list_unsent, limit=STATEMENTS_MAX)):
                kept: list[int] = []
                try:
                    for statement in unsent:
                        await self._sink.keep(statement.signed)
                        kept.append(statement.id)
                finally:
                    if kept:
                        await self._database.change(mark_sent, kept, now=self._now(), agents=())

    async def _send_again_and_again(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while True:
            self._woken.clear()
            wait_s = self._every_s
            try:
                await self.send()
                backoff_s = BACKOFF_FIRST_S
            except Unavailable as error:
                _log.warning("checkpoints could not be sent", error=str(error), again_in_s=backoff_s)
                wait_s, backoff_s = backoff_s, min(2 * backoff_s, BACKOFF_MAX_S)
            except Exception:  # noqa: BLE001 - the top of the task: without it nothing would be sent any more
                _log.exception("checkpoints could not be sent")
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
