"""What every table is made with. Portable types only, so that rows mean the same on SQLite and PostgreSQL."""

import sqlalchemy as sa

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

# Identifiers compare byte by byte on both databases: BINARY is SQLite's default, and PostgreSQL's text
# equality is exact under every deterministic collation.
Id = sa.Text
Instant = sa.BigInteger
JsonText = sa.Text
