"""What the identity slice registers."""

from __future__ import annotations

import importlib

from sqlalchemy import Connection


def load() -> None:
    """Register entities, commands and workflows, and tell the edge who knows the users."""
    from pileus.core import authentication, permissions
    from pileus.identity import callers, entities

    entities.register()
    for name in ("accounts", "domains", "keys", "role_permissions", "roles", "sign_in", "users"):
        importlib.import_module(f"pileus.identity.commands.{name}")
    authentication.provide(callers.Directory())
    permissions.provide(callers.Permissions())


def seed(db: Connection) -> None:
    """Write the rules of the default roles."""
    from pileus.identity import roles

    roles.seed(db)
