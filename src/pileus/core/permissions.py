"""Permissions: which commands a caller's role allows; the rules themselves are the identity slice's."""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy import Connection

from pileus.core.calls import Caller
from pileus.core.services import Services


class Permissions(Protocol):
    """What the core asks before it runs a command."""

    def allowed(self, services: Services, caller: Caller) -> frozenset[str]:
        """Return the names of all commands that the caller may call."""
        ...

    def project_allows(self, db: Connection, caller: Caller, account_id: int, command: str) -> bool:
        """Tell whether the caller's role in a project (its account) allows a command on what the project owns."""
        ...


_permissions: list[Permissions] = []


def provide(permissions: Permissions) -> None:
    """Tell the core who knows the rules."""
    _permissions[:] = [permissions]


def allowed(services: Services, caller: Caller) -> frozenset[str]:
    """Return the names of all commands that the caller may call."""
    return _permissions[0].allowed(services, caller)


def project_allows(db: Connection, caller: Caller, row: Any, command: str) -> bool:
    """Tell whether a command may be used on a row that may belong to one of the caller's projects."""
    account_id = getattr(row, "account_id", None)
    if account_id is None or caller.admin or account_id not in caller.projects:
        return True
    return _permissions[0].project_allows(db, caller, account_id, command)
