"""Commands of NICs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Row

from pileus.core.calls import Call
from pileus.core.commands import command
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.network import views
from pileus.network.tables import nic


@command("listNics", ignored=("fordisplay",))
class ListNics(ListCommand):
    """List the NICs of a machine."""

    virtualmachineid: Ref
    nicid: Ref | None = None
    networkid: Ref | None = None

    def query(self, call: Call) -> Query:
        """Return the NICs that match."""
        query = Query(nic, nic.c.device_id, nic.c.id).equals(nic.c.machine_id, self.virtualmachineid)
        return query.equals(nic.c.id, self.nicid).equals(nic.c.network_id, self.networkid)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the NICs."""
        found = views.nic_list(call.db, rows, admin=call.caller.admin)
        return [view | {"virtualmachineid": self.virtualmachineid.uuid} for view in found]
