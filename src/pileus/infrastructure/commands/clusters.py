"""Commands of clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Listed, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.core.settings import declare
from pileus.infrastructure import access_groups, dedication, model, usage, views
from pileus.infrastructure.tables import cluster, host

CPU_OVERPROVISIONING = declare(
    "cpu.overprovisioning.factor", float, 1.0, "CPU overcommit of new clusters", minimum=0.1, maximum=100
)
MEMORY_OVERPROVISIONING = declare(
    "mem.overprovisioning.factor", float, 1.0, "memory overcommit of new clusters", minimum=0.1, maximum=100
)
_RELEASED = frozenset({"dedication"})
_TYPES = ("CloudManaged",)
_MANAGED = ("Managed", "Unmanaged")


def _name_free(db: Connection, pod_id: int, name: str, but: int = 0) -> None:
    taken = sa.select(cluster.c.id).where(
        cluster.c.pod_id == pod_id, cluster.c.name == name, cluster.c.removed.is_(None), cluster.c.id != but
    )
    if db.execute(taken).first():
        raise InvalidParameter(f"parameter clustername: the pod has a cluster {name!r} already")


def _architecture(value: str | None) -> None:
    if value is not None:
        model.one_of("arch", value, (model.ARCHITECTURE,))


@command("addCluster")
class AddCluster(Command):
    """Create a cluster in a pod."""

    clustername: str
    clustertype: str
    hypervisor: str
    podid: Ref
    zoneid: Ref
    allocationstate: str | None = None
    arch: str | None = None
    storageaccessgroups: list[str] | None = None

    def check(self) -> None:
        """Check the words."""
        self.clustertype = model.one_of("clustertype", self.clustertype, _TYPES)
        self.hypervisor = model.one_of("hypervisor", self.hypervisor, model.HYPERVISORS)
        _architecture(self.arch)
        if self.allocationstate:
            self.allocationstate = model.allocation_state(self.allocationstate)

    def run(self, call: Call) -> Listed:
        """Create the cluster; the answer is a list of one."""
        if self.podid.zone_id != self.zoneid.id:
            raise InvalidParameter(f"parameter podid: pod {self.podid.name} is not in zone {self.zoneid.name}")
        _name_free(call.db, self.podid.id, self.clustername)
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            cluster,
            uuid=uuid,
            zone_id=self.zoneid.id,
            pod_id=self.podid.id,
            name=self.clustername,
            hypervisor=self.hypervisor,
            cluster_type=self.clustertype,
            allocation_state=self.allocationstate or model.ENABLED,
            cpu_overcommit=call.services.settings.get(CPU_OVERPROVISIONING),
            memory_overcommit=call.services.settings.get(MEMORY_OVERPROVISIONING),
            access_groups=access_groups.pack(self.storageaccessgroups),
            created=database.now(),
        )
        call.describe(f"created cluster {self.clustername} in pod {self.podid.name}", resource=("Cluster", uuid))
        return Listed(views.clusters(call.db, [database.one(call.db, cluster, id_)], admin=True), 1)


@command("updateCluster")
class UpdateCluster(Command):
    """Change a cluster."""

    id: Ref
    clustername: str | None = None
    clustertype: str | None = None
    hypervisor: str | None = None
    allocationstate: str | None = None
    managedstate: str | None = None
    arch: str | None = None

    def check(self) -> None:
        """Check the words."""
        if self.clustertype is not None:
            self.clustertype = model.one_of("clustertype", self.clustertype, _TYPES)
        if self.hypervisor is not None:
            self.hypervisor = model.one_of("hypervisor", self.hypervisor, model.HYPERVISORS)
        if self.allocationstate is not None:
            self.allocationstate = model.allocation_state(self.allocationstate)
        if self.managedstate is not None:
            self.managedstate = model.one_of("managedstate", self.managedstate, _MANAGED)
        _architecture(self.arch)

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        row = self.id
        if self.clustername is not None:
            _name_free(call.db, row.pod_id, self.clustername, but=row.id)
        if self.hypervisor is not None and self.hypervisor != row.hypervisor:
            hosts = usage.users(call.db, cluster, row.id)
            if hosts:
                raise InUse(f"parameter hypervisor: the cluster {row.name} is used by {', '.join(hosts)}")
        passed: dict[str, Any] = {
            "name": self.clustername,
            "cluster_type": self.clustertype,
            "hypervisor": self.hypervisor,
            "allocation_state": self.allocationstate,
            "managed_state": self.managedstate,
        }
        changes = {column: value for column, value in passed.items() if value}
        if changes:
            database.change(call.db, cluster, row.id, **changes)
        if self.managedstate is not None:
            _manage(call.db, row.id, managed=self.managedstate == "Managed")
        call.describe(f"changed cluster {row.name}", resource=("Cluster", row.uuid))
        return views.clusters(call.db, [database.one(call.db, cluster, row.id)], admin=True)[0]


def _manage(db: Connection, cluster_id: int, *, managed: bool) -> None:
    """Let go of the hosts of an unmanaged cluster, or take them back."""
    before, after = ("Disconnected", "Up") if managed else ("Up", "Disconnected")
    statement = sa.update(host).where(host.c.cluster_id == cluster_id, host.c.removed.is_(None), host.c.state == before)
    if managed:
        statement = statement.where(host.c.hypervisor == model.SIMULATOR)  # real ones come up with their next report
    db.execute(statement.values(state=after))


@command("listClusters")
class ListClusters(ListCommand):
    """List clusters."""

    id: Ref | None = None
    name: str | None = None
    zoneid: Ref | None = None
    podid: Ref | None = None
    hypervisor: str | None = None
    clustertype: str | None = None
    allocationstate: str | None = None
    managedstate: str | None = None
    arch: str | None = None
    storageaccessgroup: str | None = None
    showcapacities: bool = False

    def query(self, call: Call) -> Query:
        """Return the clusters that match."""
        columns = cluster.c
        query = Query(cluster).equals(columns.id, self.id)
        query.equals(columns.zone_id, self.zoneid).equals(columns.pod_id, self.podid)
        query.same(columns.name, self.name).same(columns.hypervisor, self.hypervisor)
        query.same(columns.cluster_type, self.clustertype).same(columns.allocation_state, self.allocationstate)
        query.same(columns.managed_state, self.managedstate)
        if self.arch is not None and self.arch.lower() != model.ARCHITECTURE:
            query.where(sa.false())
        if self.storageaccessgroup is not None:
            query.where(access_groups.carries(columns.access_groups, self.storageaccessgroup))
        return query.contains(self.keyword, columns.name, columns.hypervisor)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the clusters."""
        return views.clusters(call.db, rows, admin=call.caller.admin, capacities=self.showcapacities)


@command("deleteCluster")
class DeleteCluster(Command):
    """Delete a cluster that has nothing in it any more."""

    id: Ref

    def run(self, call: Call) -> Success:
        """Refuse while anything uses the cluster, else remove it."""
        usage.refuse_used(call.db, cluster, self.id, "cluster", ignore=_RELEASED)
        dedication.release(call.db, "cluster", self.id, must=False)
        database.change(call.db, cluster, self.id.id, removed=database.now())
        call.describe(f"deleted cluster {self.id.name}", resource=("Cluster", self.id.uuid))
        return Success()
