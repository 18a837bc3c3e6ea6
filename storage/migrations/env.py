"""Alembic's way in: it runs the migrations on the connection ``storage.migrate`` hands it."""

from __future__ import annotations

from alembic import context

from voyagent.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
