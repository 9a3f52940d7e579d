"""Journeys run over real server processes, on databases that the tests open too, as any other process would."""

from tests.databases import database_kind, location, postgres_server, sqlite_template

__all__ = ["database_kind", "location", "postgres_server", "sqlite_template"]
