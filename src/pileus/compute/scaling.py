"""Giving a stopped machine another service offering: its rules, and the job that does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import limits, model, usage
from pileus.compute.disks import terms_of
from pileus.compute.tables import machine, service_offering
from pileus.compute.workflows import shown
from pileus.core import database
from pileus.core.errors import ConcurrentChange, InvalidParameter
from pileus.core.jobs import Job, workflow
from pileus.infrastructure.tables import zone
from pileus.storage import offerings, suitable
from pileus.storage.tables import disk_offering, storage_pool, volume
from pileus.storage.volumes import ROOT


@workflow("machine.scale")
def scale(job: Job, machine: int, offering: int, details: dict[str, str]) -> None:
    """Give a stopped machine another service offering."""

    def finish(db: Connection) -> dict[str, Any]:
        change(db, machine, offering, details)
        return shown(db, machine, admin=job.admin)

    job.finish("scaled", finish)


def change(db: Connection, machine_id: int, offering_id: int, details: Mapping[str, str]) -> None:
    """Check all rules, and change the machine; its root disk stays as it is, on the new offering's terms."""
    row = database.one(db, machine, machine_id)
    offering = database.one(db, service_offering, offering_id)
    size = check(db, row, offering, details)
    limits.claim_change(db, row, database.one(db, service_offering, row.service_offering_id), size, offering)
    if not database.change(
        db,
        machine,
        row.id,
        expect={"state": model.STOPPED},
        service_offering_id=offering.id,
        cpus=size.cpus,
        cpu_mhz=size.cpu_mhz,
        memory_mib=size.memory_mib,
        updated=database.now(),
    ):
        raise ConcurrentChange(f"virtual machine {row.name} changed its state meanwhile")
    db.execute(
        sa.update(volume)
        .where(volume.c.machine_id == row.id, volume.c.type == ROOT, volume.c.removed.is_(None))
        .values(service_offering_id=offering.id)
    )
    usage.machine_changed(db, row.id, usage.UPGRADED)


def check(db: Connection, row: Row[Any], offering: Row[Any], details: Mapping[str, str]) -> model.Size:
    """Return the machine's new size, or raise why it cannot have this offering."""
    if row.state != model.STOPPED:
        raise InvalidParameter(f"virtual machine {row.name} is {row.state}; stop it to change its service offering")
    if offering.is_system:
        raise InvalidParameter(f"parameter serviceofferingid: {offering.name} is for the system's own machines")
    offerings.usable("serviceofferingid", offering, database.one(db, zone, row.zone_id))
    size, left = model.size(offering, details)
    if left:
        raise InvalidParameter(f"parameter details: {', '.join(left)[:80]} says nothing of a machine's size")
    if offering.id == row.service_offering_id and size == _size(row):
        raise InvalidParameter(
            f"parameter serviceofferingid: virtual machine {row.name} has it, and this size, already"
        )
    _check_root(db, row, offering)
    return size


def _size(row: Row[Any]) -> model.Size:
    return model.Size(cpus=row.cpus, cpu_mhz=row.cpu_mhz, memory_mib=row.memory_mib)


def _check_root(db: Connection, row: Row[Any], offering: Row[Any]) -> None:
    """Check that the root disk can stay where it is on the new terms."""
    found = db.execute(
        sa.select(volume).where(volume.c.machine_id == row.id, volume.c.type == ROOT, volume.c.removed.is_(None))
    ).one()
    if offering.disk_offering_id is not None and offering.disk_offering_id != found.disk_offering_id:
        of = database.one(db, disk_offering, offering.disk_offering_id)
        raise InvalidParameter(
            f"parameter serviceofferingid: root disks of {offering.name} are of disk offering {of.name}; the machine's "
            "is of another one"
        )
    if found.disk_offering_id is not None or found.pool_id is None:
        return
    terms = terms_of(offering, None)
    pool = database.one(db, storage_pool, found.pool_id)
    if not suitable.fits(terms, pool):
        raise InvalidParameter(
            f"parameter serviceofferingid: {offering.name} is for other storage than the root disk of {row.name} is on"
        )
