"""The API over a real SQLite file, with the servers that it would ask for tools played by a table."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.api.people import Instance, Servers, open_instance
from tests.databases import database, location, postgres_server, sqlite_template
from wicket.store.db import Database

__all__ = ["database", "location", "postgres_server", "sqlite_template"]


@pytest.fixture
def database_kind() -> str:
    return "sqlite"


@pytest.fixture
async def wicket(database: Database) -> AsyncIterator[Instance]:
    """An instance with nobody in it."""
    async with open_instance(database, Servers()) as instance:
        yield instance


@pytest.fixture
async def anonymous(wicket: Instance) -> AsyncIterator[httpx2.AsyncClient]:
    async with wicket.client() as client:
        yield client
