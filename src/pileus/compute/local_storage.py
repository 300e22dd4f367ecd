"""Giving up the local storage of a host that is removed for good: whatever lay there is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import expunging, model, reports, usage
from pileus.compute.tables import machine
from pileus.core import database
from pileus.core.errors import InUse
from pileus.storage.pools import HOST
from pileus.storage.tables import storage_pool, volume
from pileus.storage.volumes import DESTROY, EXPUNGING, ROOT

log = structlog.get_logger(__name__)


def destroy(db: Connection, on: Row[Any]) -> None:
    """Expunge the machines with their root disk on a host's own storage, drop the other volumes there, and the storage.

    Data volumes of these machines that lie elsewhere stay.  Raises InUse while one of the machines runs or has a job.
    """
    pools = db.execute(
        sa.select(storage_pool).where(
            storage_pool.c.host_id == on.id, storage_pool.c.scope == HOST, storage_pool.c.removed.is_(None)
        )
    ).all()
    here = volume.c.pool_id.in_([pool.id for pool in pools])
    lost = db.execute(sa.select(volume).where(here, volume.c.removed.is_(None))).all()
    owners = {row.machine_id for row in lost if row.machine_id is not None}
    machines = db.execute(sa.select(machine).where(machine.c.id.in_(owners), machine.c.removed.is_(None))).all()
    _refuse_running(db, machines)
    rooted = {row.machine_id for row in lost if row.type == ROOT}
    for row in machines:
        if row.id in rooted:
            _expunge(db, on, row, {each.id for each in lost})
    for each in db.execute(sa.select(volume).where(here, volume.c.removed.is_(None))).all():
        if each.state not in (DESTROY, EXPUNGING):
            usage.volumes_changed(db, [each], usage.VOLUME_DELETED)
        database.change(db, volume, each.id, machine_id=None, device_id=None, destroyed=database.now())
        expunging.volume_gone(db, each)
    for pool in pools:
        database.change(db, storage_pool, pool.id, removed=database.now(), state="Removed")
    if lost:
        log.warning("local storage was given up", host=on.name, volumes=len(lost), machines=len(rooted))


def _refuse_running(db: Connection, machines: Sequence[Row[Any]]) -> None:
    busy = expunging.busy(db, [row.id for row in machines])
    held = [row for row in machines if row.host_id is not None or row.id in busy]
    if held:
        names = ", ".join(row.name for row in held[:3])
        raise InUse(
            f"parameter forcedestroylocalstorage: machines with disks there run or have a job ({names}); stop them "
            "first, or add forced=true if the host is gone",
            uuids=tuple((row.uuid, "virtualmachine") for row in held[:3]),
        )


def _expunge(db: Connection, on: Row[Any], row: Row[Any], lost: set[int]) -> None:
    """Take a machine without its root disk out of the records."""
    if row.state not in (model.DESTROYED, model.EXPUNGING, model.ERROR):
        usage.machine_changed(db, row.id, usage.DESTROYED)
    for each in usage.volumes_of(db, row.id):
        if each.id in lost or each.pool_id is None:
            if each.state not in (DESTROY, EXPUNGING):
                usage.volumes_changed(db, [each], usage.VOLUME_DELETED)
            database.change(db, volume, each.id, state=EXPUNGING, destroyed=each.destroyed or database.now())
        else:
            database.change(db, volume, each.id, machine_id=None, device_id=None, attached=None)
    moment = database.now()
    database.change(db, machine, row.id, state=model.EXPUNGING, destroyed=row.destroyed or moment, updated=moment)
    expunging.gone(db, row.id)
    text = f"Virtual machine {row.name} is expunged: its host {on.name} was removed with its local storage"
    reports.record(db, row, "VM.EXPUNGE", "WARN", text)
