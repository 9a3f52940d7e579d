"""The schema's history: one for SQLite and PostgreSQL."""
