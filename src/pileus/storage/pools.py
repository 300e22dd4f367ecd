"""Primary storage: what its URL means, how it looks to clients, and which hosts reach it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.engine import Row

from pileus.core.errors import InvalidParameter
from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.core.settings import declare
from pileus.infrastructure import access_groups
from pileus.infrastructure import tables as places
from pileus.infrastructure.model import unpack_tags
from pileus.storage.tables import storage_pool
from pileus.wire.storage import Pool

OVERPROVISIONING = declare(
    "storage.overprovisioning.factor", float, 2.0, "how much more may be promised than a storage holds", minimum=1
)

HOST, CLUSTER, ZONE = "HOST", "CLUSTER", "ZONE"
SCOPES = (HOST, CLUSTER, ZONE)
UP, ATTACHING = "Up", "Attaching"
DIRECTORY, SIMULATOR = "directory", "simulator"
SIMULATED_CAPACITY = 2**50  # a pebibyte
HOST_DETAIL = "hostid"  # names the host of local storage among a pool's details

_TYPES = {
    "file": "Filesystem",
    "filesystem": "Filesystem",
    "nfs": "NetworkFilesystem",
    "rbd": "RBD",
    "iscsi": "IscsiLUN",
    "sharedmountpoint": "SharedMountPoint",
    "presetup": "PreSetup",
    "gluster": "Gluster",
    "smb": "SMB",
    "cifs": "SMB",
    "sim": "NetworkFilesystem",
    "simulator": "NetworkFilesystem",
}


class Location(msgspec.Struct, frozen=True):
    """What a URL says: driver, CloudStack's type of pool, server (or host) and path."""

    kind: str
    type: str
    server: str
    path: str


def locate(url: str, *, simulated: bool) -> Location:
    """Return what a pool's URL says; real hosts know directories: file:///PATH or file://HOST/PATH."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        raise InvalidParameter(f"parameter url is not a URL: {url[:100]!r}") from None
    scheme, path = parts.scheme.lower(), posixpath.normpath(unquote(parts.path) or "/")
    if not scheme or path.startswith("//"):
        raise InvalidParameter(f"parameter url must look like file://HOST/PATH, not {url[:100]!r}")
    if simulated:
        if scheme not in _TYPES:
            raise InvalidParameter(f"parameter url: there is no storage {scheme}://; known are {', '.join(_TYPES)}")
        return Location(SIMULATOR, _TYPES[scheme], parts.netloc, path)
    if scheme not in ("file", "filesystem"):
        raise InvalidParameter(
            f"parameter url: {scheme} storage is not supported by this server yet; use file://HOST/PATH, a directory "
            "of one host"
        )
    if "/../" in f"{unquote(parts.path)}/" or path == "/" or "\0" in path:
        raise InvalidParameter("parameter url must name a directory by its absolute path, without ..")
    return Location(DIRECTORY, "Filesystem", parts.netloc, path)


def wire(row: Row[Any]) -> Pool:
    """Return a pool as hosts know it."""
    return Pool(uuid=row.uuid, kind=row.kind, path=row.path, host=row.server)


def reached_by(db: Connection, host: Row[Any]) -> ColumnElement[bool]:
    """Return the condition for the pools that a host reaches: its own, its cluster's, its zone's, if they let it in."""
    columns = storage_pool.c
    groups = access_groups.of_host(db, host.id)
    let_in = sa.or_(columns.access_groups == "", *(access_groups.carries(columns.access_groups, g) for g in groups))
    within = sa.or_(
        columns.host_id == host.id,
        sa.and_(columns.scope == CLUSTER, columns.cluster_id == host.cluster_id),
        sa.and_(
            columns.scope == ZONE,
            columns.zone_id == host.zone_id,
            sa.or_(columns.hypervisor.is_(None), columns.hypervisor == host.hypervisor),
        ),
    )
    return sa.and_(within, let_in)


def let_in(db: Connection, pool: Row[Any]) -> ColumnElement[bool]:
    """Return the condition for hosts that a pool's access groups let in."""
    if not pool.access_groups:
        return sa.true()
    wanted = access_groups.split(pool.access_groups)
    found = db.execute(access_groups.WITH_PLACES.where(places.host.c.zone_id == pool.zone_id))
    return places.host.c.id.in_([row.id for row in found if not wanted.isdisjoint(access_groups.effective(row))])


def storage_pools(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> list[dict[str, Any]]:
    """Return pools; sizes in bytes: allocated = promised to volumes, used = really there."""
    zones = related(db, places.zone, (row.zone_id for row in rows))
    pods = related(db, places.pod, (row.pod_id for row in rows))
    clusters = related(db, places.cluster, (row.cluster_id for row in rows))
    found: list[dict[str, Any]] = []
    for row in rows:
        pod, cluster = pods.get(row.pod_id), clusters.get(row.cluster_id)
        found.append(
            {
                "id": row.uuid,
                "name": row.name,
                "zoneid": zones[row.zone_id].uuid,
                "zonename": zones[row.zone_id].name,
                "podid": pod.uuid if pod else None,
                "podname": pod.name if pod else None,
                "clusterid": cluster.uuid if cluster else None,
                "clustername": cluster.name if cluster else None,
                "scope": row.scope,
                "state": row.state,
                "type": row.type,
                "ipaddress": row.server or None,
                "path": row.path,
                "hypervisor": row.hypervisor,
                "provider": row.provider,
                "disksizetotal": row.capacity,
                "capacitybytes": row.capacity,
                "disksizeallocated": row.allocated,
                "disksizeused": row.used,
                "overprovisionfactor": str(row.overprovision),
                "capacityiops": row.capacity_iops,
                "allocatediops": row.allocated_iops if row.capacity_iops is not None else None,
                "tags": row.tag_rule or unpack_tags(row.tags),
                "istagarule": row.tag_rule is not None,
                **access_groups.fields(row),
                "managed": False,
                "details": row.details or None,
                "storagecapabilities": {"VOLUME_SNAPSHOT_QUIESCEVM": "false"},
                "created": date(row.created),
            }
        )
    return found
