"""listHypervisors."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pileus.core.calls import Call
from pileus.core.commands import command
from pileus.core.parameters import Ref
from pileus.infrastructure import model
from pileus.infrastructure.computed import ComputedList
from pileus.infrastructure.tables import cluster


@command("listHypervisors")
class ListHypervisors(ComputedList):
    """List the hypervisors that this cloud can drive; with a zone, those that its clusters have."""

    zoneid: Ref | None = None

    def items(self, call: Call) -> list[dict[str, Any]]:
        """Return their names."""
        names = list(model.HYPERVISORS)
        if self.zoneid is not None:
            there = sa.select(cluster.c.hypervisor).where(
                cluster.c.zone_id == self.zoneid.id, cluster.c.removed.is_(None)
            )
            names = sorted(set(call.db.execute(there).scalars()))
        return [{"name": name} for name in names]
