"""The account, domain and user of rows, without the core knowing whose tables these are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import Caller
from pileus.core.listing import related


def table(kind: str) -> Table:
    """Return the table of a kind of object."""
    found = entities.known(kind)
    if found is None:
        raise LookupError(f"no slice registers {kind}")
    return found.table


class Owners:
    """Accounts, domains, projects and users of a page of rows: four queries in all at most.

    Of the caller's own rows, all that there are where clients poll their jobs, everything is known already (as it was
    a second ago).
    """

    def __init__(self, db: Connection, rows: Iterable[Row[Any]], caller: Caller | None = None) -> None:
        self._caller = caller
        rows = [row for row in rows if self._of_caller(row) is None]
        self._accounts = related(db, table("Account"), (row.account_id for row in rows))
        self._domains = related(db, table("Domain"), (row.domain_id for row in rows))
        self._users = related(db, table("User"), (row.user_id for row in rows))
        of_projects = [row.id for row in self._accounts.values() if row.role_type == "Project"]
        projects = table("Project")
        found = db.execute(sa.select(projects).where(projects.c.account_id.in_(of_projects))) if of_projects else ()
        self._projects = {row.account_id: row for row in found}

    def _of_caller(self, row: Row[Any]) -> Caller | None:
        """Return the caller when the row is his own."""
        caller = self._caller
        if caller is None or row.user_id != caller.user_id:
            return None
        return caller if (row.account_id, row.domain_id) == (caller.account_id, caller.domain_id) else None

    def fields(self, row: Row[Any]) -> dict[str, Any]:
        """Return account (or project), domain and path of a row, with the ids and the user beside them."""
        caller = self._of_caller(row)
        if caller is not None:
            return _fields_of(caller)
        account = self._accounts.get(row.account_id)
        domain = self._domains.get(row.domain_id)
        user = self._users.get(row.user_id)
        project = self._projects.get(row.account_id)
        return {
            "accountid": account.uuid if account else None,
            "account": account.name if account and project is None else None,
            "project": project.name if project else None,
            "projectid": project.uuid if project else None,
            "domainid": domain.uuid if domain else None,
            "domain": domain.name if domain else None,
            "domainpath": ("ROOT" + domain.path).rstrip("/") if domain else None,
            "userid": user.uuid if user else None,
            "username": user.username if user else None,
        }


def _fields_of(caller: Caller) -> dict[str, Any]:
    path = ("ROOT" + caller.domain_path).rstrip("/")
    return {
        "accountid": caller.account_uuid,
        "account": caller.account,
        "project": None,
        "projectid": None,
        "domainid": caller.domain_uuid,
        "domain": path.rpartition("/")[2],
        "domainpath": path,
        "userid": caller.user_uuid,
        "username": caller.username,
    }
