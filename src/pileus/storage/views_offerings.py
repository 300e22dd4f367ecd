"""What clients see of disk offerings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.rendering import date
from pileus.infrastructure.model import unpack_tags
from pileus.infrastructure.restricted import Labels
from pileus.storage import qos
from pileus.storage.terms import Terms, of_disk_offering

GIB = 1024**3


def disk_offerings(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> list[dict[str, Any]]:
    """Return disk offerings; sizes in GiB, tags for root admins."""
    labels = Labels(db, rows)
    return [
        {
            "id": row.uuid,
            "name": row.name,
            "displaytext": row.display_text,
            "disksize": row.size // GIB,
            "iscustomized": row.customized,
            "displayoffering": row.display,
            "disksizestrictness": row.strict_size,
            "encrypt": row.encrypt,
            "tags": unpack_tags(row.tags) if admin else None,
            "details": row.details or None,
            "state": row.state,
            "created": date(row.created),
            **terms_fields(of_disk_offering(row)),
            **labels.of(row),
        }
        for row in rows
    ]


def terms_fields(terms: Terms) -> dict[str, Any]:
    """Return the fields that disk and service offerings have in common."""
    return {
        "storagetype": terms.storage_type,
        "provisioningtype": terms.provisioning,
        "cacheMode": terms.cache_mode,
        "iscustomizediops": terms.customized_iops,
        "miniops": terms.min_iops,
        "maxiops": terms.max_iops,
        "hypervisorsnapshotreserve": terms.snapshot_reserve,
        **qos.shown(terms.rates),
    }
