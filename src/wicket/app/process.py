"""The process: what uvicorn starts and stops."""

import gc
from typing import Final

from starlette.types import Receive, Scope, Send

from wicket.app.parts import MakeLedger, ledger_of, running
from wicket.front import STATE_KEY
from wicket.runtime.logs import configure_logs
from wicket.runtime.recorder import Limits
from wicket.settings import Settings, load_settings

YOUNG_OBJECTS_MAX: Final = 20_000
"""Objects that may come into being, beyond those that went, before the young ones are looked at."""


class Application:
    """What uvicorn starts and stops. Requests do not come here: each connection takes them to the front itself."""

    def __init__(
        self, settings: Settings, *, make_ledger: MakeLedger = ledger_of, limits: Limits | None = None
    ) -> None:
        self._settings = settings
        self._make_ledger = make_ledger
        self._limits = limits
        self._is_running = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            raise RuntimeError("requests are the front's: serve with `Served` as the class of connections")
        await receive()
        try:
            async with running(self._settings, make_ledger=self._make_ledger, limits=self._limits) as parts:
                scope["state"][STATE_KEY] = parts.front
                self._is_running = True
                settle_memory()
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:  # the top: uvicorn prints the message and ends the process
            kind = "shutdown" if self._is_running else "startup"
            await send({"type": f"lifespan.{kind}.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})


def settle_memory() -> None:
    """Take what is there for good out of garbage collection, and collect more rarely.

    A full collection stops every thread while it walks all of it: longer than a call may wait for its record.
    A call leaves no circles behind, so that collecting as often as Python does by itself only walks through what
    the calls under way hold.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX)


def create() -> Application:
    """For uvicorn's `factory`: settings come from environment and configuration file."""
    settings = load_settings()
    configure_logs(settings.log_format)
    return Application(settings)
