"""What hosts report of primary storage: its size and how much of it is really used."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.infrastructure import reports
from pileus.storage.tables import storage_pool
from pileus.wire.hosts import Report

_STEP = 1000  # a change by less than this part of the capacity is not worth a write

_known: dict[str, tuple[int, int]] = {}


def take(db: Connection, host: Row[Any], report: Report) -> None:
    """Record the sizes that changed."""
    for pool in report.pools:
        capacity, used = _known.get(pool.uuid, (0, 0))
        if capacity == pool.capacity and abs(used - pool.used) * _STEP < capacity:
            continue
        statement = sa.update(storage_pool).where(storage_pool.c.uuid == pool.uuid, storage_pool.c.removed.is_(None))
        db.execute(statement.values(capacity=pool.capacity, used=pool.used))
        _known[pool.uuid] = (pool.capacity, pool.used)


def register() -> None:
    """Take note of every report."""
    reports.observe(take)
