"""What the identity slice registers."""

from __future__ import annotations

import importlib


def load() -> None:
    """Register entities, commands and workflows, and tell the edge who knows the users."""
    from pileus.core import authentication
    from pileus.identity import callers, entities

    entities.register()
    for name in ("accounts", "domains", "keys", "sign_in", "users"):
        importlib.import_module(f"pileus.identity.commands.{name}")
    authentication.provide(callers.Directory())
