"""Accounts and users of the cloud for people whom a directory knows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.calls import ACCOUNT_TYPES, ADMIN, Call
from pileus.core.database import insert, new_uuid, now, one
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.identity import roles, store
from pileus.identity.commands.users import NewUser, write_user
from pileus.identity.ldap.directory import Entry
from pileus.identity.tables import account, role, user

LDAP = "ldap"
"""Value of a user's source; the own ones are "native"."""

NO_PASSWORD = "!"  # noqa: S105 (no password has this hash: the directory has the password)

_TYPES = {number: name for name, number in ACCOUNT_TYPES.items()}


def check_type(accounttype: int | None) -> None:
    """Check parameter accounttype."""
    if accounttype is not None and accounttype not in _TYPES:
        raise InvalidParameter("parameter accounttype must be 0 (user), 1 (root admin), 2 (domain admin) or 3")


def chosen_role(call: Call, given: Row[Any] | None, accounttype: int | None, within: Row[Any]) -> Row[Any]:
    """Return the role that accounts get: one that the caller may give, for this domain."""
    chosen = given if given is not None else default_role(call.db, _TYPES[accounttype or 0])
    if given is not None and accounttype is not None and _TYPES[accounttype] != chosen.type:
        raise InvalidParameter("parameter accounttype does not fit the role that parameter roleid names")
    if store.RANKS[chosen.type] > store.RANKS[call.caller.role]:
        raise PermissionDenied("nobody may give an account a role above the own one")
    if chosen.state != "enabled":
        raise InvalidParameter(f"parameter roleid: the role {chosen.name} is disabled")
    roles.refuse_escalation(call.db, call.caller, chosen.id)
    if chosen.type == ADMIN and within.id != store.ROOT:
        raise InvalidParameter("parameter domainid: root admins live in the ROOT domain only")
    if within.state != "Active":
        raise InvalidParameter("parameter domainid names a domain that is being deleted")
    return chosen


def default_role(db: Connection, type_: str) -> Row[Any]:
    """Return the role that accounts of a type have unless told otherwise."""
    found = sa.select(role).where(role.c.type == type_, role.c.is_default).order_by(role.c.id).limit(1)
    return db.execute(found).one()


def find_account(db: Connection, domain_id: int, name: str) -> Row[Any] | None:
    """Return the account of this name, in whatever case of letters."""
    found = sa.select(account).where(
        account.c.domain_id == domain_id, sa.func.lower(account.c.name) == name.lower(), account.c.removed.is_(None)
    )
    return db.execute(found).first()


def find_user(db: Connection, domain_id: int, name: str) -> Row[Any] | None:
    """Return the user of this name, in whatever case of letters."""
    found = sa.select(user).where(
        user.c.domain_id == domain_id, sa.func.lower(user.c.username) == name.lower(), user.c.removed.is_(None)
    )
    return db.execute(found).first()


def add_account(
    db: Connection,
    domain_id: int,
    of: Row[Any],
    name: str,
    *,
    uuid: str | None = None,
    network_domain: str | None = None,
    details: dict[str, str] | None = None,
) -> Row[Any]:
    """Write an account with this role."""
    made = insert(
        db,
        account,
        uuid=(uuid or new_uuid()).lower(),
        name=name,
        role_id=of.id,
        role_type=of.type,
        domain_id=domain_id,
        network_domain=network_domain,
        details=details or {},
        created=now(),
    )
    return one(db, account, made)


def add_user(
    db: Connection,
    of: Row[Any],
    entry: Entry,
    *,
    timezone: str | None = None,
    uuid: str | None = None,
    linked: bool = False,
) -> Row[Any]:
    """Write the user whom an entry of the directory stands for."""
    new = NewUser(
        username=entry.name,
        password_hash=NO_PASSWORD,
        firstname=entry.firstname,
        lastname=entry.lastname,
        email=entry.email,
        timezone=timezone,
        uuid=uuid,
        source=LDAP,
        ldap_linked=linked,
    )
    return write_user(db, of, new)
