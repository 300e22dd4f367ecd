"""Commands of pods."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.infrastructure import access_groups, dedication, model, usage, views
from pileus.infrastructure import management_ranges as ranges
from pileus.infrastructure.tables import management_range, pod

_RELEASED = frozenset({"dedication", "management_range"})


class PodAddresses(Command):
    """What createPod and updatePod have in common: the network of a pod's hosts and its state."""

    gateway: str | None = None
    netmask: str | None = None
    startip: str | None = None
    endip: str | None = None
    allocationstate: str | None = None

    def check(self) -> None:
        """Check that the addresses belong together."""
        if self.allocationstate:
            self.allocationstate = model.allocation_state(self.allocationstate)
        if not (self.gateway or self.netmask or self.startip or self.endip):
            return
        if not self.gateway or not self.netmask:
            raise MissingParameter("parameters gateway and netmask go together with startip and endip")
        self.gateway = model.address("gateway", self.gateway)
        self.netmask = self.netmask.strip()
        model.netmask("netmask", self.netmask, self.gateway)
        if self.startip:
            _, self.startip, self.endip = ranges.checked(self.gateway, self.netmask, self.startip, self.endip)
        elif self.endip:
            raise MissingParameter("parameter endip needs startip beside it")


def _refuse_conflicts(db: Connection, zone_id: int, name: str, given: PodAddresses, but: int = 0) -> None:
    others: Sequence[Row[Any]] = db.execute(
        sa.select(pod).where(pod.c.zone_id == zone_id, pod.c.removed.is_(None), pod.c.id != but)
    ).all()
    mine = model.netmask("netmask", given.netmask, given.gateway) if given.gateway and given.netmask else None
    for other in others:
        if other.name == name:
            raise InvalidParameter(f"parameter name: the zone has a pod {name!r} already")
        if mine is None or other.gateway is None:
            continue
        theirs = ipaddress.IPv4Network(f"{other.gateway}/{other.netmask}", strict=False)
        if mine.overlaps(theirs):
            raise InvalidParameter(f"the network {mine} overlaps with {theirs} of pod {other.name}")


@command("createPod", event="POD.CREATE")
class CreatePod(PodAddresses):
    """Create a pod in a zone, with the range of its hosts' management addresses when there is one."""

    name: str
    zoneid: Ref
    storageaccessgroups: list[str] | None = None

    def run(self, call: Call) -> dict[str, Any]:
        """Create the pod unless its name or network is taken in the zone."""
        _refuse_conflicts(call.db, self.zoneid.id, self.name, self)
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            pod,
            uuid=uuid,
            zone_id=self.zoneid.id,
            name=self.name,
            gateway=self.gateway or None,
            netmask=self.netmask or None,
            allocation_state=self.allocationstate or model.ENABLED,
            access_groups=access_groups.pack(self.storageaccessgroups),
            created=database.now(),
        )
        row = database.one(call.db, pod, id_)
        if self.startip and self.endip:
            ranges.add(call.db, row, row.gateway, row.netmask, (self.startip, self.endip))
        call.describe(f"created pod {self.name} in zone {self.zoneid.name}", resource=("Pod", uuid))
        return views.pods(call.db, [row], admin=True)[0]


@command("updatePod", event="POD.EDIT")
class UpdatePod(PodAddresses):
    """Change a pod; startip and endip change its range of management addresses, where it has one or none."""

    id: Ref
    name: str | None = None

    def check(self) -> None:
        """Check the words; the addresses are checked with those that the pod has already."""
        if self.allocationstate:
            self.allocationstate = model.allocation_state(self.allocationstate)
        if self.name is not None and not self.name.strip():
            raise InvalidParameter("parameter name may not be empty")

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        row = self.id
        changes = self._network(call.db) if any((self.gateway, self.netmask, self.startip, self.endip)) else {}
        if self.name is not None:
            changes["name"] = self.name.strip()
        if self.allocationstate:
            changes["allocation_state"] = self.allocationstate
        if changes:
            _refuse_conflicts(call.db, row.zone_id, changes.get("name", row.name), self, but=row.id)
            database.change(call.db, pod, row.id, **changes)
        call.describe(f"changed pod {row.name}", resource=("Pod", row.uuid))
        return views.pods(call.db, [database.one(call.db, pod, row.id)], admin=True)[0]

    def _network(self, db: Connection) -> dict[str, Any]:
        """Change the range and return the changes of the network; ranges on VLANs keep theirs."""
        row = self.id
        here = [each for each in ranges.of_pod(db, row.id) if each.vlan == ranges.UNTAGGED]
        if len(here) > 1 and (self.startip or self.endip):
            raise InvalidParameter(
                f"parameters startip and endip: pod {row.name} has {len(here)} ranges; "
                "change one of them with updatePodManagementNetworkIpRange"
            )
        own = here[0] if len(here) == 1 else None
        self.gateway, self.netmask = self.gateway or row.gateway, self.netmask or row.netmask
        if own is not None:
            self.startip, self.endip = self.startip or own.start_ip, self.endip or own.end_ip
        super().check()
        gateway, netmask = self.gateway or "", self.netmask or ""
        if self.startip and self.endip:
            ends = (self.startip, self.endip)
            ranges.refuse_overlap(db, row.zone_id, ranges.UNTAGGED, *ends, but=own.id if own is not None else 0)
            if own is None:
                ranges.add(db, row, gateway, netmask, ends)
            else:
                ranges.refuse_left_out(db, own, ends)
                database.change(db, management_range, own.id, start_ip=ends[0], end_ip=ends[1])
        for each in here:
            if each is not own:
                ranges.checked(gateway, netmask, each.start_ip, each.end_ip)
            database.change(db, management_range, each.id, gateway=gateway, netmask=netmask)
        return {"gateway": gateway, "netmask": netmask}


@command("listPods")
class ListPods(ListCommand):
    """List pods."""

    id: Ref | None = None
    name: str | None = None
    zoneid: Ref | None = None
    allocationstate: str | None = None
    storageaccessgroup: str | None = None
    showcapacities: bool = False

    def query(self, call: Call) -> Query:
        """Return the pods that match."""
        query = Query(pod).equals(pod.c.id, self.id).equals(pod.c.zone_id, self.zoneid)
        query.same(pod.c.name, self.name).same(pod.c.allocation_state, self.allocationstate)
        if self.storageaccessgroup is not None:
            query.where(access_groups.carries(pod.c.access_groups, self.storageaccessgroup))
        return query.contains(self.keyword, pod.c.name)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the pods."""
        return views.pods(call.db, rows, admin=call.caller.admin, capacities=self.showcapacities)


@command("deletePod", event="POD.DELETE")
class DeletePod(Command):
    """Delete a pod that has nothing in it any more."""

    id: Ref

    def run(self, call: Call) -> Success:
        """Refuse while anything uses the pod, else remove it."""
        usage.refuse_used(call.db, pod, self.id, "pod", ignore=_RELEASED)
        dedication.release(call.db, "pod", self.id, must=False)
        call.db.execute(sa.delete(management_range).where(management_range.c.pod_id == self.id.id))
        database.change(call.db, pod, self.id.id, removed=database.now())
        call.describe(f"deleted pod {self.id.name}", resource=("Pod", self.id.uuid))
        return Success()
