"""What refers to a row: found by the foreign keys of all slices, so that nothing in use is deleted.

A slice that comes later only has to declare its foreign keys to be protected.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.engine import Row

from pileus.core.database import metadata
from pileus.core.errors import InUse

_SHOWN = 3


def users(db: Connection, table: Table, id_: int, *, ignore: frozenset[str] = frozenset()) -> list[str]:
    """Return what refers to the row, for people: ["2 hosts (h1, h2)"].

    ``ignore``: "table" or "table.column" names that do not count.
    """
    found: list[str] = []
    for other in metadata.sorted_tables:
        if other.name in ignore:
            continue
        columns = [
            column
            for column in other.c
            if any(key.column.table is table for key in column.foreign_keys)
            and f"{other.name}.{column.name}" not in ignore
        ]
        if columns:
            found.extend(_users_in(db, other, columns, id_))
    return found


def users_in(db: Connection, table: Table, id_: int, *, only: tuple[str, ...]) -> list[str]:
    """Return what refers to the row from these tables alone, for people."""
    others = frozenset(other.name for other in metadata.sorted_tables if other.name not in only)
    return users(db, table, id_, ignore=others)


def _users_in(db: Connection, other: Table, columns: list[sa.Column[Any]], id_: int) -> list[str]:
    condition = sa.or_(*(column == id_ for column in columns))
    if "removed" in other.c:
        condition = sa.and_(condition, other.c.removed.is_(None))
    count = db.execute(sa.select(sa.func.count()).select_from(other).where(condition)).scalar_one()
    if not count:
        return []
    label = next((other.c[name] for name in ("name", "address", "start_ip", "type") if name in other.c), None)
    names = ""
    if label is not None:
        shown = [str(row[0]) for row in db.execute(sa.select(label).where(condition).limit(_SHOWN))]
        names = f" ({', '.join(shown)}{', …' if count > len(shown) else ''})"
    return [f"{count} {_plural(other.name.strip('_').replace('_', ' '), count)}{names}"]


def _plural(word: str, count: int) -> str:
    if count == 1:
        return word
    return f"{word}es" if word.endswith(("s", "x")) else f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def refuse_used(
    db: Connection, table: Table, row: Row[Any], label: str, *, ignore: frozenset[str] = frozenset()
) -> None:
    """Raise InUse, naming what uses the row, unless nothing does."""
    found = users(db, table, row.id, ignore=ignore)
    if found:
        raise InUse(
            f"the {label} {row.name} cannot be deleted while it is used by {', '.join(found)}; remove these first",
            uuids=((row.uuid, label),),
        )
