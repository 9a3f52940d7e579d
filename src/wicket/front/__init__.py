"""The front: bytes of a connection to requests, and answers to bytes. Everything that comes in comes through here.

uvicorn runs the process (signals, workers, lifespan) and makes one `Served` for each connection; `/mcp` goes to the
gateway as values, everything else to the API over ASGI.
"""

import asyncio
from typing import Any, Final

from uvicorn import Config
from uvicorn.server import ServerState

from wicket.front.connection import Connection
from wicket.front.door import Door
from wicket.front.front import Front, Handler
from wicket.front.limits import Limits

__all__ = ["STATE_KEY", "Connection", "Door", "Front", "Handler", "Limits", "Served"]

STATE_KEY: Final = "front"
"""Under it the lifespan's state holds the Front of the process."""


class Served(Connection):
    """A connection as uvicorn makes them: its `http` class."""

    def __init__(
        self,
        config: Config,  # noqa: ARG002 - uvicorn hands everything over by these names
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(app_state[STATE_KEY], connections=server_state.connections, tasks=server_state.tasks)
