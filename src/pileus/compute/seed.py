"""The service offerings that a new cloud has."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.compute.tables import service_offering
from pileus.core import database

ROUTER = "System Offering For Software Router"

_OFFERINGS: tuple[tuple[str, str, int, int, int, str], ...] = (
    ("Small Instance", "Small Instance", 1, 500, 512, "shared"),
    ("Medium Instance", "Medium Instance", 1, 1000, 1024, "shared"),
    ("Tiny Instance", "Tiny Instance on local storage: 1 CPU, 128 MB", 1, 250, 128, "local"),
)


def offerings(db: Connection) -> None:
    """Write the service offerings of a cloud that has never had any."""
    if db.execute(sa.select(service_offering.c.id).limit(1)).first():
        return
    for name, text, cpus, mhz, memory, storage in _OFFERINGS:
        _insert(db, name, text, cpus=cpus, cpu_mhz=mhz, memory_mib=memory, storage_type=storage)
    # A router is a network namespace: it takes next to nothing, and nobody reserves capacity for it.
    _insert(
        db,
        ROUTER,
        "Software router in a network namespace of its host",
        cpus=1,
        cpu_mhz=500,
        memory_mib=256,
        storage_type="shared",
        is_system=True,
        system_vm_type="domainrouter",
        default_use=True,
    )


def _insert(db: Connection, name: str, text: str, **values: Any) -> None:
    database.insert(
        db,
        service_offering,
        uuid=database.new_uuid(),
        name=name,
        display_text=text,
        created=database.now(),
        **values,
    )
