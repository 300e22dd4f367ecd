"""Rules of projects and the changes that more than one command makes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.calls import Call
from pileus.core.database import after_commit, change, insert, now
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.identity import callers
from pileus.identity.projects import limits
from pileus.identity.projects.members import ADMIN, REGULAR
from pileus.identity.projects.tables import (
    project,
    project_invitation,
    project_member,
    project_role,
    project_role_permission,
)
from pileus.identity.tables import account, user

ACTIVE, SUSPENDED, DISABLED = "Active", "Suspended", "Disabled"


def role_of(text: str | None) -> str:
    """Return what a member shall be: Admin or Regular (the default)."""
    if text is None:
        return REGULAR
    found = next((role for role in (ADMIN, REGULAR) if role.lower() == text.strip().lower()), None)
    if found is None:
        raise InvalidParameter(f"parameter roletype must be {ADMIN} or {REGULAR}, not {text[:60]!r}")
    return found


def check_project_role(of: Row[Any], role: Row[Any] | None) -> int | None:
    """Return the id of a project role, checked to be one of this project's."""
    if role is None:
        return None
    if role.project_id != of.id:
        raise InvalidParameter("parameter projectroleid names a role of another project")
    return int(role.id)


def account_named(db: Connection, of: Row[Any], name: str) -> Row[Any]:
    """Return the account of this name in the project's domain."""
    statement = sa.select(account).where(
        account.c.name == name, account.c.domain_id == of.domain_id, account.c.removed.is_(None)
    )
    found = db.execute(statement).one_or_none()
    if found is None or found.role_type == "Project":
        raise InvalidParameter(f"parameter account: the project's domain has no account {name[:64]!r}")
    return found


def user_named(db: Connection, of: Row[Any], name: str) -> Row[Any]:
    """Return the user of this name in the project's domain."""
    statement = sa.select(user).where(
        user.c.username == name, user.c.domain_id == of.domain_id, user.c.removed.is_(None)
    )
    found = db.execute(statement).one_or_none()
    if found is None:
        raise InvalidParameter(f"parameter username: the project's domain has no user {name[:64]!r}")
    return found


def members_of(db: Connection, project_id: int) -> list[Row[Any]]:
    """Return the members of a project."""
    statement = sa.select(project_member).where(project_member.c.project_id == project_id)
    return list(db.execute(statement.order_by(project_member.c.id)).all())


def find_member(db: Connection, project_id: int, account_id: int, user_id: int | None) -> Row[Any] | None:
    """Return the membership of an account, or of one of its users."""
    statement = sa.select(project_member).where(
        project_member.c.project_id == project_id,
        project_member.c.member_account_id == account_id,
        project_member.c.member_user_id.is_(None) if user_id is None else project_member.c.member_user_id == user_id,
    )
    return db.execute(statement).one_or_none()


def member_user(db: Connection, of: Row[Any], reference: str) -> Row[Any]:
    """Return the membership of a single user, named by the user's id: any member's, whoever may use the account."""
    statement = (
        sa.select(project_member)
        .join(user, user.c.id == project_member.c.member_user_id)
        .where(project_member.c.project_id == of.id, user.c.uuid == reference.lower())
    )
    found = db.execute(statement).one_or_none()
    if found is None:
        raise InvalidParameter(f"parameter userid names no user who is a member of the project ({reference[:64]})")
    return found


def add_member(
    db: Connection, of: Row[Any], account_id: int, user_id: int | None, *, role: str, project_role_id: int | None
) -> None:
    """Make an account (or one of its users) a member."""
    lock(db, of)
    if find_member(db, of.id, account_id, user_id) is not None:
        raise InvalidParameter(f"project {of.name} has this member already")
    if role == ADMIN:
        limits.claim(db, account_id)
    insert(
        db,
        project_member,
        project_id=of.id,
        member_account_id=account_id,
        member_user_id=user_id,
        role=role,
        project_role_id=project_role_id,
        created=now(),
    )


def remove_member(db: Connection, of: Row[Any], member: Row[Any]) -> None:
    """End a membership; the last admin has to stay."""
    lock(db, of)
    if member.role == ADMIN and not [m for m in members_of(db, of.id) if m.role == ADMIN and m.id != member.id]:
        raise InvalidParameter(f"project {of.name} has no other admin; make somebody else one first")
    db.execute(sa.delete(project_member).where(project_member.c.id == member.id))


def lock(db: Connection, of: Row[Any]) -> None:
    """Let changes of one project wait for each other."""
    change(db, project, of.id, name=project.c.name)


def must_be_active(of: Row[Any]) -> None:
    """Refuse what only active projects can do."""
    if of.state != ACTIVE:
        raise PermissionDenied(f"project {of.name} is {of.state.lower()}; activate it first")


def known(call: Call) -> None:
    """Make changed memberships known to this server's next calls."""
    after_commit(call.db, lambda: callers.forget(call.services))


def account_gone(db: Connection, account_id: int) -> None:
    """Forget what an account that is removed is in projects, and the project itself when it was a project's."""
    db.execute(sa.delete(project_member).where(project_member.c.member_account_id == account_id))
    db.execute(sa.delete(project_invitation).where(project_invitation.c.account_id == account_id))
    of = db.execute(
        sa.select(project).where(project.c.account_id == account_id, project.c.removed.is_(None))
    ).one_or_none()
    if of is None:
        return
    for table in (project_member, project_invitation, project_role_permission, project_role):
        db.execute(sa.delete(table).where(table.c.project_id == of.id))
    change(db, project, of.id, removed=now(), state=DISABLED)


def ruled_by(db: Connection, account_id: int) -> list[str]:
    """Return the names of the projects that would have no admin without this account."""
    mine = sa.select(project_member.c.project_id).where(
        project_member.c.member_account_id == account_id, project_member.c.role == ADMIN
    )
    others = sa.select(project_member.c.project_id).where(
        project_member.c.member_account_id != account_id, project_member.c.role == ADMIN
    )
    statement = sa.select(project.c.name).where(
        project.c.id.in_(mine), project.c.id.not_in(others), project.c.removed.is_(None)
    )
    return list(db.execute(statement.order_by(project.c.name)).scalars())
