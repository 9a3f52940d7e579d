"""The schema's history, run by Alembic in process, by one process at a time."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from wicket.core.errors import Conflict
from wicket.store.db.base import Database

MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"


async def upgrade(database: Database) -> None:
    """Bring an empty or older database to this version's schema; raises Conflict when it is newer than we are."""
    await database.run_alone(_upgrade)


async def is_current(database: Database) -> bool:
    """Whether the database has the schema of this version; an empty one has not."""
    return await database.read(_is_current)


def _is_current(tx: sa.Connection) -> bool:
    heads = ScriptDirectory.from_config(_config()).get_heads()
    return MigrationContext.configure(tx).get_current_heads() == tuple(heads)


def _upgrade(tx: sa.Connection) -> None:
    config = _config()
    config.attributes["connection"] = tx
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Conflict(
            "the database was written by a newer version of wicket: install that version",
            code="database_newer",
        ) from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
