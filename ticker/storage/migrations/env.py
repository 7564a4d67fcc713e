"""What Alembic runs around the steps: our connection, our transaction, no logging of its own."""

from __future__ import annotations

from alembic import context

from ticker.storage.schema import metadata

# The connection is already in one transaction that `Database.migrate` ends, so that another
# process sees either the old schema or the new.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
