"""Members of projects: accounts (all their users) or single users, Admin or Regular, perhaps with a project role."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.calls import Caller
from pileus.identity import roles
from pileus.identity.projects.tables import project, project_member, project_role_permission

ADMIN, REGULAR = "Admin", "Regular"

_OF_CALLER = (project_member.c.member_account_id == sa.bindparam("account")) & (
    project_member.c.member_user_id.is_(None) | (project_member.c.member_user_id == sa.bindparam("user"))
)
_PROJECTS = (
    sa.select(project.c.account_id)
    .join(project_member, project_member.c.project_id == project.c.id)
    .where(_OF_CALLER, project.c.removed.is_(None))
)
# A user's own membership counts before that of the whole account.
_MEMBER = (
    sa.select(project_member)
    .where(_OF_CALLER, project_member.c.project_id == sa.bindparam("project"))
    .order_by(project_member.c.member_user_id.is_(None))
    .limit(1)
)


def projects_of(db: Connection, account_id: int, user_id: int) -> frozenset[int]:
    """Return the accounts of the projects that a user is a member of."""
    return frozenset(db.execute(_PROJECTS, {"account": account_id, "user": user_id}).scalars())


def member(db: Connection, project_id: int, account_id: int, user_id: int) -> Row[Any] | None:
    """Return what a user is in a project."""
    return db.execute(_MEMBER, {"project": project_id, "account": account_id, "user": user_id}).one_or_none()


def is_admin(db: Connection, caller: Caller, project_id: int) -> bool:
    """Tell whether the caller is an admin of a project."""
    found = member(db, project_id, caller.account_id, caller.user_id)
    return found is not None and found.role == ADMIN


def allows(db: Connection, caller: Caller, account_id: int, command: str) -> bool:
    """Tell whether the caller's role in a project allows a command; a project role only takes away."""
    project_id = db.execute(sa.select(project.c.id).where(project.c.account_id == account_id)).scalar_one_or_none()
    found = member(db, project_id, caller.account_id, caller.user_id) if project_id is not None else None
    if found is None or found.role == ADMIN or found.project_role_id is None:
        return True
    return bool(roles.decide(rules_of(db, found.project_role_id), [command], default=True))


def rules_of(db: Connection, project_role_id: int) -> list[Row[Any]]:
    """Return the rules of a project role in their order."""
    table = project_role_permission.c
    statement = sa.select(project_role_permission).where(table.project_role_id == project_role_id)
    return list(db.execute(statement.order_by(table.position, table.id)).all())
