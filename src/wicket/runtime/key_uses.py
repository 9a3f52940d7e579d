"""When member keys were last used: noted in memory as requests come, written behind their backs once a minute.

Only for people to see. So a use that cannot be written now is written a minute later, or is lost with the process.
"""

import asyncio
import time
from contextlib import suppress
from typing import Final

import structlog

from wicket.core.errors import Unavailable
from wicket.core.world import MemberKey
from wicket.store.db import Database
from wicket.store.keys import KeyUse, note_uses

EVERY_S: Final = 60.0
KEYS_MAX: Final = 100_000
"""Keys that wait to be written; what comes beyond is not noted."""
TOGETHER_MAX: Final = 500
"""Written in one transaction."""

_log = structlog.get_logger()


class KeyUses:
    """One a process; start it, and stop it."""

    def __init__(self, database: Database, *, every_s: float = EVERY_S) -> None:
        self._database = database
        self._every_s = every_s
        self._used_ns: dict[tuple[str, str], int] = {}
        self._stopping = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def note(self, agent_id: str, key: MemberKey) -> None:
        """A request came with this key; costs a look at the clock and an entry of a dictionary."""
        if key.live and len(self._used_ns) < KEYS_MAX:
            self._used_ns[agent_id, key.id] = time.time_ns()

    async def start(self) -> None:
        self._writing = asyncio.create_task(self._write_again_and_again())

    async def stop(self) -> None:
        """Write what is left, and end."""
        self._stopping.set()
        if self._writing is not None:
            await self._writing

    async def flush(self) -> None:
        """Write what was noted so far; what cannot be written is kept."""
        used, self._used_ns = self._used_ns, {}
        uses = [
            KeyUse(agent_id, key_id, at_ns // 1_000) for (agent_id, key_id), at_ns in sorted(used.items())
        ]
        for start in range(0, len(uses), TOGETHER_MAX):
            try:
                some = uses[start : start + TOGETHER_MAX]
                await self._database.change(note_uses, uses=some, agents=())
            except Unavailable:
                for use in uses[start:]:
                    self._used_ns.setdefault((use.agent_id, use.key_id), use.at_us * 1_000)
                raise

    async def _write_again_and_again(self) -> None:
        is_last = False
        while not is_last:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    is_last = await self._stopping.wait()
            try:
                await self.flush()
            except Unavailable as error:
                _log.warning("uses of keys cannot be written now", error=str(error))
            except Exception:  # noqa: BLE001 - the top of the task: it must go on
                _log.exception("uses of keys cannot be written now")
