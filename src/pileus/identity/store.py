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
from pileus.identity.tables import account, domain, user

ROOT = 1
"""Internal id of the ROOT domain."""

SYSTEM_ACCOUNT, ADMIN_ACCOUNT = 1, 2
SYSTEM_USER, ADMIN_USER = 1, 2

RANKS = {USER: 0, DOMAIN_ADMIN: 1, RESOURCE_ADMIN: 2, ADMIN: 3}
"""Role types by what they may do: nobody acts for an account of a higher rank than the own."""

_OWNER = sa.select(account, account.c.id.label("account_id"))


def owner(call: Call, name: str | None, within: Row[Any] | None) -> Row[Any]:
    """Return the account that an object is made for, checked for the caller.

    ``name`` and ``within`` are the parameters account and domainid (the domain's row); neither means the caller's
    own.  The row is the account's, with ``account_id`` beside ``id``, so it also serves as an owner.
    """
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


def owners(db: Connection, rows: Iterable[Row[Any]]) -> dict[int, tuple[Row[Any], Row[Any]]]:
    """Return (account, domain) of owned rows by account id: two queries for a whole page."""
    accounts = {row.id: row for row in _by_id(db, account, {row.account_id for row in rows})}
    domains = {row.id: row for row in _by_id(db, domain, {row.domain_id for row in accounts.values()})}
    return {id_: (row, domains[row.domain_id]) for id_, row in accounts.items()}


def owner_fields(found: tuple[Row[Any], Row[Any]] | None) -> dict[str, Any]:
    """Return the fields account, domainid, domain and domainpath that every owned object answers."""
    if found is None:
        return {}
    of, in_ = found
    return {
        "account": of.name,
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


def live_users(db: Connection, account_id: int) -> list[Row[Any]]:
    """Return an account's users."""
    found = sa.select(user).where(user.c.account_id == account_id, user.c.removed.is_(None)).order_by(user.c.id)
    return list(db.execute(found).all())
