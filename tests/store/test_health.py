from datetime import UTC, datetime, timedelta

from tests.store.scene import NOW, set_scene
from wicket.store.db import Database
from wicket.store.health import examine


async def test_a_database_says_whether_it_keeps_what_it_has_acknowledged(database: Database) -> None:
    health = await examine(database)
    assert health.is_durable
    assert (health.kind, health.last_change_at, health.log_rows) == (database.kind, None, 0)
    assert health.version


async def test_the_newest_change_and_the_length_of_the_log_are_known(database: Database) -> None:
    await set_scene(database)
    health = await examine(database)
    assert health.last_change_at == NOW
    assert health.log_rows > 0


async def test_a_server_tells_its_clock(database: Database) -> None:
    health = await examine(database)
    assert health.clock is None or abs(health.clock - datetime.now(UTC)) < timedelta(seconds=5)
