"""The local servers of this process, by service key."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

from wicket.runtime.stdio.process import StdioCommand, StdioLimits
from wicket.runtime.stdio.server import StdioExchange, StdioServer
from wicket.runtime.upstream.values import Outgoing
from wicket.runtime.wire import unreachable


class StdioPool:
    """Implements `LocalServers`. Nothing is started before its first call; `stop` ends all that was."""

    def __init__(
        self,
        commands: Iterable[StdioCommand],
        *,
        environment: Mapping[str, str],
        client_version: str,
        limits: StdioLimits | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listeners: list[Callable[[str], None]] = []
        self._servers = {
            command.key: StdioServer(
                command,
                environment=environment,
                limits=limits or StdioLimits(),
                client_version=client_version,
                now_s=now_s,
                list_changed=self._telling(command.key),
            )
            for command in commands
        }

    @property
    def keys(self) -> frozenset[str]:
        """The configured services."""
        return frozenset(self._servers)

    def on_list_changed(self, listener: Callable[[str], None]) -> None:
        """See `LocalServers`."""
        self._listeners.append(listener)

    async def start(self, key: str) -> None:
        """See `LocalServers`."""
        await self._named(key).start()

    async def open(self, key: str, outgoing: Outgoing) -> StdioExchange:
        """See `LocalServers`."""
        return await self._named(key).open(outgoing)

    async def stop(self) -> None:
        """End every process."""
        await asyncio.gather(*(server.stop() for server in self._servers.values()))

    def _named(self, key: str) -> StdioServer:
        server = self._servers.get(key)
        if server is None:
            raise unreachable(key, "the configuration file does not name it (any more)")
        return server

    def _telling(self, key: str) -> Callable[[], None]:
        def tell() -> None:
            for listener in self._listeners:
                listener(key)

        return tell
