"""Guest operating systems as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.images.tables import os_category, os_type


def types(db: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return operating systems."""
    categories = related(db, os_category, (row.category_id for row in rows))
    return [
        {
            "id": row.uuid,
            "name": row.short_name or row.name,
            "description": row.name,
            "oscategoryid": categories[row.category_id].uuid,
            "oscategoryname": categories[row.category_id].name,
            "isuserdefined": row.is_user_defined,
            "fordisplay": row.display,
        }
        for row in rows
    ]


def categories(rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return families of operating systems."""
    return [
        {"id": row.uuid, "name": row.name, "isfeatured": row.is_featured, "created": date(row.created)} for row in rows
    ]


def mappings(db: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return what hypervisors call operating systems."""
    of = related(db, os_type, (row.os_type_id for row in rows))
    return [
        {
            "id": row.uuid,
            "hypervisor": row.hypervisor,
            "hypervisorversion": row.hypervisor_version,
            "ostypeid": of[row.os_type_id].uuid,
            "osdisplayname": of[row.os_type_id].name,
            "osnameforhypervisor": row.os_name,
            "isuserdefined": "true" if row.is_user_defined else "false",
        }
        for row in rows
    ]
