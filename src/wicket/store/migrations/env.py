"""What Alembic runs to migrate: on the connection, and in the transaction, that it is given."""

from alembic import context

from wicket.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
