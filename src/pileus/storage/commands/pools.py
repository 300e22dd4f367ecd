"""Commands of primary storage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InternalError, InvalidParameter, MissingParameter, ResourceUnavailable
from pileus.core.jobs.tables import job
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.core.services import Services
from pileus.infrastructure import access_groups, model, restricted, usage
from pileus.infrastructure.tables import cluster, host
from pileus.storage import attaching, pools
from pileus.storage.tables import storage_pool

WAIT_SECONDS = 30.0
_LOOK_SECONDS = 0.05


@command("createStoragePool")
class CreateStoragePool(Command):
    """Add primary storage and wait until its host can use it.

    KVM: a directory of one host, scope=host; the host is named by the URL (file://HOST/PATH: uuid, name or address),
    by details[0].hostid, or is the cluster's only one.  Simulator: any URL and scope; nothing is contacted.
    """

    name: str
    url: str
    zoneid: Ref
    podid: Ref | None = None
    clusterid: Ref | None = None
    scope: str | None = None
    hypervisor: str | None = None
    provider: str = "DefaultPrimary"
    tags: str | None = None
    capacitybytes: int | None = None
    capacityiops: int | None = None
    details: dict[str, str] | None = None
    managed: bool = False
    istagarule: bool = False
    storageaccessgroups: str | None = None

    def check(self) -> None:
        """Check words and sizes."""
        restricted.refuse_set(self, "managed")
        if self.scope is not None:
            self.scope = model.one_of("scope", self.scope, pools.SCOPES)
        if self.hypervisor is not None and self.hypervisor.lower() != "any":
            self.hypervisor = model.one_of("hypervisor", self.hypervisor, model.HYPERVISORS)
        model.one_of("provider", self.provider, ("DefaultPrimary",))
        for name in ("capacitybytes", "capacityiops"):
            if (getattr(self, name) or 1) < 1:
                raise InvalidParameter(f"parameter {name} must be positive")

    def run(self, call: Call) -> dict[str, Any]:
        """Insert the pool; where a host must make it, start the job for which finishup waits."""
        db = call.db
        self._check_place()
        simulated = self._hypervisor(db) == model.SIMULATOR
        location = pools.locate(self.url, simulated=simulated)
        scope = self.scope or self._default_scope(location)
        local = self._host(db, location) if scope == pools.HOST else None
        if scope == pools.CLUSTER and self.clusterid is None:
            raise MissingParameter("parameter clusterid is needed with scope=cluster")
        if local is None and not simulated:
            raise InvalidParameter(f"parameter scope: a directory belongs to one host; use scope=host, not {scope}")
        self._refuse_taken(db, location, local)
        uuid = database.new_uuid()
        within = self.clusterid if scope != pools.ZONE else None
        id_ = database.insert(
            db,
            storage_pool,
            uuid=uuid,
            name=self.name,
            zone_id=self.zoneid.id,
            pod_id=local.pod_id if local is not None else within.pod_id if within is not None else None,
            cluster_id=local.cluster_id if local is not None else within.id if within is not None else None,
            host_id=local.id if local is not None else None,
            scope=scope,
            kind=location.kind,
            type=location.type,
            hypervisor=model.SIMULATOR if simulated else model.KVM,
            provider=self.provider,
            url=self.url,
            server=(local.address or local.name) if local is not None else location.server,
            path=location.path,
            state=pools.UP if simulated else pools.ATTACHING,
            capacity=(self.capacitybytes or pools.SIMULATED_CAPACITY) if simulated else 0,
            overprovision=call.services.settings.get(pools.OVERPROVISIONING),
            capacity_iops=self.capacityiops,
            **model.tags_or_rule("tags", self.tags, rule=self.istagarule),
            access_groups=self._groups(scope),
            details={k: v for k, v in (self.details or {}).items() if k.lower() != pools.HOST_DETAIL},
            created=database.now(),
        )
        call.describe(f"added primary storage {self.name}", resource=("StoragePool", uuid))
        self._id = id_
        if not simulated and local is not None:
            call.submit(attaching.attach, key=f"pool:{id_}", instance=("StoragePool", uuid), pool=id_, host=local.id)
        return pools.storage_pools(db, [database.one(db, storage_pool, id_)], admin=True)[0]

    def _groups(self, scope: str) -> str:
        """Return the access groups; storage of one host is reached by that host, whatever its groups."""
        groups = access_groups.pack(self.storageaccessgroups)
        if groups and scope == pools.HOST:
            raise InvalidParameter("parameter storageaccessgroups is for storage that hosts share, not scope=host")
        return groups

    def finishup(self, services: Services, result: Any) -> Any:
        """Wait until the host has attached the storage."""
        until = time.monotonic() + WAIT_SECONDS
        while result["state"] == pools.ATTACHING:
            if time.monotonic() > until:
                raise ResourceUnavailable(f"the host did not attach {self.name} in time; see listStoragePools")
            time.sleep(_LOOK_SECONDS)
            with services.database.read() as db:
                row = database.one(db, storage_pool, self._id)
                result = pools.storage_pools(db, [row], admin=True)[0]
        if result["state"] != pools.UP:
            raise InternalError(f"the host could not use {self.url}: {_failure(services, str(result['id']))}")
        return result

    def _check_place(self) -> None:
        for name in ("podid", "clusterid"):
            place = getattr(self, name)
            if place is not None and place.zone_id != self.zoneid.id:
                raise InvalidParameter(f"parameter {name}: {place.name} is not in zone {self.zoneid.name}")
        if self.podid is not None and self.clusterid is not None and self.clusterid.pod_id != self.podid.id:
            raise InvalidParameter(f"parameter clusterid: {self.clusterid.name} is not in pod {self.podid.name}")

    def _hypervisor(self, db: Connection) -> str:
        """Return the hypervisor type of the hosts that will use the pool."""
        named = self.hypervisor if self.hypervisor in model.HYPERVISORS else None
        if self.clusterid is not None:
            if named is not None and named != self.clusterid.hypervisor:
                raise InvalidParameter(f"parameter hypervisor: the cluster is for {self.clusterid.hypervisor}")
            return str(self.clusterid.hypervisor)
        if named is not None:
            return named
        kinds = (
            db.execute(
                sa.select(cluster.c.hypervisor)
                .where(cluster.c.zone_id == self.zoneid.id, cluster.c.removed.is_(None))
                .distinct()
            )
            .scalars()
            .all()
        )
        if len(kinds) != 1:
            raise MissingParameter("parameter hypervisor is needed: the zone's clusters do not say which it is")
        return str(kinds[0])

    def _default_scope(self, location: pools.Location) -> str:
        if location.kind == pools.DIRECTORY or self._detail() is not None:
            return pools.HOST
        return pools.CLUSTER if self.clusterid is not None else pools.ZONE

    def _detail(self) -> str | None:
        return next((v for k, v in (self.details or {}).items() if k.lower() == pools.HOST_DETAIL), None)

    def _host(self, db: Connection, location: pools.Location) -> Row[Any]:
        """Return the host of local storage."""
        name = self._detail() or (location.server if location.server != "localhost" else "")
        statement = sa.select(host).where(host.c.zone_id == self.zoneid.id, host.c.removed.is_(None))
        if self.clusterid is not None:
            statement = statement.where(host.c.cluster_id == self.clusterid.id)
        if name:
            statement = statement.where(
                sa.or_(host.c.uuid == name.lower(), host.c.name == name, host.c.address == name)
            )
        found = db.execute(statement.limit(2)).all()
        if len(found) == 1:
            return found[0]
        what = f"no host {name[:60]!r} is there" if name and not found else "several hosts could be meant"
        raise InvalidParameter(f"parameter url: {what}; name the host of local storage as in file://HOSTID/PATH")

    def _refuse_taken(self, db: Connection, location: pools.Location, local: Row[Any] | None) -> None:
        others = sa.select(storage_pool).where(
            storage_pool.c.zone_id == self.zoneid.id, storage_pool.c.removed.is_(None)
        )
        for other in db.execute(others):
            if other.name == self.name:
                raise InvalidParameter(f"parameter name: the zone has primary storage {self.name!r} already")
            same_place = other.host_id == local.id if local is not None else other.server == location.server
            if same_place and other.path == location.path and other.kind == location.kind:
                raise InvalidParameter(f"parameter url: this is the primary storage {other.name} already")


def _failure(services: Services, uuid: str) -> str:
    """Return why the last job on a pool failed."""
    statement = sa.select(job.c.result).where(job.c.instance_uuid == uuid).order_by(job.c.id.desc()).limit(1)
    with services.database.read() as db:
        result: dict[str, Any] | None = db.execute(statement).scalar_one_or_none()
    return str((result or {}).get("errortext", "the server's log says why"))


@command("listStoragePools")
class ListStoragePools(ListCommand):
    """List primary storage."""

    id: Ref | None = None
    name: str | None = None
    zoneid: Ref | None = None
    podid: Ref | None = None
    clusterid: Ref | None = None
    hostid: Ref | None = None
    ipaddress: str | None = None
    path: str | None = None
    scope: str | None = None
    status: str | None = None
    storageaccessgroup: str | None = None
    storagecustomstats: bool = False

    def query(self, call: Call) -> Query:
        """Return the pools that match; with a host those that it reaches."""
        columns = storage_pool.c
        restricted.refuse_set(self, "storagecustomstats")
        query = Query(storage_pool).equals(columns.id, self.id).equals(columns.zone_id, self.zoneid)
        query.equals(columns.pod_id, self.podid).equals(columns.cluster_id, self.clusterid)
        query.same(columns.name, self.name).same(columns.scope, self.scope).same(columns.state, self.status)
        query.equals(columns.server, self.ipaddress).equals(columns.path, self.path)
        if self.storageaccessgroup is not None:
            query.where(access_groups.carries(columns.access_groups, self.storageaccessgroup))
        if self.hostid is not None:
            query.where(pools.reached_by(call.db, self.hostid))
        return query.contains(self.keyword, columns.name, columns.type)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the pools."""
        return pools.storage_pools(call.db, rows, admin=call.caller.admin)


@command("deleteStoragePool")
class DeleteStoragePool(Command):
    """Take primary storage without volumes out of the cloud; what lies on it stays there."""

    id: Ref
    forced: bool = False

    def check(self) -> None:
        """Volumes are never dropped with their storage."""
        restricted.refuse_set(self, "forced")

    def run(self, call: Call) -> Success:
        """Refuse while volumes are on it, else remove it."""
        usage.refuse_used(call.db, storage_pool, self.id, "primary storage")
        database.change(call.db, storage_pool, self.id.id, removed=database.now(), state="Removed")
        call.describe(f"removed primary storage {self.id.name}", resource=("StoragePool", self.id.uuid))
        return Success()
