"""What clients see of service offerings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute.disks import terms_of
from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.infrastructure.model import unpack_tags
from pileus.infrastructure.restricted import Labels
from pileus.storage.tables import disk_offering
from pileus.storage.views_offerings import terms_fields

GIB = 1024**3


def service_offerings(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> list[dict[str, Any]]:
    """Return service offerings: MHz, MiB and GiB; tags for root admins."""
    labels = Labels(db, rows)
    joined = related(db, disk_offering, (row.disk_offering_id for row in rows))
    found: list[dict[str, Any]] = []
    for row in rows:
        disks = joined.get(row.disk_offering_id)
        terms = terms_of(row, disks)
        view = {
            "id": row.uuid,
            "name": row.name,
            "displaytext": row.display_text,
            "cpunumber": row.cpus,
            "cpuspeed": row.cpu_mhz,
            "memory": row.memory_mib,
            "iscustomized": row.customized,
            "rootdisksize": terms.size // GIB if terms.size else None,
            "storagetags": unpack_tags(terms.tags) if admin else None,
            "hosttags": unpack_tags(row.host_tags) if admin else None,
            "networkrate": row.network_rate,
            "offerha": row.offer_ha,
            "limitcpuuse": row.limit_cpu,
            "isvolatile": row.is_volatile,
            "dynamicscalingenabled": row.dynamic_scaling,
            "issystem": row.is_system,
            "systemvmtype": row.system_vm_type,
            "defaultuse": row.default_use,
            "deploymentplanner": row.planner,
            "leaseduration": row.lease_days,
            "leaseexpiryaction": row.lease_action,
            "encryptroot": False,
            "diskofferingstrictness": row.strict_disk_offering,
            "purgeresources": bool(row.purge),
            "serviceofferingdetails": {**{k: str(v) for k, v in row.limits.items()}, **row.details} or None,
            "state": row.state,
            "created": date(row.created),
            **terms_fields(terms),
            **labels.of(row),
        }
        if disks is not None:
            view |= {
                "diskofferingid": disks.uuid,
                "diskofferingname": disks.name,
                "diskofferingdisplaytext": disks.display_text,
            }
        found.append(view)
    return found
