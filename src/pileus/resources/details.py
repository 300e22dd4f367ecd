"""Details: free settings of an object, kept in its own row where there is a place, else beside it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.resources.kinds import Kind
from pileus.resources.tables import resource_detail


def held(kind: Kind) -> bool:
    """Tell whether the objects' own rows hold their details."""
    return "details" in kind.table.c


def add(db: Connection, kind: Kind, row: Row[Any], details: dict[str, str], *, display: bool) -> None:
    """Set details of an object."""
    remove_beside(db, row.uuid, list(details))
    values = [
        {"resource_type": kind.name, "resource_uuid": row.uuid, "key": key, "value": value, "display": display}
        for key, value in details.items()
    ]
    db.execute(sa.insert(resource_detail), values)
    if held(kind):
        database.change(db, kind.table, row.id, details={**(row.details or {}), **details})


def remove(db: Connection, kind: Kind, row: Row[Any], key: str | None) -> bool:
    """Remove a detail, or all; tell whether there was one."""
    there = remove_beside(db, row.uuid, None if key is None else [key])
    if not held(kind):
        return there
    before = row.details or {}
    kept = {} if key is None else {name: value for name, value in before.items() if name != key}
    if kept != before:
        database.change(db, kind.table, row.id, details=kept)
    return kept != before


def remove_beside(db: Connection, uuid: str, keys: list[str] | None) -> bool:
    """Delete the rows beside an object (``keys`` None: all); tell whether there were any."""
    condition = resource_detail.c.resource_uuid == uuid
    if keys is not None:
        condition &= resource_detail.c.key.in_(keys)
    return db.execute(sa.delete(resource_detail).where(condition)).rowcount > 0


def of(db: Connection, kind: Kind, conditions: list[ColumnElement[bool]]) -> list[dict[str, Any]]:
    """Return the details of the objects that match, by object and key: in two queries."""
    beside = sa.select(resource_detail).where(
        resource_detail.c.resource_type == kind.name,
        resource_detail.c.resource_uuid.in_(sa.select(kind.table.c.uuid).where(*conditions)),
    )
    rows = db.execute(beside.order_by(resource_detail.c.resource_uuid, resource_detail.c.key)).all()
    if not held(kind):
        return [_entry(kind, row.resource_uuid, row.key, row.value, row.display) for row in rows]
    hidden = {(row.resource_uuid, row.key) for row in rows if not row.display}
    objects = db.execute(
        sa.select(kind.table.c.uuid, kind.table.c.details).where(*conditions).order_by(kind.table.c.uuid)
    )
    return [
        _entry(kind, row.uuid, key, str(value), (row.uuid, key) not in hidden)
        for row in objects
        for key, value in sorted((row.details or {}).items())
    ]


def _entry(kind: Kind, uuid: str, key: str, value: str, display: bool) -> dict[str, Any]:
    return {"resourcetype": kind.name, "resourceid": uuid, "key": key, "value": value, "fordisplay": display}
