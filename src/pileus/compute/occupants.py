"""Which machines run in a zone, pod, cluster or on a host: asked before one of these is dedicated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.compute.tables import machine


def of(db: Connection, kind: str, id_: int) -> Sequence[Any]:
    """Return name, account_id and domain_id of the machines that hold a host there."""
    running = sa.select(machine.c.name, machine.c.account_id, machine.c.domain_id).where(
        machine.c[f"{kind}_id"] == id_, machine.c.host_id.is_not(None), machine.c.removed.is_(None)
    )
    return db.execute(running).all()
