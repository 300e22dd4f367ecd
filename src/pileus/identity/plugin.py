"""What the identity slice registers."""

from __future__ import annotations

import importlib

from sqlalchemy import Connection


def load() -> None:
    """Register entities, commands and workflows, and tell the edge who knows the users."""
    from pileus.core import authentication, permissions
    from pileus.identity import callers, cleanup, entities, keepsakes
    from pileus.identity.projects import limits

    entities.register()
    limits.sources()
    for name in (
        "account_states",
        "accounts",
        "cloud_identifier",
        "cni",
        "domain_moves",
        "domains",
        "keys",
        "ldap_links",
        "ldap_servers",
        "ldap_users",
        "limits",
        "password_reset",
        "rates",
        "role_permissions",
        "roles",
        "second_factor",
        "sign_in",
        "ssh_keys",
        "userdata",
        "user_states",
        "users",
    ):
        importlib.import_module(f"pileus.identity.commands.{name}")
    for name in ("invitations", "members", "projects", "roles"):
        importlib.import_module(f"pileus.identity.projects.commands.{name}")
    importlib.import_module("pileus.identity.ldap.sweeping")
    cleanup.register(90, keepsakes.forget)
    authentication.provide(callers.Directory())
    permissions.provide(callers.Permissions())


def seed(db: Connection) -> None:
    """Write the rules of the default roles; let the database count what is limited."""
    from pileus.identity import roles
    from pileus.identity.limits import counting

    roles.seed(db)
    counting.install(db)
