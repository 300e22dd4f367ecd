"""Links of domains and accounts with a group or unit of a directory, and which of them an entry falls under."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.database import now
from pileus.identity.ldap.directory import Directory, Entry, below
from pileus.identity.ldap.tables import ldap_link
from pileus.identity.tables import account

GROUP, OU = "GROUP", "OU"


class Placement(msgspec.Struct, frozen=True):
    """Where a user of the directory belongs: the link, if there is one; ``several``: more than one account's."""

    entry: Entry | None
    link: Any = None
    several: bool = False


def of_domain(db: Connection, domain_id: int) -> Sequence[Row[Any]]:
    """Return the links of a domain, and of the accounts in it that are still there."""
    live = sa.select(account.c.id).where(account.c.domain_id == domain_id, account.c.removed.is_(None))
    found = sa.select(ldap_link).where(
        ldap_link.c.domain_id == domain_id, sa.or_(ldap_link.c.account_id.is_(None), ldap_link.c.account_id.in_(live))
    )
    return db.execute(found.order_by(ldap_link.c.id)).all()


def write(db: Connection, *, domain_id: int, account_id: int | None, role_id: int, type_: str, dn: str) -> None:
    """Link a domain, or an account of it; a link that it had before is replaced."""
    same = ldap_link.c.account_id.is_(None) if account_id is None else ldap_link.c.account_id == account_id
    db.execute(sa.delete(ldap_link).where(ldap_link.c.domain_id == domain_id, same))
    values = {"domain_id": domain_id, "account_id": account_id, "role_id": role_id, "type": type_, "dn": dn}
    db.execute(sa.insert(ldap_link).values(**values, created=now()))


def drop(db: Connection, *conditions: Any) -> None:
    """Delete links."""
    db.execute(sa.delete(ldap_link).where(*conditions))


def place(directory: Directory, username: str, links: Sequence[Any]) -> Placement:
    """Find a user, and the one link that applies: an account's before the domain's."""
    entry = _entry(directory, username, links)
    if entry is None:
        return Placement(None)
    accounts = [each for each in links if each.account_id is not None and covers(directory, each, entry)]
    if len(accounts) > 1:
        return Placement(entry, several=True)
    if accounts:
        return Placement(entry, accounts[0])
    whole = next((each for each in links if each.account_id is None), None)
    return Placement(entry, whole if whole is not None and covers(directory, whole, entry) else None)


def covers(directory: Directory, link: Any, entry: Entry) -> bool:
    """Tell whether an entry is in the group or unit of a link."""
    if link.type == OU:
        return below(entry.dn, link.dn)
    return directory.is_member(entry.dn, link.dn)


def _entry(directory: Directory, username: str, links: Sequence[Any]) -> Entry | None:
    """Find a user below ldap.basedn, else in the units that are linked."""
    found = directory.user(username) if directory.config.basedn else None
    for each in links:
        if found is None and each.type == OU:
            found = directory.user(username, base=each.dn)
    return found
