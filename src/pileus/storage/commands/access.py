"""Commands of storage access groups: which hosts reach which primary storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.engine import Row

from pileus.core import database, instant
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.parameters import Ref
from pileus.infrastructure import access_groups, host_views, views
from pileus.infrastructure.computed import ComputedList
from pileus.infrastructure.tables import cluster, host, pod, zone
from pileus.storage import pools
from pileus.storage.tables import storage_pool, volume

_TABLES: dict[str, tuple[str, Table]] = {
    "zoneid": ("Zone", zone),
    "podid": ("Pod", pod),
    "clusterid": ("Cluster", cluster),
    "hostid": ("Host", host),
    "storageid": ("StoragePool", storage_pool),
}
_SHOWN = 3


@command("configureStorageAccess", event="CONFIGURE.STORAGE.ACCESS")
class ConfigureStorageAccess(Command):
    """Set the storage access groups of a zone, pod, cluster, host or primary storage; without any they are removed.

    Refused while a machine runs that would lose its host's way to one of its volumes.
    """

    zoneid: Ref | None = None
    podid: Ref | None = None
    clusterid: Ref | None = None
    hostid: Ref | None = None
    storageid: Ref | None = None
    storageaccessgroups: list[str] | None = None

    def check(self) -> None:
        """Check that one thing is named."""
        if sum(getattr(self, name) is not None for name in _TABLES) != 1:
            raise InvalidParameter(f"one of the parameters {', '.join(_TABLES)} is needed, and only one")
        access_groups.pack(self.storageaccessgroups)

    def run(self, call: Call) -> Any:
        """Set them; the job says so."""
        name = next(name for name in _TABLES if getattr(self, name) is not None)
        row: Row[Any] = getattr(self, name)
        kind, table = _TABLES[name]
        if table is storage_pool and row.scope == pools.HOST:
            raise InvalidParameter(f"parameter storageid: {row.name} is storage of one host, which alone reaches it")
        groups = access_groups.pack(self.storageaccessgroups)
        database.change(call.db, table, row.id, access_groups=groups)
        _refuse_cut_off(call.db)
        call.describe(f"setting the storage access groups of {row.name}: {groups.strip(',') or 'none'}")
        return instant.submit(call, {"success": True}, instance=(kind, row.uuid))


def _refuse_cut_off(db: Connection) -> None:
    """Refuse what was just changed when a machine on a host has a volume on storage which lets that host in no more."""
    machine = database.metadata.tables["machine"]  # a later slice's
    guarded = (
        sa.select(
            machine.c.uuid,
            machine.c.name,
            machine.c.host_id,
            storage_pool.c.access_groups,
            storage_pool.c.name.label("at"),
        )
        .select_from(
            storage_pool.join(volume, volume.c.pool_id == storage_pool.c.id).join(
                machine, machine.c.id == volume.c.machine_id
            )
        )
        .where(storage_pool.c.access_groups != "", machine.c.host_id.is_not(None))
        .where(volume.c.removed.is_(None), machine.c.removed.is_(None))
    )
    running = db.execute(guarded.order_by(machine.c.id)).all()
    if not running:
        return
    ids = sorted({row.host_id for row in running})
    groups = {
        row.id: access_groups.effective(row) for row in db.execute(access_groups.WITH_PLACES.where(host.c.id.in_(ids)))
    }
    lost = [row for row in running if access_groups.split(row.access_groups).isdisjoint(groups[row.host_id])]
    if lost:
        names = ", ".join(dict.fromkeys(row.name for row in lost[:_SHOWN]))
        raise InUse(
            f"parameter storageaccessgroups: machines that run would lose their storage {lost[0].at} ({names}); "
            "stop them first",
            uuids=tuple(dict.fromkeys((row.uuid, "virtualmachine") for row in lost[:_SHOWN])),
        )


@command("listStorageAccessGroups")
class ListStorageAccessGroups(ComputedList):
    """List storage access groups with the zones, pods, clusters, hosts and primary storage that have them."""

    name: str | None = None

    def items(self, call: Call) -> list[dict[str, Any]]:
        """Return the groups by name."""
        admin = call.caller.admin
        shown = {
            "zones": ("zone", *_grouped(call.db, zone, views.zones, admin=admin)),
            "pods": ("pod", *_grouped(call.db, pod, views.pods, admin=admin)),
            "clusters": ("cluster", *_grouped(call.db, cluster, views.clusters, admin=admin)),
            "hosts": ("host", *_grouped(call.db, host, host_views.hosts, admin=admin)),
            "storagepools": ("storagepool", *_grouped(call.db, storage_pool, pools.storage_pools, admin=admin)),
        }
        names = sorted(
            {group for _, rows, _ in shown.values() for row in rows for group in access_groups.split(row.access_groups)}
        )
        return [
            {"id": name, "name": name} | {field: _of_group(name, *found) for field, found in shown.items()}
            for name in names
            if self.name is None or name == self.name
        ]


def _grouped(
    db: Connection, table: Table, view: Any, *, admin: bool
) -> tuple[Sequence[Row[Any]], list[dict[str, Any]]]:
    """Return the objects of a table that have groups: their rows, and how clients see them."""
    having = sa.select(table).where(table.c.access_groups != "", table.c.removed.is_(None)).order_by(table.c.id)
    rows = db.execute(having).all()
    return rows, view(db, rows, admin=admin) if rows else []


def _of_group(name: str, key: str, rows: Sequence[Row[Any]], seen: list[dict[str, Any]]) -> dict[str, Any]:
    found = [each for row, each in zip(rows, seen, strict=True) if name in access_groups.split(row.access_groups)]
    return {"count": len(found), key: found}
