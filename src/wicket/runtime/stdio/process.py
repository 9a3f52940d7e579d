"""A child process that speaks MCP in lines: started with little of our environment, ended with all it started."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from wicket.runtime.wire import broken, unreachable

_log = structlog.get_logger(__name__)

PASSED_ENVIRONMENT: Final = (
    *("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)
"""Of our own environment; our settings are secrets."""
LOG_LINE_CHARS_MAX: Final = 1_000
READ_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class StdioCommand:
    """How a local server is started."""

    key: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path | None = None


@dataclass(frozen=True, slots=True)
class StdioLimits:
    """Bounds of local servers, each with its unit."""

    line_bytes_max: int = 16 * 1024 * 1024
    unsent_bytes_max: int = 16 * 1024 * 1024
    """Waiting for a server that does not read."""
    start_timeout_s: float = 30.0
    """Until it has answered `initialize`; package runners may download first."""
    requests_max: int = 1_000
    messages_max: int = 1_000
    """About one request, waiting for its caller; notifications beyond are dropped."""
    retry_min_s: float = 0.5
    retry_max_s: float = 30.0
    healthy_after_s: float = 60.0
    """A server that ran for so long is started again at once."""
    stop_s: float = 2.0
    """To end by itself after its input was closed, and again after SIGTERM."""


class Child:
    """A running process: lines in, lines out."""

    def __init__(self, process: asyncio.subprocess.Process, key: str, limits: StdioLimits) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("a child process needs three pipes")
        self._process = process
        self._key = key
        self._limits = limits
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._log_task = asyncio.create_task(_drain(process.stderr, key))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None and not self._stdin.is_closing()

    async def read(self) -> bytes | None:
        """The next line, None at the end; raises UpstreamFailed for one that is too long."""
        try:
            return await self._stdout.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError as error:
            raise broken(self._key, f"a line is longer than {self._limits.line_bytes_max} bytes") from error

    def write(self, message: bytes) -> None:
        """Hand a message over whole; raises UpstreamFailed where nothing of it was."""
        if not self.is_running:
            raise unreachable(self._key, "it has ended")
        if self._stdin.transport.get_write_buffer_size() + len(message) > self._limits.unsent_bytes_max:
            raise unreachable(self._key, "it does not read what it is sent")
        self._stdin.write(message + b"\n")

    async def stop(self) -> None:
        """End it: by closing its input, then by SIGTERM, then by SIGKILL, to everything it started."""
        self._stdin.close()
        for signal_number in (None, signal.SIGTERM, signal.SIGKILL):
            if signal_number is not None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal_number)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.stop_s):
                    await self._process.wait()
                    break
        with suppress(ProcessLookupError):
            # What the server left behind is in its process group still.
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            # Pipes that are not read to their end stay open.
            async with asyncio.timeout(self._limits.stop_s):
                while await self._stdout.read(READ_BYTES):
                    pass
                await self._log_task


async def start_child(command: StdioCommand, environment: Mapping[str, str], limits: StdioLimits) -> Child:
    """Start the process; raises UpstreamFailed when it cannot be."""
    try:
        process = await asyncio.create_subprocess_exec(
            command.command,
            *command.args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={name: environment[name] for name in PASSED_ENVIRONMENT if name in environment}
            | dict(command.env),
            cwd=command.cwd,
            limit=limits.line_bytes_max,
            start_new_session=True,
        )
    except OSError as error:
        raise unreachable(command.key, f"its command cannot be started ({error.strerror})") from error
    _log.debug("local server started", service=command.key, pid=process.pid)
    return Child(process, command.key, limits)


async def _drain(stderr: asyncio.StreamReader, key: str) -> None:
    """Into the log, so that the server never waits for somebody to read."""
    while chunk := await stderr.read(READ_BYTES):
        for line in chunk.decode(errors="replace").splitlines():
            if line.strip():
                _log.info("local server says", service=key, line=line[:LOG_LINE_CHARS_MAX])
