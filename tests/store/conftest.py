"""The whole suite of the store runs on SQLite and on PostgreSQL."""

from tests.databases import database, database_kind, location, postgres_server, sqlite_template

__all__ = ["database", "database_kind", "location", "postgres_server", "sqlite_template"]
