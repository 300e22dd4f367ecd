"""The disk offerings that a new cloud has."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core import database
from pileus.storage.tables import disk_offering
from pileus.storage.views_offerings import GIB

_OFFERINGS = (
    ("Small", "Small Disk, 5 GB", 5),
    ("Medium", "Medium Disk, 20 GB", 20),
    ("Large", "Large Disk, 100 GB", 100),
    ("Custom", "Custom Disk", 0),
)


def offerings(db: Connection) -> None:
    """Write the disk offerings of a cloud that has never had any."""
    if db.execute(sa.select(disk_offering.c.id).limit(1)).first():
        return
    for name, text, size in _OFFERINGS:
        database.insert(
            db,
            disk_offering,
            uuid=database.new_uuid(),
            name=name,
            display_text=text,
            size=size * GIB,
            customized=size == 0,
            customized_iops=False,
            storage_type="shared",
            created=database.now(),
        )
