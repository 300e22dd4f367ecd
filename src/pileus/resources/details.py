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
    """Set details of an object; hidden ones are never in its own row, which everybody sees who sees the object."""
    remove_beside(db, row.uuid, list(details))
    own = _own(row) if held(kind) else {}
    if held(kind) and display:
        database.change(db, kind.table, row.id, details=own | details)
        return
    values = [
        {"resource_type": kind.name, "resource_uuid": row.uuid, "key": key, "value": value, "display": display}
        for key, value in details.items()
    ]
    db.execute(sa.insert(resource_detail), values)
    if own.keys() & details.keys():
        database.change(db, kind.table, row.id, details={k: v for k, v in own.items() if k not in details})


def remove(db: Connection, kind: Kind, row: Row[Any], key: str | None) -> bool:
    """Remove a detail, or all; tell whether there was one."""
    there = remove_beside(db, row.uuid, None if key is None else [key])
    own = _own(row) if held(kind) else {}
    gone = set(own) if key is None else own.keys() & {key}
    if gone:
        database.change(db, kind.table, row.id, details={k: v for k, v in own.items() if k not in gone})
    return there or bool(gone)


def _own(row: Any) -> dict[str, str]:
    return dict(row.details or {})


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
    found = [_entry(kind, row.resource_uuid, row.key, row.value, row.display) for row in rows]
    if held(kind):
        statement = sa.select(kind.table.c.uuid, kind.table.c.details).where(*conditions)
        for row in db.execute(statement):
            found += [_entry(kind, row.uuid, key, str(value), True) for key, value in _own(row).items()]
    return sorted(found, key=lambda entry: (entry["resourceid"], entry["key"]))


def _entry(kind: Kind, uuid: str, key: str, value: str, display: bool) -> dict[str, Any]:
    return {"resourcetype": kind.name, "resourceid": uuid, "key": key, "value": value, "fordisplay": display}
