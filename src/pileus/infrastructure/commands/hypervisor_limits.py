"""Commands of what hypervisors can do, and of the limits that operators set them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.infrastructure import model
from pileus.infrastructure.tables import hypervisor_limit

VERSION = "default"
"""The limits hold for every version of a hypervisor."""


def view(row: Row[Any]) -> dict[str, Any]:
    """Return what a hypervisor can do as clients see it; a limit that is not set is left out."""
    return {
        "id": row.uuid,
        "hypervisor": row.hypervisor,
        "hypervisorversion": VERSION,
        "maxdatavolumeslimit": row.data_volumes,
        "maxguestslimit": row.guests,
        "maxhostspercluster": row.hosts_per_cluster,
        "securitygroupenabled": False,
        "storagemotionenabled": False,
        "vmsnapshotenabled": False,
    }


@command("listHypervisorCapabilities")
class ListHypervisorCapabilities(ListCommand):
    """List what hypervisors can do."""

    id: Ref | None = None
    hypervisor: str | None = None

    def query(self, call: Call) -> Query:
        """Return those that match."""
        c = hypervisor_limit.c
        query = Query(hypervisor_limit).equals(c.id, self.id).same(c.hypervisor, self.hypervisor)
        return query.contains(self.keyword, c.hypervisor)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return them."""
        return [view(row) for row in rows]


@command("updateHypervisorCapabilities")
class UpdateHypervisorCapabilities(Command):
    """Set the limits of a hypervisor, named by id or by name.

    They are: hosts of a cluster, data volumes of a new machine, and machines on a host; what is there already stays.
    """

    id: Ref | None = None
    hypervisor: str | None = None
    hypervisorversion: str | None = None
    maxdatavolumeslimit: int | None = None
    maxguestslimit: int | None = None
    maxhostspercluster: int | None = None

    def check(self) -> None:
        """Check that a hypervisor is named, and the numbers."""
        if self.id is None and not self.hypervisor:
            raise MissingParameter("parameter id or hypervisor is needed")
        if self.hypervisor:
            self.hypervisor = model.one_of("hypervisor", self.hypervisor, model.HYPERVISORS)
        if self.hypervisorversion not in (None, VERSION):
            raise InvalidParameter(f"parameter hypervisorversion must be {VERSION}: limits hold for every version")
        if self.maxdatavolumeslimit is not None and self.maxdatavolumeslimit < 0:
            raise InvalidParameter("parameter maxdatavolumeslimit must be 0 or more")
        if self.maxhostspercluster is not None and self.maxhostspercluster < 1:
            raise InvalidParameter("parameter maxhostspercluster must be 1 or more")
        if self.maxguestslimit is not None and self.maxguestslimit < 1:
            raise InvalidParameter("parameter maxguestslimit must be 1 or more")

    def run(self, call: Call) -> dict[str, Any]:
        """Set what was passed."""
        row = self.id
        if row is None:
            named = sa.select(hypervisor_limit).where(hypervisor_limit.c.hypervisor == self.hypervisor)
            row = call.db.execute(named).one()
        wanted: dict[str, Any] = {
            "data_volumes": self.maxdatavolumeslimit,
            "hosts_per_cluster": self.maxhostspercluster,
            "guests": self.maxguestslimit,
        }
        changes = {column: value for column, value in wanted.items() if value is not None}
        if changes:
            database.change(call.db, hypervisor_limit, row.id, **changes)
        return view(database.one(call.db, hypervisor_limit, row.id))
