"""Machines that were made from a template hold it back from deletion, by their names."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.compute.tables import machine
from pileus.images import deletion

_NAMED = 3


@deletion.in_use
def machines(db: Connection, template_id: int, zone_id: int | None) -> str | None:
    """Return the names of some machines of the template that are not expunged yet; None when there are none."""
    found = sa.select(machine.c.name).where(machine.c.template_id == template_id, machine.c.removed.is_(None))
    if zone_id is not None:
        found = found.where(machine.c.zone_id == zone_id)
    names = db.execute(found.order_by(machine.c.id).limit(_NAMED + 1)).scalars().all()
    if not names:
        return None
    more = " and others" if len(names) > _NAMED else ""
    return f"the virtual machines {', '.join(names[:_NAMED])}{more}"
