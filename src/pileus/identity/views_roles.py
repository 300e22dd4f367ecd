"""Roles and their rules as API clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.listing import related
from pileus.identity.tables import role


def roles(rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return roles."""
    return [
        {
            "id": row.uuid,
            "name": row.name,
            "type": row.type,
            "description": row.description,
            "isdefault": bool(row.is_default),
            "ispublic": bool(row.is_public),
            "state": row.state,
        }
        for row in rows
    ]


def permissions(db: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return rules of roles."""
    of = related(db, role, (row.role_id for row in rows))
    return [
        {
            "id": row.uuid,
            "roleid": of[row.role_id].uuid,
            "rolename": of[row.role_id].name,
            "rule": row.rule,
            "permission": row.permission,
            "description": row.description,
        }
        for row in rows
    ]
