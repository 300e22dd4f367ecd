"""How full image stores are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.images import stores
from pileus.images.tables import template_copy

log = structlog.get_logger(__name__)

PRETENDED = 1 << 40
"""Bytes that a simulated store pretends to have room for."""


class Room(msgspec.Struct, frozen=True):
    """Bytes: what a store's templates take, and what there is still room for."""

    held: int
    free: int

    @property
    def total(self) -> int:
        """Bytes that templates could take in all."""
        return self.held + self.free

    @property
    def share(self) -> float:
        """The part of the total that is taken (0..1); a store without any room is full."""
        return self.held / self.total if self.total else 1.0


def rooms(db: Connection, found: Sequence[Row[Any]]) -> dict[int, Room]:
    """Return the room of each store by its internal id; one whose folder cannot be looked at has none free.

    What is held is counted from the records, so that stores on one file system are told apart.
    """
    columns = template_copy.c
    statement = (
        sa.select(columns.store_id, sa.func.sum(columns.physical_size))
        .where(columns.store_id.in_([store.id for store in found]), columns.state == "Ready")
        .group_by(columns.store_id)
    )
    held = {row[0]: int(row[1]) for row in db.execute(statement)}
    return {store.id: Room(held.get(store.id, 0), _free(store, held.get(store.id, 0))) for store in found}


def _free(store: Row[Any], held: int) -> int:
    if store.protocol != stores.DIRECTORY:
        return max(0, PRETENDED - held)
    try:
        state = os.statvfs(stores.folder(store))
    except OSError as error:
        log.warning("the folder of an image store cannot be looked at", store=store.name, why=str(error))
        return 0
    return state.f_bavail * state.f_frsize
