"""Duties that one process has at a time, of all that share a database; who is killed has it no longer."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Final

import asyncpg

from wicket.core.errors import Unavailable
from wicket.store.db import Database, PostgresDatabase, SqliteDatabase

DUTY_LOCK: Final = 42
"""First half of the session locks on PostgreSQL; the second is the duty."""


class Duty(IntEnum):
    SENDING = 1
    """Bringing statements about the log to the sink outside."""
    PRUNING = 2


@asynccontextmanager
async def on_duty(database: Database, duty: Duty) -> AsyncIterator[bool]:
    """Whether the duty is ours until the block ends. What it does must bear to be done twice: connections break."""
    match database:
        case SqliteDatabase():
            descriptor = await asyncio.to_thread(_locked, database, duty)
            try:
                yield descriptor is not None
            finally:
                if descriptor is not None:
                    os.close(descriptor)
        case PostgresDatabase():
            raw = await database.connect_raw()
            try:
                yield await _is_free(raw, duty)
            finally:
                raw.terminate()
        case _:
            raise TypeError(f"nobody knows how to take turns on {database!r}")


def _locked(database: SqliteDatabase, duty: Duty) -> int | None:
    """A descriptor that holds the lock; None while somebody else does."""
    file = database.path.with_name(f"{database.path.name}.{duty.name.lower()}")
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"`{file}` cannot be opened ({error.strerror}): check room and owner") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


async def _is_free(raw: "asyncpg.Connection[asyncpg.Record]", duty: Duty) -> bool:
    try:
        return bool(await raw.fetchval("SELECT pg_try_advisory_lock($1, $2)", DUTY_LOCK, int(duty)))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise Unavailable("the database cannot be used right now: try again in a moment") from error
