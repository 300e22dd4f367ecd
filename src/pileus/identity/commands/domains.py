"""Domains: the tree in which accounts live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.database import after_commit, insert, new_uuid, now, one
from pileus.core.domain_names import network_domain
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref, is_uuid
from pileus.identity import callers, store, views, workflows
from pileus.identity.tables import domain


@command("createDomain", event="DOMAIN.CREATE", manage=["parentdomainid"], roles=["Admin", "DomainAdmin"])
class CreateDomain(Command):
    """Create a domain below another one."""

    name: str
    parentdomainid: Ref | None = None
    networkdomain: str | None = None
    domainid: str | None = None

    def check(self) -> None:
        """Check the name and the id."""
        if "/" in self.name or self.name.strip() != self.name:
            raise InvalidParameter("parameter name may not contain a slash, nor begin or end with a blank")
        if self.domainid is not None and not is_uuid(self.domainid):
            raise InvalidParameter("parameter domainid must be the UUID that the new domain shall have")
        if self.networkdomain:
            self.networkdomain = network_domain("networkdomain", self.networkdomain)

    def run(self, call: Call) -> dict[str, Any]:
        parent = self.parentdomainid or one(call.db, domain, call.caller.domain_id)
        path = f"{parent.path}{self.name}/"
        if len(path) > 2000:
            raise InvalidParameter("parameter name: the path of the domain would be too long")
        if parent.state != "Active":
            raise InvalidParameter("parameter parentdomainid names a domain that is being deleted")
        taken = sa.select(domain.c.id).where(
            domain.c.parent_id == parent.id,
            sa.func.lower(domain.c.name) == self.name.lower(),
            domain.c.removed.is_(None),
        )
        if call.db.execute(taken).first() is not None:
            raise InvalidParameter(
                f"parameter name: {store.display_path(parent.path)} has a domain {self.name} already"
            )
        made = insert(
            call.db,
            domain,
            uuid=(self.domainid or new_uuid()).lower(),
            name=self.name,
            parent_id=parent.id,
            path=path,
            level=parent.level + 1,
            network_domain=self.networkdomain or None,
            created=now(),
        )
        row = one(call.db, domain, made)
        call.describe(f"creating domain {store.display_path(path)}", resource=("Domain", row.uuid))
        return views.domains(call.db, [row], admin=call.caller.admin)[0]


@command("listDomains")
class ListDomains(ListCommand):
    """List the domains that the caller may see."""

    id: Ref | None = None
    name: str | None = None
    level: int | None = None
    listall: bool = False
    details: list[str] = []
    tag: str | None = None

    def query(self, call: Call) -> Query:
        """Without listall and id root admins see all, others their own domain."""
        query = Query(domain, domain.c.path).same(domain.c.name, self.name).equals(domain.c.level, self.level)
        query.contains(self.keyword, domain.c.name)
        if self.id is not None:
            return query.where(domain.c.id == self.id.id)
        if self.listall or call.caller.admin:
            return query.where(domain.c.path.startswith(call.caller.domain_path, autoescape=True))
        return query.where(domain.c.id == call.caller.domain_id)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        limits = views.with_limits(self.details)
        return views.domains(call.db, rows, admin=call.caller.admin, limits=limits, tag=self.tag)


@command("deleteDomain", event="DOMAIN.DELETE")
class DeleteDomain(Command):
    """Delete a domain; with cleanup also the accounts and domains in it."""

    id: Ref
    cleanup: bool = False

    def run(self, call: Call) -> Any:
        if self.id.id == store.ROOT:
            raise PermissionDenied("the ROOT domain cannot be deleted")
        if self.id.id == call.caller.domain_id or call.caller.domain_path.startswith(self.id.path):
            raise PermissionDenied("nobody may delete the domain that they are in")
        workflows.mark_domain(call.db, self.id, cleanup=self.cleanup)
        after_commit(call.db, lambda: callers.forget(call.services))
        call.describe(f"deleting domain {store.display_path(self.id.path)}", resource=("Domain", self.id.uuid))
        return call.submit(
            workflows.delete_domain,
            key=f"domain:{self.id.id}",
            instance=("Domain", self.id.uuid),
            domain=self.id.id,
            cleanup=self.cleanup,
        )
