"""The database, SQLite or PostgreSQL, behind four questions: read, change, revision, close.

Store functions are synchronous functions over a SQLAlchemy `Connection` and know neither threads nor locks:

    account = await database.read(accounts.get_account, account_id=account_id)
    agent = await database.change(agents.set_status, agent_id=agent_id, status=..., now=..., agents=[agent_id])

A change holds the lock that orders it against the recorder, bumps the revision of the agents it names, and has
been committed when `change` returns: no call that starts later is decided under the old rules.
"""

from pathlib import Path

from wicket.store.db.base import (
    AGENT_BUCKETS,
    ALL_AGENTS,
    AllAgents,
    ChangedAgents,
    Database,
    Kind,
    Transaction,
    bucket_of,
    bump_revisions,
)
from wicket.store.db.postgres import PostgresDatabase
from wicket.store.db.schema import is_current, upgrade
from wicket.store.db.sqlite import SqliteDatabase, check_sqlite


async def open_database(*, sqlite_path: Path, url: str | None = None, urgent: bool = False) -> Database:
    """Open the PostgreSQL database at `url`, or else the SQLite file; `upgrade` it before use.

    With `urgent`, for a change that is, opening may give up the reserve of a full disk.
    """
    return await (
        SqliteDatabase.open(sqlite_path, urgent=urgent) if url is None else PostgresDatabase.open(url)
    )


__all__ = [
    "AGENT_BUCKETS",
    "ALL_AGENTS",
    "AllAgents",
    "ChangedAgents",
    "Database",
    "Kind",
    "PostgresDatabase",
    "SqliteDatabase",
    "Transaction",
    "bucket_of",
    "bump_revisions",
    "check_sqlite",
    "is_current",
    "open_database",
    "upgrade",
]
