"""What clients see of service offerings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.rendering import date
from pileus.infrastructure.model import unpack_tags
from pileus.infrastructure.restricted import Labels

GIB = 1024**3


def service_offerings(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> list[dict[str, Any]]:
    """Return service offerings: MHz, MiB and GiB; tags for root admins."""
    labels = Labels(db, rows)
    return [
        {
            "id": row.uuid,
            "name": row.name,
            "displaytext": row.display_text,
            "cpunumber": row.cpus,
            "cpuspeed": row.cpu_mhz,
            "memory": row.memory_mib,
            "iscustomized": row.customized,
            "iscustomizediops": False,
            "storagetype": row.storage_type,
            "provisioningtype": row.provisioning,
            "rootdisksize": row.root_disk_size // GIB if row.root_disk_size else None,
            "storagetags": unpack_tags(row.storage_tags) if admin else None,
            "hosttags": unpack_tags(row.host_tags) if admin else None,
            "networkrate": row.network_rate,
            "offerha": row.offer_ha,
            "limitcpuuse": row.limit_cpu,
            "isvolatile": row.is_volatile,
            "dynamicscalingenabled": row.dynamic_scaling,
            "issystem": row.is_system,
            "systemvmtype": row.system_vm_type,
            "defaultuse": row.default_use,
            "encryptroot": False,
            "diskofferingstrictness": False,
            "purgeresources": False,
            "cacheMode": row.cache_mode or "none",
            "serviceofferingdetails": {**{k: str(v) for k, v in row.limits.items()}, **row.details} or None,
            "state": row.state,
            "created": date(row.created),
            **labels.of(row),
        }
        for row in rows
    ]
