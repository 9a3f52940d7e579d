"""Writes signed checkpoints of the log: on a timer, whether or not anything happened, and on the way out.

Any number of processes keep the timer; whoever is first when one is due writes it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import structlog

from wicket.core.checkpoints import Signer
from wicket.core.errors import Unavailable
from wicket.store.checkpoints import Draft, draft_checkpoint, when_due, write_checkpoint
from wicket.store.db import Database

RETRY_S: Final = 30.0
LAST_WRITE_S: Final = 5.0

_log = structlog.get_logger()


class Checkpoints:
    """One a process; start it before the recorder and stop it after, so that the last one covers everything."""

    def __init__(
        self,
        database: Database,
        signer: Signer,
        *,
        every_s: float,
        now: Callable[[], datetime],
        written: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._signer = signer
        self._every = timedelta(seconds=every_s)
        self._now = now
        self._written = written
        self._writing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._writing = asyncio.create_task(self._write_again_and_again())

    async def stop(self) -> None:
        """Write the last one, if there is anything that it would cover."""
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
        try:
            async with asyncio.timeout(LAST_WRITE_S):
                while (draft := await self._database.read(draft_checkpoint)).is_news:
                    if await self._write(draft):
                        break
        except (Unavailable, ValueError, TimeoutError) as error:
            _log.warning("no checkpoint covers the end of the log", error=str(error))

    async def write(self) -> bool:
        """Write one now; False when another process has just done so."""
        return await self._write(await self._database.read(draft_checkpoint))

    async def _write(self, draft: Draft) -> bool:
        is_written = await self._database.change(
            write_checkpoint, draft, signer=self._signer, now=self._now(), agents=()
        )
        if is_written:
            self._written()
        return is_written

    async def write_if_due(self) -> float:
        """Write one if it is time; seconds until it is again."""
        due = await self._database.read(when_due, every=self._every)
        now = self._now()
        # A clock that was set back says that there is longer to wait than ever.
        if due is None or now < due <= now + self._every:
            return self._every.total_seconds() if due is None else (due - now).total_seconds()
        await self.write()
        return self._every.total_seconds()

    async def _write_again_and_again(self) -> None:
        while True:
            wait_s = RETRY_S
            try:
                wait_s = await self.write_if_due()
            except Unavailable as error:
                _log.warning("no checkpoint could be written", error=str(error))
            except ValueError:
                _log.error("the last checkpoint is damaged: run `wicket audit verify`")
            except Exception:  # noqa: BLE001 - the top of the task: without it none would be written any more
                _log.exception("no checkpoint could be written")
            await asyncio.sleep(wait_s)
