"""Commands of traffic types: which kinds of traffic a physical network carries, on which interface of the hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.infrastructure import model, network_views, workflows
from pileus.infrastructure.tables import physical_network, traffic_type


@command("addTrafficType", event="TRAFFIC.TYPE.CREATE")
class AddTrafficType(Command):
    """Let a physical network carry a kind of traffic; the label names the interface of the hosts."""

    physicalnetworkid: Ref
    traffictype: str
    kvmnetworklabel: str | None = None
    xennetworklabel: str | None = None
    vmwarenetworklabel: str | None = None
    vlan: str | None = None

    def check(self) -> None:
        """Check the kind."""
        self.traffictype = model.one_of("traffictype", self.traffictype, model.TRAFFIC_TYPES)

    def run(self, call: Call) -> Any:
        """Insert it; the job shows it."""
        network = self.physicalnetworkid
        same = (
            sa.select(physical_network.c.id, physical_network.c.name)
            .join(traffic_type, traffic_type.c.physical_network_id == physical_network.c.id)
            .where(traffic_type.c.type == self.traffictype, physical_network.c.zone_id == network.zone_id)
        )
        for other in call.db.execute(same):
            if other.id == network.id or self.traffictype == "Public":
                raise InvalidParameter(
                    f"parameter traffictype: physical network {other.name} carries {self.traffictype} traffic already"
                )
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            traffic_type,
            uuid=uuid,
            physical_network_id=network.id,
            type=self.traffictype,
            kvm_label=self.kvmnetworklabel or None,
            xen_label=self.xennetworklabel or None,
            vmware_label=self.vmwarenetworklabel or None,
            vlan=self.vlan or None,
        )
        call.describe(f"adding {self.traffictype} traffic to physical network {network.name}")
        return call.submit(
            workflows.show,
            key=f"physicalnetwork:{network.id}",
            instance=("TrafficType", uuid),
            kind="traffictype",
            row_id=id_,
        )


@command("listTrafficTypes")
class ListTrafficTypes(ListCommand):
    """List the kinds of traffic of a physical network."""

    physicalnetworkid: Ref

    def query(self, call: Call) -> Query:
        """Return those of the physical network."""
        query = Query(traffic_type).equals(traffic_type.c.physical_network_id, self.physicalnetworkid)
        return query.contains(self.keyword, traffic_type.c.type)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the traffic types."""
        return network_views.traffic_types(call.db, rows, admin=call.caller.admin)
