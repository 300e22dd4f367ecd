"""Kinds of object of storage that a reference can name."""

from __future__ import annotations

from pileus.core import entities
from pileus.core.calls import Caller
from pileus.infrastructure import restricted
from pileus.storage import tables


def register() -> None:
    """Register the kinds."""
    entities.register("StoragePool", tables.storage_pool, "storage pool", use=_seen, manage=entities.admin_only)
    entities.register(
        "DiskOffering", tables.disk_offering, "disk offering", use=restricted.may_use, manage=restricted.may_manage
    )
    entities.register("Volume", tables.volume, "volume")


def _seen(_db: object, caller: Caller, _row: object) -> bool:
    return caller.role in {"Admin", "ResourceAdmin"}
