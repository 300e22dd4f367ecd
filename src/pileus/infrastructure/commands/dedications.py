"""Commands that dedicate zones, pods, clusters and hosts, list what is dedicated, and release it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

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
        return query

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the dedications."""
        return dedication.views(call.db, self.kind, rows)


@command("dedicateZone", event="DEDICATE.RESOURCE")
class DedicateZone(_Dedicate):
    """Set a zone aside for a domain and all below it, or for one account."""

    kind = "zone"
    zoneid: Ref


@command("releaseDedicatedZone", event="DEDICATE.RESOURCE.RELEASE")
class ReleaseDedicatedZone(_Release):
    """Open a dedicated zone to everybody again."""

    kind = "zone"
    zoneid: Ref


@command("listDedicatedZones")
class ListDedicatedZones(_List):
    """List the zones that are dedicated."""

    kind = "zone"
    zoneid: Ref | None = None


@command("dedicatePod", event="DEDICATE.RESOURCE")
class DedicatePod(_Dedicate):
    """Set a pod aside for a domain and all below it, or for one account."""

    kind = "pod"
    podid: Ref


@command("releaseDedicatedPod", event="DEDICATE.RESOURCE.RELEASE")
class ReleaseDedicatedPod(_Release):
    """Open a dedicated pod to everybody again."""

    kind = "pod"
    podid: Ref


@command("listDedicatedPods")
class ListDedicatedPods(_List):
    """List the pods that are dedicated."""

    kind = "pod"
    podid: Ref | None = None


@command("dedicateCluster", event="DEDICATE.RESOURCE")
class DedicateCluster(_Dedicate):
    """Set a cluster aside for a domain and all below it, or for one account."""

    kind = "cluster"
    clusterid: Ref


@command("releaseDedicatedCluster", event="DEDICATE.RESOURCE.RELEASE")
class ReleaseDedicatedCluster(_Release):
    """Open a dedicated cluster to everybody again."""

    kind = "cluster"
    clusterid: Ref


@command("listDedicatedClusters")
class ListDedicatedClusters(_List):
    """List the clusters that are dedicated."""

    kind = "cluster"
    clusterid: Ref | None = None


@command("dedicateHost", event="DEDICATE.RESOURCE")
class DedicateHost(_Dedicate):
    """Set a host aside for a domain and all below it, or for one account."""

    kind = "host"
    hostid: Ref


@command("releaseDedicatedHost", event="DEDICATE.RESOURCE.RELEASE")
class ReleaseDedicatedHost(_Release):
    """Open a dedicated host to everybody again."""

    kind = "host"
    hostid: Ref


@command("listDedicatedHosts")
class ListDedicatedHosts(_List):
    """List the hosts that are dedicated."""

    kind = "host"
    hostid: Ref | None = None
