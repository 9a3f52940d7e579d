"""Recorders run on both databases, on an agent that is there."""

from collections.abc import AsyncIterator

import pytest

from tests.databases import Location, database, database_kind, location, postgres_server, sqlite_template
from tests.runtime.recorder.support import AGENT, create_agent, load_world, recorder_at
from wicket.core.world import World
from wicket.runtime.recorder import Recorder
from wicket.store.db import Database

__all__ = ["database", "database_kind", "location", "postgres_server", "sqlite_template"]


@pytest.fixture
async def world(database: Database) -> World:
    await database.change(create_agent, agents=[])
    loaded = await database.read(load_world, AGENT)
    assert loaded is not None
    return loaded


@pytest.fixture
async def recorder(location: Location, database: Database, world: World) -> AsyncIterator[Recorder]:
    """Running, and stopped in order at the end."""
    running = recorder_at(location, database)
    await running.start()
    yield running
    await running.stop()
