"""Commands of volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import Call
from pileus.core.commands import command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import Ref
from pileus.storage import views
from pileus.storage.tables import storage_pool, volume
from pileus.storage.volumes import DATA, ROOT


@command("listVolumes")
class ListVolumes(OwnedListCommand):
    """List volumes."""

    id: Ref | None = None
    ids: list[Ref] = []
    name: str | None = None
    type: str | None = None
    state: str | None = None
    virtualmachineid: Ref | None = None
    zoneid: Ref | None = None
    podid: Ref | None = None
    clusterid: Ref | None = None
    hostid: Ref | None = None
    storageid: str | None = None
    diskofferingid: Ref | None = None
    serviceofferingid: Ref | None = None
    displayvolume: bool | None = None
    listsystemvms: bool = False  # adds the volumes of system machines, of which there are none: routers have no disks
    isencrypted: bool | None = None

    def check(self) -> None:
        """Check paging and the words."""
        super().check()
        if self.type is not None:
            if self.type.upper() not in (ROOT, DATA):
                raise InvalidParameter(f"parameter type must be {ROOT} or {DATA}, not {self.type[:60]!r}")
            self.type = self.type.upper()

    def query(self, call: Call) -> Query:
        """Return what was asked for, newest last."""
        c = volume.c
        query = Query(volume)
        self.owned(call, query, by_id=self.id or self.ids or None)
        query.equals(c.id, self.id).equals(c.id, self.ids).equals(c.name, self.name).equals(c.type, self.type)
        query.same(c.state, self.state).equals(c.machine_id, self.virtualmachineid).equals(c.zone_id, self.zoneid)
        query.equals(c.disk_offering_id, self.diskofferingid).equals(c.service_offering_id, self.serviceofferingid)
        query.equals(c.display, self.displayvolume).contains(self.keyword, c.name)
        if self.isencrypted:
            query.where(sa.false())
        if not call.caller.admin:
            query.where(c.display.is_(True))
        self._where(call, query)
        return query

    def _where(self, call: Call, query: Query) -> None:
        """Filter by where the volumes are stored: a pool, or all pools of a host, cluster or pod."""
        pools = sa.select(storage_pool.c.id)
        if self.storageid is not None:
            row = entities.find(call.db, "StoragePool", self.storageid)
            if row is None:
                raise InvalidParameter(f"parameter storageid names no storage pool ({self.storageid[:64]})")
            query.where(volume.c.pool_id == row.id)
        for column, reference in (
            (storage_pool.c.pod_id, self.podid),
            (storage_pool.c.cluster_id, self.clusterid),
            (storage_pool.c.host_id, self.hostid),
        ):
            if reference is not None:
                query.where(volume.c.pool_id.in_(pools.where(column == reference.id)))

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the page."""
        return views.volumes(call.db, rows, admin=call.caller.admin)
