"""This host's settings and database, opened for one command."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from wicket.cli.output import say
from wicket.core.errors import Conflict, NotFound
from wicket.settings import Settings, load_settings, make_data_dir
from wicket.store.db import Database, is_current, open_database, upgrade

PATIENCE_S: Final = 5.0
WAITING: Final = (
    "still waiting for the database: if a process of wicket has been stopped, let it go on, or end it"
)

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Host:
    """What a command works on."""

    settings: Settings
    database: Database


def on_host(
    work: Callable[[Host], Awaitable[R]], *, data_dir: Path | None, make: bool = False, urgent: bool = False
) -> R:
    """Do something with the open database; with `make`, it is created or migrated first.

    `urgent` is what may give up the reserve of a full disk.

    Raises NotFound where there is no database, Conflict when its schema is not this version's.
    """

    async def opened() -> R:
        async with open_host(load_settings(data_dir=data_dir), make=make, urgent=urgent) as host:
            return await work(host)

    return asyncio.run(opened())


@asynccontextmanager
async def open_host(settings: Settings, *, make: bool = False, urgent: bool = False) -> AsyncIterator[Host]:
    """The database of these settings; only with `make` is anything created."""
    if make:
        make_data_dir(settings)
    elif settings.database_url is None and not settings.sqlite_path.exists():
        raise NotFound(
            f"there is no database in `{settings.data_dir}`: start `wicket serve`, or name another with --data-dir"
        )
    telling = asyncio.get_running_loop().call_later(PATIENCE_S, say, WAITING)
    try:
        database = await open_database(
            sqlite_path=settings.sqlite_path, url=settings.database_url, urgent=urgent
        )
    finally:
        telling.cancel()
    try:
        if make:
            await upgrade(database)
        elif not await is_current(database):
            raise Conflict(
                "the database has not the schema of this version of wicket: run `wicket db upgrade`",
                code="database_schema",
            )
        yield Host(settings, database)
    finally:
        await database.close()


def now() -> datetime:
    """The time by this host's clock."""
    return datetime.now(UTC)


def iso(at: datetime) -> str:
    """An instant on the wire: ISO 8601, UTC, milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
