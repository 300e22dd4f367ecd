"""Which management server looks after which host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.engine import Row

from pileus.core import database, jobs
from pileus.core.errors import InvalidParameter
from pileus.core.jobs.tables import server
from pileus.core.statements import Fixed
from pileus.infrastructure.tables import host

_SERVERS = Fixed(sa.select(server))

ALIVE_SECONDS = 30.0
"""Seconds without a heartbeat after which a server counts as down."""


def fields(db: Connection, rows: Sequence[Row[Any]]) -> dict[int, dict[str, str]]:
    """Return the fields managementserverid and managementservername of hosts that are up, by host."""
    names = _working(db)
    live = sorted(names)
    found: dict[int, dict[str, str]] = {}
    for row in rows:
        owner = jobs.owner_of(row.id, live) if row.state == "Up" else None
        if owner is not None:
            found[row.id] = {"managementserverid": names[owner], "managementservername": names[owner]}
    return found


def looked_after(db: Connection, name: str) -> ColumnElement[bool]:
    """Return the condition for the hosts that a management server looks after; InvalidParameter when there is none."""
    if db.execute(sa.select(server.c.uuid).where(server.c.name == name)).first() is None:
        raise InvalidParameter(f"parameter managementserverid names no management server ({name[:64]})")
    names = _working(db)
    live = sorted(names)
    up = db.execute(sa.select(host.c.id).where(host.c.removed.is_(None), host.c.state == "Up")).scalars()
    found = [id_ for id_ in up if names.get(jobs.owner_of(id_, live) or "") == name]
    # Written into the statement: there may be more of them than a statement may have parameters.
    return host.c.id.in_(sa.bindparam("looked_after", found, expanding=True, literal_execute=True))


def _working(db: Connection) -> dict[str, str]:
    """Return the servers that look after hosts: name by process."""
    return {row.uuid: row.name for row in looking_after(_SERVERS(db, {}).all())}


def looking_after(servers: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return the servers that look after hosts: all that live, but for those told to finish while there are others."""
    live = [row for row in servers if row.heartbeat > database.now() - ALIVE_SECONDS]
    return [row for row in live if row.state is None] or live
