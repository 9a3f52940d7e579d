"""A process that prunes and dies in the midst of a transaction: `python -m tests.store.audit.dying PATH URL TURNS`."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.store.audit.old_log import DAYS, NOW, SIGNER
from wicket.runtime.retention import Retention
from wicket.store.db import ChangedAgents, PostgresDatabase, SqliteDatabase

R = TypeVar("R")


class _Turns:
    left = 0


def dying_last(fn: Callable[..., R]) -> Callable[..., R]:
    """The function itself, until it is the last turn: then it does its work, which is never committed."""

    def run(*args: object, **kwargs: object) -> R:
        result = fn(*args, **kwargs)
        _Turns.left -= 1
        if _Turns.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return run


class MortalSqlite(SqliteDatabase):
    async def change(
        self, fn: Callable[..., R], /, *args: object, agents: ChangedAgents, **kwargs: object
    ) -> R:
        return await super().change(dying_last(fn), *args, agents=agents, **kwargs)


class MortalPostgres(PostgresDatabase):
    async def change(
        self, fn: Callable[..., R], /, *args: object, agents: ChangedAgents, **kwargs: object
    ) -> R:
        return await super().change(dying_last(fn), *args, agents=agents, **kwargs)


async def prune(path: Path, url: str | None) -> None:
    database = await (MortalSqlite.open(path) if url is None else MortalPostgres.open(url))
    await Retention(database, SIGNER, days=DAYS, now=lambda: NOW, rows_max=2).run()


def main() -> None:
    path, url, turns = sys.argv[1:]
    _Turns.left = int(turns)
    asyncio.run(prune(Path(path), url or None))


if __name__ == "__main__":
    main()
