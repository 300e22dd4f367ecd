"""Regions: names and addresses of clouds that belong together; the first one is this cloud."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.infrastructure.tables import region

OWN = 1
"""Id of the region that this cloud is."""


def seed(db: Connection) -> None:
    """Write the region that a new cloud is; nothing when there is one."""
    if db.execute(sa.select(region.c.id).limit(1)).first() is None:
        db.execute(sa.insert(region).values(id=OWN, name="Local", endpoint="http://localhost:8080/client/"))
