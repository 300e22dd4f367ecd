"""Renaming and moving domains; and what is below one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.database import after_commit, change, one
from pileus.core.domain_names import network_domain
from pileus.core.errors import ConcurrentChange, InvalidParameter, PermissionDenied
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.identity import callers, store, views
from pileus.identity.limits import checking
from pileus.identity.tables import domain

LONGEST_PATH = 2000


def replant(call: Call, row: Row[Any], parent: Row[Any], name: str) -> None:
    """Give a domain a parent and a name: the paths and levels of all below it follow, in this transaction."""
    taken = sa.select(domain.c.id).where(
        domain.c.parent_id == parent.id,
        sa.func.lower(domain.c.name) == name.lower(),
        domain.c.removed.is_(None),
        domain.c.id != row.id,
    )
    if call.db.execute(taken).first() is not None:
        raise InvalidParameter(f"{store.display_path(parent.path)} has a domain {name} already")
    path, deeper = f"{parent.path}{name}/", parent.level + 1 - row.level
    below = domain.c.path.startswith(row.path, autoescape=True)
    longest = call.db.execute(sa.select(sa.func.max(sa.func.length(domain.c.path))).where(below)).scalar_one()
    if longest + len(path) - len(row.path) > LONGEST_PATH:
        raise InvalidParameter("the path of a domain below it would be too long")
    if not change(
        call.db, domain, row.id, expect={"state": "Active", "path": row.path}, name=name, parent_id=parent.id
    ):
        raise ConcurrentChange(f"domain {row.name} changed meanwhile; try again")
    rest = sa.func.substr(domain.c.path, len(row.path) + 1)
    moved = sa.update(domain).where(below)
    call.db.execute(moved.values(path=sa.literal(path).op("||")(rest), level=domain.c.level + deeper))
    after_commit(call.db, lambda: callers.forget(call.services))


def _shown(call: Call, id_: int) -> dict[str, Any]:
    return views.domains(call.db, [one(call.db, domain, id_)], admin=call.caller.admin)[0]


@command("updateDomain", event="DOMAIN.UPDATE")
class UpdateDomain(Command):
    """Change a domain's name and network domain."""

    id: Ref
    name: str | None = None
    networkdomain: str | None = None

    def check(self) -> None:
        """Check the name."""
        if self.name is not None and ("/" in self.name or not self.name or self.name.strip() != self.name):
            raise InvalidParameter("parameter name may not be empty, have a slash, nor begin or end with a blank")
        if self.networkdomain:
            self.networkdomain = network_domain("networkdomain", self.networkdomain)

    def run(self, call: Call) -> dict[str, Any]:
        row: Row[Any] = self.id
        if self.name is not None and self.name != row.name:
            if row.id == store.ROOT:
                raise PermissionDenied("the ROOT domain keeps its name")
            replant(call, row, one(call.db, domain, row.parent_id), self.name)
        if self.networkdomain is not None:
            change(call.db, domain, row.id, network_domain=self.networkdomain or None)
        call.describe(f"updating domain {store.display_path(row.path)}", resource=("Domain", row.uuid))
        return _shown(call, row.id)


@command("moveDomain", event="DOMAIN.MOVE", manage=["domainid", "parentdomainid"])
class MoveDomain(Command):
    """Move a domain, with all below it, to another parent; the limits above the new place must allow it."""

    domainid: Ref
    parentdomainid: Ref

    def run(self, call: Call) -> dict[str, Any]:
        row, parent = self.domainid, self.parentdomainid
        if row.id == store.ROOT:
            raise PermissionDenied("the ROOT domain cannot be moved")
        if parent.path.startswith(row.path):
            raise InvalidParameter("parameter parentdomainid names the domain itself or one below it")
        if parent.id == row.parent_id:
            raise InvalidParameter("parameter parentdomainid names the domain's parent")
        if parent.state != "Active":
            raise InvalidParameter("parameter parentdomainid names a domain that is being deleted")
        checking.check_move(call.db, row, parent)
        replant(call, row, parent, row.name)
        call.describe(f"moving domain {store.display_path(row.path)}", resource=("Domain", row.uuid))
        return _shown(call, row.id)


@command("listDomainChildren", ignored=["listall"])
class ListDomainChildren(ListCommand):
    """List the domains right below one (by default the caller's), with isrecursive all below it."""

    id: Ref | None = None
    name: str | None = None
    isrecursive: bool = False

    def query(self, call: Call) -> Query:
        """Return the domains below."""
        query = Query(domain, domain.c.path).same(domain.c.name, self.name).contains(self.keyword, domain.c.name)
        top = self.id if self.id is not None else one(call.db, domain, call.caller.domain_id)
        if self.isrecursive:
            return query.where(domain.c.path.startswith(top.path, autoescape=True), domain.c.id != top.id)
        return query.where(domain.c.parent_id == top.id)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        return views.domains(call.db, rows, admin=call.caller.admin)
