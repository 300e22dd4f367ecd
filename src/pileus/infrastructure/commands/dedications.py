"""Commands that dedicate zones, pods, clusters and hosts, list what is dedicated, and release it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.jobs import Job, workflow
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.identity.tables import account as accounts
from pileus.infrastructure import dedication, workflows
from pileus.infrastructure.tables import dedication as table

_C = TypeVar("_C", bound=Command)


@workflow("infrastructure.dedicated")
def dedicated(job: Job, kind: str, row_id: int) -> None:
    """End with the dedication: an object for clusters, a list of one for the others, as CloudStack answers."""

    def render(db: Connection) -> dict[str, Any]:
        found = dedication.views(db, kind, [database.one(db, table, row_id)])
        if kind == "cluster":
            return {"dedicatedcluster": found[0]}
        return {"count": 1, f"dedicated{kind}": found}

    job.finish("done", render)


class _Dedicate(Command):
    """Base: set a place aside for a domain, or for one account of it."""

    kind: ClassVar[str]

    domainid: Ref
    account: str | None = None

    def run(self, call: Call) -> Any:
        """Dedicate it; the job shows it."""
        place: Row[Any] = getattr(self, f"{self.kind}id")
        row = dedication.dedicate(call.db, self.kind, place, self.domainid, self.account)
        call.describe(f"dedicating {self.kind} {place.name} to {self.account or self.domainid.path}")
        return call.submit(
            dedicated,
            key=f"{self.kind}:{place.id}",
            instance=(self.kind.capitalize(), place.uuid),
            kind=self.kind,
            row_id=row.id,
        )


class _Release(Command):
    """Base: open a place to everybody again."""

    kind: ClassVar[str]

    def run(self, call: Call) -> Any:
        """Release it."""
        place: Row[Any] = getattr(self, f"{self.kind}id")
        dedication.release(call.db, self.kind, place)
        call.describe(f"releasing {self.kind} {place.name}")
        return call.submit(
            workflows.deleted, key=f"{self.kind}:{place.id}", instance=(self.kind.capitalize(), place.uuid)
        )


class _List(ListCommand):
    """Base: what is dedicated, to whom."""

    kind: ClassVar[str]

    domainid: Ref | None = None
    account: str | None = None

    def query(self, call: Call) -> Query:
        """Return the dedications that match."""
        column = table.c[f"{self.kind}_id"]
        query = Query(table).where(column.is_not(None))
        query.equals(column, getattr(self, f"{self.kind}id")).equals(table.c.domain_id, self.domainid)
        if self.account is not None:
            named = sa.select(accounts.c.id).where(accounts.c.name == self.account, accounts.c.removed.is_(None))
            query.where(table.c.account_id.in_(named))
        if self.keyword:
            place = dedication.KINDS[self.kind]
            query.where(column.in_(sa.select(place.c.id).where(place.c.name.icontains(self.keyword, autoescape=True))))
        return query

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the dedications."""
        return dedication.views(call.db, self.kind, rows)


def _declare(kind: str) -> None:
    """Register the three commands of a kind of place; they differ in nothing but its name."""
    place, parameter = kind.capitalize(), f"{kind}id"

    def declared(base: type[_C], description: str, **attributes: Any) -> type[_C]:
        names: dict[str, Any] = {"__module__": __name__, "__doc__": description, "kind": kind, **attributes}
        return cast(type[_C], type(f"{base.__name__.strip('_')}{place}", (base,), names))

    needed: dict[str, Any] = {"__annotations__": {parameter: "Ref"}}
    wished: dict[str, Any] = {"__annotations__": {parameter: "Ref | None"}, parameter: None}
    dedicate = declared(_Dedicate, f"Set a {kind} aside for a domain and all below it, or for one account.", **needed)
    release = declared(_Release, f"Open a dedicated {kind} to everybody again.", **needed)
    listed = declared(_List, f"List the {kind}s that are dedicated.", **wished)
    command(f"dedicate{place}", event="DEDICATE.RESOURCE")(dedicate)
    command(f"releaseDedicated{place}", event="DEDICATE.RESOURCE.RELEASE")(release)
    command(f"listDedicated{place}s")(listed)


for _kind in dedication.KINDS:
    _declare(_kind)
