"""The server in this process, or as the parent of its workers."""

import asyncio
import os
import resource
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.supervisors import Multiprocess

from wicket import __version__
from wicket.cli.output import print_json, say
from wicket.cli.work.host import open_host
from wicket.cli.work.listening import listen
from wicket.core.errors import Unavailable
from wicket.front import Served
from wicket.settings import Settings, load_settings, read_secrets
from wicket.store.db import check_sqlite
from wicket.store.health import find_damage

GRACE_S: Final = 10
"""How long calls in flight may go on once the server has been told to stop."""
WORKER_START_S: Final = 60
BACKLOG: Final = 2048
DESCRIPTORS_MAX: Final = 65_536
STOPS: Final = (signal.SIGINT, signal.SIGTERM)


def serve(flags: Mapping[str, object], *, config: Path | None, as_json: bool) -> None:
    """Serve until a signal says stop; raises WicketError when it cannot start."""
    given = {name: value for name, value in flags.items() if value is not None}
    # Every worker reads its settings for itself, so what flags say goes where each of them looks.
    os.environ |= {f"WICKET_{name.upper()}": str(value) for name, value in given.items()}
    if config is not None:
        os.environ["WICKET_CONFIG"] = str(config)
    settings = load_settings()
    listener = listen(settings)
    os.environ["WICKET_PORT"] = str(listener.getsockname()[1])
    settings = load_settings()
    asyncio.run(prepare(settings))

    def announce() -> None:
        database = "PostgreSQL" if settings.database_url else settings.sqlite_path
        if as_json:
            print_json({"url": settings.base_url, "pid": os.getpid()})
        say(f"wicket {__version__} serves {settings.base_url} (database: {database}); Ctrl-C stops it")

    ignore_stops()
    raise_descriptors()
    if settings.workers == 1:
        AnnouncedServer(server_config(settings), announce).run(sockets=[listener])
    else:
        AnnouncedWorkers(server_config(settings), listener, announce).run()


async def prepare(settings: Settings) -> None:
    """Whatever could keep a worker from starting, found out before there is one; migrates the database."""
    if settings.database_url is None:
        check_sqlite(workers=settings.workers)
    async with open_host(settings, make=True) as host:
        read_secrets(settings)
        damage = await find_damage(host.database)
    if damage is not None:
        raise Unavailable(
            f"the database is damaged ({damage}): keep a copy of it, and restore a backup",
            code="database_damaged",
        )


def server_config(settings: Settings, *, grace_s: int = GRACE_S) -> uvicorn.Config:
    """How uvicorn runs the process: signals, workers and the lifespan are its own, connections are the front's."""
    return uvicorn.Config(
        "wicket.app:create",
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http=Served,
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=grace_s,
        timeout_worker_healthcheck=WORKER_START_S,
    )


def raise_descriptors() -> None:
    """Let this process and its workers open as many files and sockets as the host allows them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def ignore_stops() -> None:
    """Once uvicorn has stopped in order it raises the signal that made it stop; that is no failure."""

    def ignore(_signal: int, _frame: FrameType | None) -> None:
        return

    for stop in STOPS:
        signal.signal(stop, ignore)


class AnnouncedServer(uvicorn.Server):
    """A server that says when it can be reached, and when a signal tells it to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        announce: Callable[[], object],
        *,
        stopping: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._announce = announce
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise Unavailable("the server did not start: its message above says why") from error
        if self.started:
            self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stopping()
        super().handle_exit(sig, frame)


class AnnouncedWorkers(Multiprocess):
    """Workers that can all be reached once it has been said."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, announce: Callable[[], None]) -> None:
        super().__init__(config, sockets=[listener])
        self._announce = announce

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(WORKER_START_S, self.should_exit) for process in self.processes):
            self._announce()
            return
        asked_to_stop = bool(self.signal_queue)
        self.terminate_all()
        self.join_all()
        if not asked_to_stop:
            raise Unavailable("a worker did not start: its message above says why")
        self.should_exit.set()
