"""Queries of identity that other slices use too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import ADMIN, DOMAIN_ADMIN, RESOURCE_ADMIN, USER, Call, Caller
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.listing import related
from pileus.identity import roles
from pileus.identity.projects import members
from pileus.identity.projects.tables import project
from pileus.identity.tables import account, domain, user

ROOT = 1
"""Internal id of the ROOT domain."""

SYSTEM_ACCOUNT, ADMIN_ACCOUNT = 1, 2
SYSTEM_USER, ADMIN_USER = 1, 2

PROJECT = "Project"
"""Role type of the accounts that belong to projects: nobody signs in with them."""

RANKS = {PROJECT: 0, USER: 0, DOMAIN_ADMIN: 1, RESOURCE_ADMIN: 2, ADMIN: 3}
"""Role types by what they may do: nobody acts for an account of a higher rank than the own."""

_OWNER = sa.select(account, account.c.id.label("account_id"))


def owner(call: Call, name: str | None, within: Row[Any] | None, projectid: Row[Any] | str | None = None) -> Row[Any]:
    """Return the account that an object is made for, checked for the caller.

    ``name``, ``within`` and ``projectid`` are the parameters account, domainid and projectid (the rows of the domain
    and of the project); none means the caller's own.  The row is the account's, with ``account_id`` beside ``id``,
    so it also serves as an owner.
    """
    if projectid is not None:
        return _project_account(call, name, within, projectid)
    if name is None:
        if within is not None and within.id != call.caller.domain_id:
            raise InvalidParameter("parameter domainid names another domain, so parameter account is needed beside it")
        return call.db.execute(_OWNER.where(account.c.id == call.caller.account_id)).one()
    domain_id = within.id if within is not None else call.caller.domain_id
    found = call.db.execute(
        _OWNER.where(account.c.name == name, account.c.domain_id == domain_id, account.c.removed.is_(None))
    ).one_or_none()
    if found is None:
        raise InvalidParameter(f"parameter account: the domain has no account {name[:64]!r}")
    if not uses_account(call.db, call.caller, found):
        raise PermissionDenied(f"{call.caller.account} may not act for account {name[:64]!r}")
    return found


def _project_account(call: Call, name: str | None, within: Row[Any] | None, of: Row[Any] | str) -> Row[Any]:
    if isinstance(of, str):
        raise InvalidParameter('parameter projectid must name one project here, not "-1"')
    if name is not None:
        raise InvalidParameter("parameters account and projectid exclude each other")
    if within is not None and within.id != of.domain_id:
        raise InvalidParameter("parameter projectid names a project of another domain than parameter domainid")
    if of.state != "Active":
        raise PermissionDenied(f"parameter projectid: project {of.name} is {of.state.lower()}; activate it first")
    return call.db.execute(_OWNER.where(account.c.id == of.account_id)).one()


def project_of(db: Connection, of: Row[Any] | None) -> Row[Any] | None:
    """Return the project that an account belongs to, if it is a project's."""
    if of is None or of.role_type != PROJECT:
        return None
    return db.execute(sa.select(project).where(project.c.account_id == of.id)).one()


def refuse_idle(db: Connection, account_id: int) -> None:
    """Refuse to start or take anything for an account that is disabled or locked, or a project that is suspended."""
    of = db.execute(
        sa.select(account.c.name, account.c.state, account.c.role_type).where(account.c.id == account_id)
    ).one()
    if of.role_type == PROJECT:
        found = db.execute(sa.select(project.c.name, project.c.state).where(project.c.account_id == account_id)).one()
        if found.state != "Active":
            raise PermissionDenied(f"project {found.name} is {found.state.lower()}; activate it first")
    if of.state != "enabled":
        raise PermissionDenied(f"account {of.name} is {of.state}; enable it first")


Owner = tuple[Row[Any], Row[Any], Row[Any] | None]
"""An account, its domain, and the project that it belongs to, if any."""


def owners(db: Connection, rows: Iterable[Row[Any]]) -> dict[int, Owner]:
    """Return account, domain and project of owned rows by account id: three queries for a whole page at most."""
    accounts = {row.id: row for row in _by_id(db, account, {row.account_id for row in rows})}
    domains = {row.id: row for row in _by_id(db, domain, {row.domain_id for row in accounts.values()})}
    of_projects = [row.id for row in accounts.values() if row.role_type == PROJECT]
    projects: dict[int, Row[Any]] = {}
    if of_projects:
        found = db.execute(sa.select(project).where(project.c.account_id.in_(sorted(of_projects))))
        projects = {row.account_id: row for row in found}
    return {id_: (row, domains[row.domain_id], projects.get(id_)) for id_, row in accounts.items()}


def owner_fields(found: Owner | None) -> dict[str, Any]:
    """Return account (or project, projectid), domainid, domain and domainpath, which every owned object answers."""
    if found is None:
        return {}
    of, in_, project_ = found
    return {
        "account": of.name if project_ is None else None,
        "project": project_.name if project_ is not None else None,
        "projectid": project_.uuid if project_ is not None else None,
        "domainid": in_.uuid,
        "domain": in_.name,
        "domainpath": display_path(in_.path),
    }


def _by_id(db: Connection, table: sa.Table, ids: set[int]) -> Iterable[Row[Any]]:
    return related(db, table, ids).values()


def display_path(path: str) -> str:
    """Return a domain's path as the API writes it: ROOT, ROOT/a/b."""
    return ("ROOT" + path).rstrip("/")


def uses_domain(_db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may name this domain: the own one, and for its admins those below."""
    if caller.admin or row.id == caller.domain_id:
        return True
    return caller.role != USER and row.path.startswith(caller.domain_path)


def manages_domain(_db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may change this domain."""
    return caller.admin or (caller.domain_admin and row.path.startswith(caller.domain_path))


def uses_account(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may act for this account."""
    if caller.admin or row.id == caller.account_id:
        return True
    return (
        caller.domain_admin
        and RANKS[row.role_type] <= RANKS[caller.role]
        and entities.domain_within(db, row.domain_id, caller.domain_path)
    )


def uses_user(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may act for this user: those of the accounts that the caller may act for."""
    if caller.admin or row.account_id == caller.account_id:
        return True
    of = db.execute(sa.select(account).where(account.c.id == row.account_id)).one()
    return uses_account(db, caller, of)


def manages_account(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may change this account: one whose role allows more than the own role is out of reach."""
    return uses_account(db, caller, row) and roles.covers(db, caller, row.role_id)


def manages_user(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may change this user: those of the accounts that the caller may change."""
    of = db.execute(sa.select(account).where(account.c.id == row.account_id)).one()
    return manages_account(db, caller, of)


def uses_project(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may use this project: its members, and the admins of its domain."""
    return entities.owned(db, caller, row)


def manages_project(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may change this project: its admins, and the admins of its domain."""
    if row.account_id in caller.projects and members.is_admin(db, caller, row.id):
        return True
    return caller.admin or (caller.domain_admin and entities.domain_within(db, row.domain_id, caller.domain_path))


def live_users(db: Connection, account_id: int) -> list[Row[Any]]:
    """Return an account's users."""
    found = sa.select(user).where(user.c.account_id == account_id, user.c.removed.is_(None)).order_by(user.c.id)
    return list(db.execute(found).all())
