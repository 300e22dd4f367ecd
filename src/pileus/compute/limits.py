"""What of machines counts against limits: those that are not destroyed, or by a setting only those that run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import model
from pileus.compute.tables import service_offering
from pileus.core import database, services
from pileus.core.listing import related
from pileus.identity.limits import amounts, checking
from pileus.identity.limits.counting import Source, register, register_tags
from pileus.identity.limits.types import BY_HOST_TAG, Key, Kind, tags_of
from pileus.scheduling.model import unpack_tags
from pileus.storage.tables import disk_offering, volume
from pileus.storage.volumes import DESTROY, ROOT

_GONE = ", ".join(f"'{state}'" for state in (model.DESTROYED, model.EXPUNGING, model.ERROR))
_RUNNING = ", ".join(f"'{state}'" for state in (*model.ON_HOST, "Migrating"))

Disk = tuple[int, str]
"""Bytes, and the storage tags of the offering (",a,b,")."""


def sources() -> None:
    """Register it."""
    register(
        Source(
            table="machine",
            when=f"{{r}}.removed IS NULL AND {{r}}.state NOT IN ({_GONE})",
            amounts={Kind.MACHINES: "1", Kind.CPUS: "{r}.cpus", Kind.MEMORY: "{r}.memory_mib"},
            running=f"{{r}}.removed IS NULL AND {{r}}.state IN ({_RUNNING})",
            watched=("cpus", "memory_mib"),
            decides=("removed", "state"),
        )
    )
    register_tags("machine", "SELECT host_tags FROM service_offering WHERE id = {r}.service_offering_id")
    register_tags(
        "volume",
        "COALESCE((SELECT tags FROM disk_offering WHERE id = {r}.disk_offering_id), "
        "(SELECT storage_tags FROM service_offering WHERE id = {r}.service_offering_id), '')",
    )


def claim(
    db: Connection, account_id: int, size: model.Size, host_tags: str, disks: Sequence[Disk], *, runs: bool
) -> None:
    """Check that an account may have one more machine of this size with these disks; ``runs``: it is started too."""
    settings = services.of(db).settings
    bodies = _bodies(size) if runs or not amounts.running_only(db) else {}
    wanted = bodies | {Kind.VOLUMES: len(disks), Kind.PRIMARY_STORAGE: sum(bytes_ for bytes_, _ in disks)}
    by_tag = _of_tags(db, bodies, host_tags)
    for tag in tags_of(settings, Kind.VOLUMES):
        tagged = [bytes_ for bytes_, tags in disks if tag in unpack_tags(tags)]
        by_tag |= {(Kind.VOLUMES, tag): len(tagged), (Kind.PRIMARY_STORAGE, tag): sum(tagged)}
    checking.claim(db, account_id, wanted, by_tag)


def claim_start(db: Connection, row: Row[Any], offering: Row[Any]) -> None:
    """Check, where only machines that run count, that one more may run; to be called before it is Starting."""
    if row.state == model.STOPPED and amounts.running_only(db):
        wanted = _bodies(model.Size(cpus=row.cpus, cpu_mhz=row.cpu_mhz, memory_mib=row.memory_mib))
        checking.claim(db, row.account_id, wanted, _of_tags(db, wanted, offering.host_tags))


def claim_change(db: Connection, row: Row[Any], former: Row[Any], size: model.Size, offering: Row[Any]) -> None:
    """Check that a stopped machine may have another size and service offering; only what it has more of counts."""
    wanted: dict[Kind, int] = {}
    by_tag = _of_root(db, row.id, unpack_tags(offering.storage_tags) - unpack_tags(former.storage_tags))
    if not amounts.running_only(db):
        had = _bodies(model.Size(cpus=row.cpus, cpu_mhz=row.cpu_mhz, memory_mib=row.memory_mib))
        gets = _bodies(size)
        had_by_tag = _of_tags(db, had, former.host_tags)
        wanted = {kind: amount - had[kind] for kind, amount in gets.items()}
        by_tag |= {
            key: amount - had_by_tag.get(key, 0) for key, amount in _of_tags(db, gets, offering.host_tags).items()
        }
    checking.claim(db, row.account_id, wanted, by_tag)


def _of_root(db: Connection, machine_id: int, tags: frozenset[str]) -> dict[Key, int]:
    """Return what a root disk on its service offering's terms counts for storage tags that it did not have."""
    known = [tag for tag in tags_of(services.of(db).settings, Kind.VOLUMES) if tag in tags]
    c = volume.c
    of = sa.select(c.size).where(c.machine_id == machine_id, c.type == ROOT, c.removed.is_(None))
    size = db.execute(of.where(c.disk_offering_id.is_(None))).scalar() if known else None
    if size is None:
        return {}
    return {key: much for tag in known for key, much in (((Kind.VOLUMES, tag), 1), ((Kind.PRIMARY_STORAGE, tag), size))}


def claim_again(db: Connection, row: Row[Any]) -> None:
    """Check that an account may have a destroyed machine back, with the volumes that come with it; it is stopped."""
    size = model.Size(cpus=row.cpus, cpu_mhz=row.cpu_mhz, memory_mib=row.memory_mib)
    offering = database.one(db, service_offering, row.service_offering_id)
    claim(db, row.account_id, size, offering.host_tags, _destroyed_disks(db, row.id, offering), runs=False)


def _bodies(size: model.Size) -> dict[Kind, int]:
    return {Kind.MACHINES: 1, Kind.CPUS: size.cpus, Kind.MEMORY: size.memory_mib}


def _of_tags(db: Connection, wanted: Mapping[Kind, int], host_tags: str) -> dict[Key, int]:
    """Return what of a machine counts for the host tags of its offering."""
    tags = unpack_tags(host_tags)
    known = [tag for tag in tags_of(services.of(db).settings, BY_HOST_TAG[0]) if tag in tags]
    return {(kind, tag): amount for kind, amount in wanted.items() for tag in known}


def _destroyed_disks(db: Connection, machine_id: int, offering: Row[Any]) -> list[Disk]:
    """Return the volumes that come back with a destroyed machine."""
    lost = sa.select(volume.c.size, volume.c.disk_offering_id).where(
        volume.c.machine_id == machine_id, volume.c.state == DESTROY, volume.c.removed.is_(None)
    )
    rows = db.execute(lost).all()
    by = related(db, disk_offering, (row.disk_offering_id for row in rows))
    return [
        (row.size, by[row.disk_offering_id].tags if row.disk_offering_id else offering.storage_tags) for row in rows
    ]
