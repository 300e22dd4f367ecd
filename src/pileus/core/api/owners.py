"""The account, domain and user of rows, without the core knowing whose tables these are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.listing import related


def table(kind: str) -> Table:
    """Return the table of a kind of object."""
    found = entities.known(kind)
    if found is None:
        raise LookupError(f"no slice registers {kind}")
    return found.table


class Owners:
    """Accounts, domains and users of a page of rows: three queries in all."""

    def __init__(self, db: Connection, rows: Iterable[Row[Any]]) -> None:
        rows = list(rows)
        self._accounts = related(db, table("Account"), (row.account_id for row in rows))
        self._domains = related(db, table("Domain"), (row.domain_id for row in rows))
        self._users = related(db, table("User"), (row.user_id for row in rows))

    def fields(self, row: Row[Any]) -> dict[str, Any]:
        """Return account, domainid, domain, domainpath of a row, and accountid, userid, username beside them."""
        account = self._accounts.get(row.account_id)
        domain = self._domains.get(row.domain_id)
        user = self._users.get(row.user_id)
        return {
            "accountid": account.uuid if account else None,
            "account": account.name if account else None,
            "domainid": domain.uuid if domain else None,
            "domain": domain.name if domain else None,
            "domainpath": ("ROOT" + domain.path).rstrip("/") if domain else None,
            "userid": user.uuid if user else None,
            "username": user.username if user else None,
        }
