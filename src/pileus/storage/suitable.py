"""Which disk offerings a primary storage or a machine can take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.infrastructure.tables import host
from pileus.scheduling import tag_rules
from pileus.scheduling.model import list_tags, unpack_tags
from pileus.storage import pools
from pileus.storage.tables import disk_offering, storage_pool


def fits(offering: Any, pool: Row[Any]) -> bool:
    """Tell whether a pool takes an offering's disks: it is of the kind, and has all the tags."""
    if (offering.storage_type == "local") != (pool.scope == pools.HOST):
        return False
    if pool.tag_rule is not None:
        return tag_rules.compiled(pool.tag_rule)(list_tags(offering.tags))
    return unpack_tags(offering.tags) <= unpack_tags(pool.tags)


def in_pool(db: Connection, pool: Row[Any]) -> ColumnElement[bool]:
    """Return the condition for the offerings whose disks a pool takes."""
    columns = disk_offering.c
    kinds = sa.select(columns.tags, columns.storage_type).where(columns.removed.is_(None)).distinct()
    taken = [(row.tags, row.storage_type) for row in db.execute(kinds) if fits(row, pool)]
    return sa.tuple_(columns.tags, columns.storage_type).in_(taken) if taken else sa.false()


def reached(db: Connection, machine: Row[Any]) -> Sequence[Row[Any]]:
    """Return the pools that are up and that a machine reaches: on its host, or when it has none in its zone."""
    on = database.get(db, host, machine.host_id) if machine.host_id is not None else None
    where = pools.reached_by(db, on) if on is not None else storage_pool.c.zone_id == machine.zone_id
    statement = sa.select(storage_pool).where(where, storage_pool.c.state == pools.UP, storage_pool.c.removed.is_(None))
    return db.execute(statement).all()
