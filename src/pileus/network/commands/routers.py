"""Commands of virtual routers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import jobs
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import ResourceUnavailable
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import Ref, is_uuid
from pileus.infrastructure.tables import host
from pileus.network import model, router_jobs, views_routers
from pileus.network.tables import router


@command("listRouters")
class ListRouters(OwnedListCommand):
    """List virtual routers."""

    id: str | None = None  # the contract lets it name a machine; it is a router's id
    name: str | None = None
    state: str | None = None
    zoneid: Ref | None = None
    podid: Ref | None = None
    clusterid: Ref | None = None
    hostid: Ref | None = None
    networkid: Ref | None = None
    forvpc: bool | None = None
    arch: str | None = None
    fetchhealthcheckresults: bool = False
    healthchecksfailed: bool | None = None

    def query(self, call: Call) -> Query:
        """Return the routers that match."""
        columns = router.c
        query = Query(router).equals(columns.zone_id, self.zoneid).equals(columns.pod_id, self.podid)
        query.equals(columns.host_id, self.hostid).equals(columns.network_id, self.networkid)
        query.same(columns.name, self.name).same(columns.state, self.state).contains(self.keyword, columns.name)
        if self.id is not None:
            wanted = self.id.strip().lower()
            query.where(columns.uuid == wanted if is_uuid(wanted) else sa.false())
        if self.clusterid is not None:
            query.where(columns.host_id.in_(sa.select(host.c.id).where(host.c.cluster_id == self.clusterid.id)))
        # Routers are namespaces that their hosts keep as they should be: no checks run in them, so none has failed.
        if self.forvpc or self.healthchecksfailed or (self.arch is not None and self.arch.lower() != "x86_64"):
            query.where(sa.false())
        return self.owned(call, query, by_id=self.id)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the routers."""
        results: dict[str, Any] = {"healthcheckresults": []} if self.fetchhealthcheckresults else {}
        return [one | results for one in views_routers.routers(call.db, rows, admin=call.caller.admin)]


def submit(call: Call, workflow: Any, row: Row[Any], **arguments: Any) -> jobs.Submission:
    """Submit a router's job, in line with everything else of its network."""
    return call.submit(
        workflow,
        key=router_jobs.key(row.network_id),
        instance=("DomainRouter", row.uuid),
        owner=row,
        network=row.network_id,
        **arguments,
    )


@command("startRouter", event="ROUTER.START")
class StartRouter(Command):
    """Start a stopped router."""

    id: Ref

    def run(self, call: Call) -> jobs.Submission:
        """Let the job start it; one that runs is left alone."""
        call.describe(f"started router {self.id.name}")
        return submit(call, router_jobs.start, self.id)


@command("stopRouter", event="ROUTER.STOP")
class StopRouter(Command):
    """Stop a router; forced: also when its host does not answer."""

    id: Ref
    forced: bool = False

    def run(self, call: Call) -> jobs.Submission:
        """Let the job stop it; one that is stopped is left alone."""
        call.describe(f"stopped router {self.id.name}")
        return submit(call, router_jobs.stop, self.id, forced=self.forced)


@command("rebootRouter", event="ROUTER.REBOOT")
class RebootRouter(Command):
    """Stop a running router and start it again; forced: also when its host does not answer."""

    id: Ref
    forced: bool = False

    def run(self, call: Call) -> jobs.Submission:
        """Refuse a router that does not run, else let the job do it."""
        if self.id.state != model.RUNNING:
            raise ResourceUnavailable(
                f"router {self.id.name} is {self.id.state}: only a running router can be rebooted"
            )
        call.describe(f"rebooted router {self.id.name}")
        return submit(call, router_jobs.reboot, self.id, forced=self.forced)


@command("destroyRouter", event="ROUTER.DESTROY")
class DestroyRouter(Command):
    """Destroy a router; its network gets a new one with the next machine that starts, or by restartNetwork."""

    id: Ref

    def run(self, call: Call) -> jobs.Submission:
        """Let the job destroy it."""
        call.describe(f"destroyed router {self.id.name}")
        return submit(call, router_jobs.destroy, self.id, router_id=self.id.id)
