"""Entities: the kinds of object that a reference can name, and who may use them.

Each slice registers its kinds.  ``use``: may the caller refer to the object (deploy from it, attach it); ``manage``:
may the caller change or delete it.  The default for an owned object is: root admins all, domain admins their
subtree, users their own account and those of their projects.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.engine import Row

from pileus.core.calls import Caller
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.parameters import is_uuid
from pileus.core.statements import Fixed, equal

Rule = Callable[[Connection, Caller, Row[Any]], bool]


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of object."""

    kind: str  # the contract's name: "Zone", "VirtualMachine"
    table: Table
    label: str  # for people: "zone", "virtual machine"
    use: Rule
    manage: Rule
    alive: Callable[[Table], Any] | None = None  # condition that hides deleted rows


_entities: dict[str, Entity] = {}
_domains: list[Table] = []


def owned(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller owns the row, alone or in a project, or administers its owner's domain.

    The row has account_id and domain_id.
    """
    if caller.admin or row.account_id == caller.account_id or row.account_id in caller.projects:
        return True
    return caller.domain_admin and domain_within(db, row.domain_id, caller.domain_path)


def admin_only(_db: Connection, caller: Caller, _row: Row[Any]) -> bool:
    """Allow root admins only."""
    return caller.admin


def anybody(_db: Connection, _caller: Caller, _row: Row[Any]) -> bool:
    """Allow everybody who is signed in."""
    return True


def domain_within(db: Connection, domain_id: int, path: str) -> bool:
    """Tell whether a domain is the one with this path, or below it."""
    table = _domains[0]
    found = db.execute(sa.select(table.c.path).where(table.c.id == domain_id)).scalar_one_or_none()
    return found is not None and found.startswith(path)


def domain_table(table: Table) -> None:
    """Tell the core which table holds the domain tree (columns id, path)."""
    _domains[:] = [table]


def domains() -> Table:
    """Return the table of the domain tree."""
    return _domains[0]


def register(
    kind: str,
    table: Table,
    label: str,
    *,
    use: Rule = owned,
    manage: Rule | None = None,
    alive: Callable[[Table], Any] | None = None,
) -> None:
    """Register a kind of object; ``manage`` defaults to ``use``."""
    if alive is None and "removed" in table.c:
        alive = _not_removed
    _entities[kind] = Entity(kind=kind, table=table, label=label, use=use, manage=manage or use, alive=alive)


def _not_removed(table: Table) -> Any:
    return table.c.removed.is_(None)


def known(kind: str) -> Entity | None:
    """Return the entity of this kind, if there is one."""
    return _entities.get(kind)


def find(db: Connection, kind: str, reference: str, *, numbers: bool = True) -> Row[Any] | None:
    """Return the live row that a reference names (uuid, or the internal number where that is allowed), or None."""
    entity = _entities[kind]
    if is_uuid(reference):
        return _lookup(entity, "uuid")(db, {"reference": reference.lower()}).one_or_none()
    if numbers and reference.isascii() and reference.isdigit() and len(reference) < 18:
        return _lookup(entity, "id")(db, {"reference": int(reference)}).one_or_none()
    return None


@cache
def _lookup(entity: Entity, column: str) -> Fixed:
    statement = sa.select(entity.table).where(equal(entity.table.c[column], "reference"))
    if entity.alive is not None:
        statement = statement.where(entity.alive(entity.table))
    return Fixed(statement)


def unknown(parameter: str, reference: str, label: str) -> InvalidParameter:
    """Return the refusal of a reference that names nothing.

    Clients know by these very words that an object is gone (the Go SDK, and with it Terraform's provider): the
    beginning, up to "does not exist", must stay as it is.
    """
    return InvalidParameter(
        f"unable to execute API command due to invalid value. Invalid parameter {parameter} value={reference[:64]} "
        f"due to incorrect long value format, or entity does not exist: there is no {label} with this id"
    )


def resolve(
    db: Connection,
    caller: Caller,
    kind: str,
    reference: str,
    *,
    parameter: str,
    manage: bool = False,
    numbers: bool = True,
) -> Row[Any]:
    """Return the row that a reference names, checked for the caller.

    Raises InvalidParameter when nothing has this id and PermissionDenied when the caller may not use it.
    """
    entity = _entities[kind]
    row = find(db, kind, reference, numbers=numbers)
    if row is None:
        raise unknown(parameter, reference, entity.label)
    if not (entity.manage if manage else entity.use)(db, caller, row):
        raise PermissionDenied(
            f"{caller.account} has no permission for the {entity.label} that parameter {parameter} names",
            uuids=((row.uuid, parameter),),
        )
    return row
