"""Who may use and change what belongs to projects: roles, rules, invitations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.calls import Caller
from pileus.core.database import one
from pileus.identity import store
from pileus.identity.projects.tables import project


def uses_part(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may see a part of a project (row: project_id)."""
    return store.uses_project(db, caller, one(db, project, row.project_id))


def manages_part(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may change a part of a project (row: project_id)."""
    return store.manages_project(db, caller, one(db, project, row.project_id))


def uses_invitation(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may see an invitation: who is invited, and who may invite."""
    mine = row.account_id == caller.account_id and row.user_id in (None, caller.user_id)
    return mine or manages_part(db, caller, row)
