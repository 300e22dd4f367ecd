"""Machines as networks see them: rows of the table that compute registers, which comes later in the slices' order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.listing import related

HOLDING = ("Starting", "Running", "Stopping", "Migrating")
"""States in which a machine is plugged in on its host."""


def table() -> Table:
    """Return the table of machines."""
    entity = entities.known("UserVm")
    if entity is None:
        raise LookupError("no slice registers machines")
    return entity.table


def lookup(db: Connection, ids: Iterable[int | None]) -> dict[int, Row[Any]]:
    """Return machines by id, gone ones too: one query for a whole page."""
    wanted = {i for i in ids if i is not None}
    return related(db, table(), wanted) if wanted else {}
