"""Records of use of machines and their volumes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute.tables import machine
from pileus.core import database, usage
from pileus.core.usage import Change
from pileus.storage.tables import volume

CREATED, STARTED, STOPPED, DESTROYED = "VM.CREATE", "VM.START", "VM.STOP", "VM.DESTROY"
UPGRADED = "VM.UPGRADE"
VOLUME_CREATED, VOLUME_DELETED = "VOLUME.CREATE", "VOLUME.DELETE"


def machine_changed(db: Connection, machine_id: int, *types: str) -> None:
    """Record changes of a machine, one after another."""
    row = database.one(db, machine, machine_id)
    usage.record(
        db,
        *(
            Change(
                type=type_,
                account_id=row.account_id,
                domain_id=row.domain_id,
                zone_id=row.zone_id,
                resource_id=row.id,
                resource_uuid=row.uuid,
                name=row.name,
                offering_id=row.service_offering_id,
                template_id=row.template_id,
                kind=row.hypervisor,
            )
            for type_ in types
        ),
    )


def volumes_changed(db: Connection, rows: Iterable[Row[Any]], type_: str) -> None:
    """Record changes of volumes."""
    usage.record_all(
        db,
        [
            Change(
                type=type_,
                account_id=row.account_id,
                domain_id=row.domain_id,
                zone_id=row.zone_id,
                resource_id=row.id,
                resource_uuid=row.uuid,
                name=row.name,
                offering_id=row.disk_offering_id,
                template_id=row.template_id,
                size=row.size,
            )
            for row in rows
        ],
    )


def volumes_of(db: Connection, machine_id: int, *states: str) -> list[Row[Any]]:
    """Return a machine's volumes, in these states (none named: in any)."""
    found = sa.select(volume).where(volume.c.machine_id == machine_id, volume.c.removed.is_(None))
    if states:
        found = found.where(volume.c.state.in_(states))
    return list(db.execute(found.order_by(volume.c.id)).all())
