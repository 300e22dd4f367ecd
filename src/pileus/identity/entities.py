"""The kinds of object that references to identity name."""

from __future__ import annotations

from pileus.core import entities
from pileus.identity import store
from pileus.identity.tables import account, domain, role, user


def register() -> None:
    """Register them."""
    entities.domain_table(domain)
    entities.register("Domain", domain, "domain", use=store.uses_domain, manage=store.manages_domain)
    entities.register("Account", account, "account", use=store.uses_account)
    entities.register("User", user, "user", use=store.uses_user)
    entities.register("Role", role, "role", use=entities.anybody, manage=entities.admin_only)
