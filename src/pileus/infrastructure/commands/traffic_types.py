"""Commands of traffic types: which kinds of traffic a physical network carries, on which interface of the hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.infrastructure import model, network_views, usage, workflows
from pileus.infrastructure.computed import ComputedList
from pileus.infrastructure.tables import physical_network, traffic_type

_IMPLEMENTOR = "VirtualRouter"
"""What carries every kind of traffic here: bridges and router namespaces of the hosts."""
_CARRIED: dict[str, tuple[str, ...]] = {"Public": ("ip_range",), "Guest": ("network", "segment_tag")}
"""Tables whose rows need a kind of traffic of their physical network."""


@command("addTrafficType", event="TRAFFIC.TYPE.CREATE")
class AddTrafficType(Command):
    """Let a physical network carry a kind of traffic; the label names the interface of the hosts."""

    physicalnetworkid: Ref
    traffictype: str
    kvmnetworklabel: str | None = None
    xennetworklabel: str | None = None
    vmwarenetworklabel: str | None = None
    hypervnetworklabel: str | None = None
    ovm3networklabel: str | None = None
    isolationmethod: str | None = None
    vlan: str | None = None

    def check(self) -> None:
        """Check the kind and the VLAN."""
        self.traffictype = model.one_of("traffictype", self.traffictype, model.TRAFFIC_TYPES)
        if self.vlan and len(self.vlan) > 32:
            raise InvalidParameter("parameter vlan must be the number of a VLAN")

    def run(self, call: Call) -> Any:
        """Insert it; the job shows it."""
        network = self.physicalnetworkid
        if self.isolationmethod is not None and self.isolationmethod.strip().upper() != network.isolation:
            raise InvalidParameter(
                f"parameter isolationmethod: physical network {network.name} isolates by {network.isolation}, not by "
                f"{self.isolationmethod[:20]!r}"
            )
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
            hyperv_label=self.hypervnetworklabel or None,
            ovm3_label=self.ovm3networklabel or None,
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


@command("updateTrafficType", event="TRAFFIC.TYPE.UPDATE")
class UpdateTrafficType(Command):
    """Change the labels that name the interface of the hosts; what is plugged in already moves with its next start."""

    id: Ref
    kvmnetworklabel: str | None = None
    xennetworklabel: str | None = None
    vmwarenetworklabel: str | None = None
    hypervnetworklabel: str | None = None
    ovm3networklabel: str | None = None

    def run(self, call: Call) -> Any:
        """Change what was passed; the job shows it."""
        passed = {
            "kvm_label": self.kvmnetworklabel,
            "xen_label": self.xennetworklabel,
            "vmware_label": self.vmwarenetworklabel,
            "hyperv_label": self.hypervnetworklabel,
            "ovm3_label": self.ovm3networklabel,
        }
        changes: dict[str, Any] = {column: value or None for column, value in passed.items() if value is not None}
        if changes:
            database.change(call.db, traffic_type, self.id.id, **changes)
        call.describe(f"changing {self.id.type} traffic")
        return call.submit(
            workflows.show,
            key=f"physicalnetwork:{self.id.physical_network_id}",
            instance=("TrafficType", self.id.uuid),
            kind="traffictype",
            row_id=self.id.id,
        )


@command("deleteTrafficType", event="TRAFFIC.TYPE.DELETE")
class DeleteTrafficType(Command):
    """Let a physical network carry a kind of traffic no longer."""

    id: Ref

    def run(self, call: Call) -> Any:
        """Refuse while networks or ranges of the physical network need it, else remove it."""
        row = self.id
        network = database.one(call.db, physical_network, row.physical_network_id)
        needing = usage.users_in(call.db, physical_network, network.id, only=_CARRIED.get(row.type, ()))
        if needing:
            raise InUse(
                f"the {row.type} traffic of physical network {network.name} is used by {', '.join(needing)}; remove "
                "these first",
                uuids=((row.uuid, "id"),),
            )
        call.db.execute(sa.delete(traffic_type).where(traffic_type.c.id == row.id))
        call.describe(f"deleting {row.type} traffic of physical network {network.name}")
        return call.submit(workflows.deleted, key=f"physicalnetwork:{network.id}", instance=("TrafficType", row.uuid))


@command("listTrafficTypeImplementors")
class ListTrafficTypeImplementors(ComputedList):
    """List what implements each kind of traffic."""

    searched = "traffictype"

    traffictype: str | None = None

    def items(self, call: Call) -> list[dict[str, Any]]:
        """Return the kinds, each with its implementor."""
        wanted = model.TRAFFIC_TYPES
        if self.traffictype is not None:
            wanted = (model.one_of("traffictype", self.traffictype, model.TRAFFIC_TYPES),)
        return [{"traffictype": kind, "traffictypeimplementor": _IMPLEMENTOR} for kind in wanted]
