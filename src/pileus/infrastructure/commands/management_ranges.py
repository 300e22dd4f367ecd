"""Commands of the ranges of management addresses of pods."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pileus.core import database, instant
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter
from pileus.core.parameters import Ref
from pileus.infrastructure import management_ranges as ranges
from pileus.infrastructure import model, views
from pileus.infrastructure.tables import management_range, pod


@command("createManagementNetworkIpRange", event="MANAGEMENT.IP.RANGE.CREATE")
class CreateManagementRange(Command):
    """Give a pod one more range of management addresses: in its own network, or in another one on a VLAN."""

    podid: Ref
    gateway: str
    netmask: str
    startip: str
    endip: str | None = None
    vlan: str | None = None
    forsystemvms: bool = False

    def check(self) -> None:
        """Check that the addresses belong together."""
        self.gateway = model.address("gateway", self.gateway)
        self.netmask = self.netmask.strip()
        self._vlan = ranges.vlan_name(self.vlan)
        self._network, *ends = ranges.checked(self.gateway, self.netmask, self.startip, self.endip)
        self._ends = (ends[0], ends[1])

    def run(self, call: Call) -> Any:
        """Insert the range unless it clashes; the job shows the pod."""
        place = self.podid
        self._refuse_clashes(call)
        ranges.refuse_overlap(call.db, place.zone_id, self._vlan, *self._ends)
        if place.gateway is None:
            database.change(call.db, pod, place.id, gateway=self.gateway, netmask=self.netmask)
        ranges.add(
            call.db,
            place,
            self.gateway,
            self.netmask,
            self._ends,
            vlan=self._vlan,
            for_system_vms=self.forsystemvms,
        )
        call.describe(f"adding the management addresses {'-'.join(self._ends)} to pod {place.name}")
        shown = views.pods(call.db, [database.one(call.db, pod, place.id)], admin=True)[0]
        return instant.submit(call, {"pod": shown}, instance=("Pod", place.uuid))

    def _refuse_clashes(self, call: Call) -> None:
        place = self.podid
        if self._vlan == ranges.UNTAGGED and place.gateway is not None:
            if (self._network, self.gateway) != (ranges.network_of(place), place.gateway):
                raise InvalidParameter(
                    f"parameters gateway and netmask: pod {place.name} has the network {ranges.network_of(place)} with "
                    f"gateway {place.gateway}; another network needs a VLAN of its own (parameter vlan)"
                )
            return
        others = sa.select(pod).where(
            pod.c.zone_id == place.zone_id, pod.c.removed.is_(None), pod.c.gateway.is_not(None)
        )
        for other in call.db.execute(others):
            if self._network.overlaps(ranges.network_of(other)):
                raise InvalidParameter(
                    f"parameters gateway and netmask: {self._network} overlaps with {ranges.network_of(other)} of pod "
                    f"{other.name}"
                )


@command("deleteManagementNetworkIpRange", event="MANAGEMENT.IP.RANGE.DELETE")
class DeleteManagementRange(Command):
    """Take a range of management addresses from a pod that no host uses."""

    podid: Ref
    startip: str
    endip: str
    vlan: str

    def run(self, call: Call) -> Any:
        """Delete it."""
        row = ranges.find(call.db, self.podid, self.startip, self.endip)
        if row.vlan != ranges.vlan_name(self.vlan):
            raise InvalidParameter(f"parameter vlan: the range {row.start_ip}-{row.end_ip} is on VLAN {row.vlan}")
        ranges.refuse_left_out(call.db, row)
        call.db.execute(sa.delete(management_range).where(management_range.c.id == row.id))
        call.describe(f"deleting the management addresses {row.start_ip}-{row.end_ip} of pod {self.podid.name}")
        return instant.submit(call, {"success": True}, instance=("Pod", self.podid.uuid))


@command("updatePodManagementNetworkIpRange", event="MANAGEMENT.IP.RANGE.UPDATE")
class UpdateManagementRange(Command):
    """Change the ends of a pod's range of management addresses."""

    podid: Ref
    currentstartip: str
    currentendip: str
    newstartip: str | None = None
    newendip: str | None = None

    def check(self) -> None:
        """Check that there is something to change."""
        if not self.newstartip and not self.newendip:
            raise MissingParameter("one of the parameters newstartip and newendip is needed")

    def run(self, call: Call) -> Any:
        """Change it unless it would clash or leave out a host's address."""
        names = ("currentstartip", "currentendip")
        row = ranges.find(call.db, self.podid, self.currentstartip, self.currentendip, names=names)
        _, first, last = ranges.checked(
            row.gateway, row.netmask, self.newstartip or row.start_ip, self.newendip or row.end_ip
        )
        ranges.refuse_overlap(call.db, self.podid.zone_id, row.vlan, first, last, but=row.id)
        ranges.refuse_left_out(call.db, row, (first, last))
        database.change(call.db, management_range, row.id, start_ip=first, end_ip=last)
        call.describe(
            f"changing the management addresses {row.start_ip}-{row.end_ip} of pod {self.podid.name} to {first}-{last}"
        )
        return instant.submit(call, {"success": True}, instance=("Pod", self.podid.uuid))
