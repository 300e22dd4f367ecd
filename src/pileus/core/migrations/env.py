"""Alembic's entry point: runs the migrations on the connection that `upgrade` hands over."""

from __future__ import annotations

from alembic import context

from pileus.core.plugins import all_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_tables(),
    render_as_batch=True,
    compare_type=True,
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
