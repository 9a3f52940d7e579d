"""The demo's process: the server, and the child that tells the story.

The child is started before the server is loaded, so that both load at once.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from wicket.cli.demo.props import Props, check_installed, lay_out
from wicket.cli.output import say
from wicket.cli.work.listening import listen
from wicket.core.errors import Conflict
from wicket.settings import Settings, load_settings

GRACE_S: Final = 1
STORY: Final = "wicket.cli.demo.story"
STORY_STOP_S: Final = 2


@dataclass(frozen=True, slots=True)
class Manner:
    """How the demo is run."""

    once: bool
    keep: bool
    as_json: bool


def play(*, port: int | None, once: bool, data_dir: Path | None, as_json: bool) -> int:
    """Run the demo to its end and answer the exit code."""
    check_installed()
    _forget_settings()
    signal.signal(signal.SIGTERM, _leave)
    manner = Manner(once, data_dir is not None, as_json)
    with _folder(data_dir) as folder, _listener(port) as listener:
        props = lay_out(folder, port=listener.getsockname()[1])
        os.environ["WICKET_CONFIG"] = str(props.config)
        settings = load_settings()
        with _story(settings, props, manner) as story:
            return _perform(settings, listener, story, manner)


def _forget_settings() -> None:
    """The demo has settings of its own; those around it may name a database that people work with."""
    for name in [name for name in os.environ if name.startswith("WICKET_")]:
        del os.environ[name]


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Before the server listens to signals itself: end, and clean up on the way."""
    sys.exit(0)


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        yield wanted.absolute()
        return
    made = Path(tempfile.mkdtemp(prefix="wicket-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _listener(wanted: int | None) -> Iterator[socket.socket]:
    try:
        listener = listen(load_settings(port=wanted))
    except Conflict:
        if wanted is not None:
            raise
        listener = listen(load_settings(port=0))
    with listener:
        yield listener


@contextmanager
def _story(settings: Settings, props: Props, manner: Manner) -> Iterator["subprocess.Popen[bytes]"]:
    flags = [f"--{name}" for name in ("once", "keep") if getattr(manner, name)]
    flags += ["--json"] if manner.as_json else []
    story = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", STORY, settings.base_url, str(props.data_dir), *flags],
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us, who then end it
    )
    try:
        yield story
    finally:
        _end(story)


def _end(story: "subprocess.Popen[bytes]") -> None:
    story.terminate()
    try:
        story.wait(STORY_STOP_S)
    except subprocess.TimeoutExpired:
        story.kill()
        story.wait()


def _perform(
    settings: Settings, listener: socket.socket, story: "subprocess.Popen[bytes]", manner: Manner
) -> int:
    """Serve until stopped; with `once`, until the story has been told. A story that fails ends it, too."""
    import uvloop

    from wicket.cli.work.serving import AnnouncedServer, ignore_stops, server_config

    async def perform() -> int:
        ignore_stops()
        server = AnnouncedServer(
            server_config(settings, grace_s=GRACE_S),
            lambda: say(f"wicket is up on {settings.base_url}; now its agent and their calls, for real"),
            stopping=story.terminate,
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        telling = asyncio.create_task(asyncio.to_thread(story.wait))
        await asyncio.wait({serving, telling}, return_when=asyncio.FIRST_COMPLETED)
        was_stopped = server.should_exit
        if not was_stopped and telling.done() and (manner.once or telling.result()):
            server.should_exit = True
        try:
            await serving
        finally:
            story.terminate()
        return 0 if was_stopped else await telling

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(perform())
    if not manner.once:
        say("stopped" if manner.keep else "stopped, and removed the data")
    return code
