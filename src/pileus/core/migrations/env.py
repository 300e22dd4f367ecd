"""Alembic's entry point: runs the migrations on the connection that `upgrade` hands over."""

from __future__ import annotations

from alembic import context

from pileus.core.plugins import all_tables

_only = context.config.attributes.get("only")  # names of tables, when a migration is written for some of them


def _included(name: str | None, type_: str, _parents: object) -> bool:
    return _only is None or type_ != "table" or name in _only


def _object(_object: object, name: str | None, type_: str, _reflected: bool, _other: object) -> bool:
    return _only is None or type_ != "table" or name in _only


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_tables(),
    render_as_batch=True,
    compare_type=True,
    compare_server_default=False,
    include_name=_included,
    include_object=_object,
)
with context.begin_transaction():
    context.run_migrations()
