"""What clients see of disk offerings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.rendering import date
from pileus.infrastructure.model import unpack_tags
from pileus.infrastructure.restricted import Labels

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
            "iscustomizediops": bool(row.customized_iops),
            "storagetype": row.storage_type,
            "provisioningtype": row.provisioning,
            "displayoffering": row.display,
            "disksizestrictness": row.strict_size,
            "encrypt": row.encrypt,
            "cacheMode": row.cache_mode or "none",
            "tags": unpack_tags(row.tags) if admin else None,
            "details": row.details or None,
            "state": row.state,
            "created": date(row.created),
            **labels.of(row),
        }
        for row in rows
    ]
