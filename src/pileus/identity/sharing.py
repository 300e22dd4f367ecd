"""Sharing an object with other accounts and projects: who is named, and who was given permission.

A slice that shares its objects has a table of two columns, the object's id and ``account_id``; projects are in it by
their accounts.  Permission is for using an object, not for changing it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import Call, Caller
from pileus.core.errors import InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.jobs import Job
from pileus.identity import cleanup, store
from pileus.identity.tables import account

FORGET = 90
"""When an account is cleaned up, permissions go after the objects."""


def column_of(table: Table) -> ColumnElement[Any]:
    """Return the column with the objects' ids."""
    return next(column for column in table.c if column.key != "account_id")


def register(table: Table) -> None:
    """Let an account's permissions go with the account."""

    def forget(job: Job, account_id: int) -> None:
        job.commit(table.name, lambda db: db.execute(sa.delete(table).where(table.c.account_id == account_id)).rowcount)

    cleanup.register(FORGET, forget)


def callers(caller: Caller) -> list[int]:
    """Return the accounts by which a caller may have permission: the own one, and those of the projects."""
    return [caller.account_id, *sorted(caller.projects)]


def given(db: Connection, table: Table, object_id: int, accounts: Sequence[int]) -> bool:
    """Tell whether one of the accounts has permission for the object."""
    of = sa.select(table.c.account_id).where(column_of(table) == object_id, table.c.account_id.in_(accounts))
    return db.execute(of.limit(1)).first() is not None


def objects(db: Connection, table: Table, accounts: Iterable[int]) -> list[int]:
    """Return the ids of the objects for which one of the accounts has permission."""
    of = sa.select(column_of(table)).where(table.c.account_id.in_(list(accounts)))
    return sorted(set(db.execute(of).scalars()))


def asked(
    call: Call, *, name: str | None = None, domain: Row[Any] | None = None, project: Row[Any] | str | None = None
) -> list[int]:
    """Return the accounts whose permissions a list shows, by its parameters account, domainid and projectid.

    Without any of them it is the caller's own account.  Who may ask for whom is checked by ``listing.scope``.
    """
    if project is not None:
        return sorted(call.caller.projects) if isinstance(project, str) else [project.account_id]
    domain_id = call.caller.domain_id if domain is None else domain.id
    if name is None:
        return [call.caller.account_id] if domain_id == call.caller.domain_id else []
    found = sa.select(account.c.id).where(
        account.c.name == name, account.c.domain_id == domain_id, account.c.removed.is_(None)
    )
    return list(call.db.execute(found).scalars())


def holders(db: Connection, table: Table, object_id: int) -> list[store.Owner]:
    """Return the accounts that have permission for the object, each with its domain and project, by name."""
    rows = db.execute(sa.select(table.c.account_id).where(column_of(table) == object_id)).all()
    owners = [owner for owner in store.owners(db, rows).values() if owner[0].removed is None]
    return sorted(owners, key=lambda owner: (owner[0].name, owner[0].id))


def grant(db: Connection, table: Table, object_id: int, accounts: Iterable[int]) -> None:
    """Give accounts permission; those that have it keep it."""
    column = column_of(table)
    have = set(db.execute(sa.select(table.c.account_id).where(column == object_id)).scalars())
    for id_ in sorted(set(accounts) - have):
        db.execute(sa.insert(table).values({column.key: object_id, "account_id": id_}))


def revoke(db: Connection, table: Table, object_id: int, accounts: Iterable[int] | None = None) -> None:
    """Take permission from accounts, or from all."""
    gone = sa.delete(table).where(column_of(table) == object_id)
    db.execute(gone if accounts is None else gone.where(table.c.account_id.in_(list(accounts))))


def named(
    call: Call,
    of: Row[Any],
    *,
    names: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    projects: Sequence[Row[Any]] | None = None,
) -> set[int]:
    """Return the accounts that the parameters accounts, accountids and projectids name, beside the owner of ``of``.

    Names are looked for in the owner's domain.  An account of another domain can be named by those who act for it.
    """
    if not (names or ids or projects):
        raise MissingParameter("one of the parameters accounts, accountids and projectids is needed")
    found = {row.account_id for row in projects or ()}
    for name in names or ():
        within = sa.select(account.c.id).where(
            account.c.name == name, account.c.domain_id == of.domain_id, account.c.removed.is_(None)
        )
        id_ = call.db.execute(within.where(account.c.role_type != store.PROJECT)).scalar_one_or_none()
        if id_ is None:
            raise InvalidParameter(f"parameter accounts: the owner's domain has no account {name[:64]!r}")
        found.add(id_)
    for text in ids or ():
        row = entities.find(call.db, "Account", text)
        if row is None or row.role_type == store.PROJECT:
            raise entities.unknown("accountids", text, "account")
        if row.domain_id != of.domain_id and not store.uses_account(call.db, call.caller, row):
            raise PermissionDenied(
                f"parameter accountids: {row.uuid} is an account of another domain", uuids=((row.uuid, "accountids"),)
            )
        found.add(row.id)
    return found - {of.account_id}
