"""Projects as API clients see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.calls import ACCOUNT_TYPES
from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.identity import views
from pileus.identity.limits import reading
from pileus.identity.limits.types import Key
from pileus.identity.projects.members import ADMIN
from pileus.identity.projects.tables import project, project_member, project_role
from pileus.identity.store import display_path
from pileus.identity.tables import account, domain, user

Running = Callable[[Connection, Sequence[int]], dict[int, dict[str, int]]]
_running: list[Running] = []


def count_machines(running: Running) -> None:
    """Register how the fields vmrunning and vmstopped of accounts are found."""
    _running[:] = [running]


def _fields(most: Mapping[Key, int] | None, has: Mapping[Key, int]) -> dict[str, Any]:
    """Return the limits and counts of a project: a project has no projects."""
    if most is None:
        return {}
    return {name: value for name, value in reading.fields(most, has).items() if not name.startswith("project")}


def projects(db: Connection, rows: Sequence[Row[Any]], *, limits: bool = True) -> list[dict[str, Any]]:
    """Return projects with their admins, limits, and what they have."""
    domains = related(db, domain, (row.domain_id for row in rows))
    accounts = related(db, account, (row.account_id for row in rows))
    admins = _admins(db, [row.id for row in rows])
    own = list(accounts.values()) if limits else []
    most = reading.of_accounts(db, own) if own else {}
    has = reading.counts_of_accounts(db, own) if own else {}
    tags = reading.tags_of_accounts(db, own) if own else {}
    machines = _running[0](db, list(accounts)) if limits and _running else {}
    return [
        {
            "id": row.uuid,
            "name": row.name,
            "displaytext": row.display_text,
            "state": row.state,
            "domainid": domains[row.domain_id].uuid,
            "domain": domains[row.domain_id].name,
            "projectaccountname": accounts[row.account_id].name,
            "created": date(row.created),
            "owner": admins.get(row.id, []),
            **_fields(most.get(row.account_id), has.get(row.account_id, {})),
            **tags.get(row.account_id, {}),
            **machines.get(row.account_id, {}),
        }
        for row in rows
    ]


def _admins(db: Connection, ids: Sequence[int]) -> dict[int, list[dict[str, str]]]:
    statement = sa.select(project_member).where(project_member.c.project_id.in_(ids), project_member.c.role == ADMIN)
    rows = db.execute(statement.order_by(project_member.c.id)).all()
    accounts = related(db, account, (row.member_account_id for row in rows))
    users = related(db, user, (row.member_user_id for row in rows))
    found: dict[int, list[dict[str, str]]] = {}
    for row in rows:
        owner = {"account": accounts[row.member_account_id].name}
        if row.member_user_id is not None:
            of = users[row.member_user_id]
            owner |= {"userid": of.uuid, "user": of.username}
        found.setdefault(row.project_id, []).append(owner)
    return found


def members(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> list[dict[str, Any]]:
    """Return members of projects."""
    of = related(db, project, (row.project_id for row in rows))
    accounts = related(db, account, (row.member_account_id for row in rows))
    domains = related(db, domain, (row.domain_id for row in accounts.values()))
    roles = related(db, project_role, (row.project_role_id for row in rows))
    users = related(db, user, (row.member_user_id for row in rows))
    whole = [accounts[row.member_account_id].id for row in rows if row.member_user_id is None]
    all_users = _users(db, whole, admin=admin)
    answers: list[dict[str, Any]] = []
    for row in rows:
        owner = accounts[row.member_account_id]
        in_ = domains[owner.domain_id]
        answer: dict[str, Any] = {
            "projectid": of[row.project_id].uuid,
            "project": of[row.project_id].name,
            "account": owner.name,
            "accountid": owner.uuid,
            "accounttype": ACCOUNT_TYPES[owner.role_type],
            "domainid": in_.uuid,
            "domain": in_.name,
            "domainpath": display_path(in_.path),
            "role": row.role,
            "projectroleid": roles[row.project_role_id].uuid if row.project_role_id is not None else None,
        }
        if row.member_user_id is not None:
            answer |= {"userid": users[row.member_user_id].uuid, "username": users[row.member_user_id].username}
        else:
            answer["user"] = all_users.get(owner.id, [])
        answers.append(answer)
    return answers


def _users(db: Connection, accounts: Sequence[int], *, admin: bool) -> dict[int, list[dict[str, Any]]]:
    if not accounts:
        return {}
    found = sa.select(user).where(user.c.account_id.in_(sorted(set(accounts))), user.c.removed.is_(None))
    rows = db.execute(found.order_by(user.c.id)).all()
    answers: dict[int, list[dict[str, Any]]] = {}
    for row, answer in zip(rows, views.users(db, rows, admin=admin), strict=True):
        answers.setdefault(row.account_id, []).append(answer)
    return answers


def invitations(db: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return invitations."""
    of = related(db, project, (row.project_id for row in rows))
    accounts = related(db, account, (row.account_id for row in rows))
    users = related(db, user, (row.user_id for row in rows))
    domains = related(db, domain, (row.domain_id for row in rows))
    return [
        {
            "id": row.uuid,
            "projectid": of[row.project_id].uuid,
            "project": of[row.project_id].name,
            "account": accounts[row.account_id].name if row.account_id is not None else None,
            "userid": users[row.user_id].uuid if row.user_id is not None else None,
            "email": row.email,
            "domainid": domains[row.domain_id].uuid,
            "domain": domains[row.domain_id].name,
            "domainpath": display_path(domains[row.domain_id].path),
            "state": row.state,
        }
        for row in rows
    ]


def roles(db: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return project roles."""
    of = related(db, project, (row.project_id for row in rows))
    return [
        {
            "id": row.uuid,
            "projectid": of[row.project_id].uuid,
            "name": row.name,
            "description": row.description,
            "ispublic": True,
        }
        for row in rows
    ]


def permissions(db: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return rules of project roles."""
    of = related(db, project, (row.project_id for row in rows))
    of_roles = related(db, project_role, (row.project_role_id for row in rows))
    return [
        {
            "id": row.uuid,
            "projectid": of[row.project_id].uuid,
            "projectroleid": of_roles[row.project_role_id].uuid,
            "projectrolename": of_roles[row.project_role_id].name,
            "rule": row.rule,
            "permission": row.permission,
            "description": row.description,
        }
        for row in rows
    ]
