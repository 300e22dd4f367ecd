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
from pileus.infrastructure import dedication, model, usage, views
from pileus.infrastructure.tables import pod

_RELEASED = frozenset({"dedication"})


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
        network = model.netmask("netmask", self.netmask, self.gateway)
        if self.startip:
            first, last = model.address_range(network, self.startip, self.endip or self.startip)
            if first <= int(ipaddress.IPv4Address(self.gateway)) <= last:
                raise InvalidParameter(f"the range from startip to endip must leave out the gateway {self.gateway}")
            self.startip, self.endip = str(ipaddress.IPv4Address(first)), str(ipaddress.IPv4Address(last))
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
            start_ip=self.startip or None,
            end_ip=self.endip or None,
            allocation_state=self.allocationstate or model.ENABLED,
            created=database.now(),
        )
        call.describe(f"created pod {self.name} in zone {self.zoneid.name}", resource=("Pod", uuid))
        return views.pods(call.db, [database.one(call.db, pod, id_)], admin=True)[0]


@command("updatePod", event="POD.EDIT")
class UpdatePod(PodAddresses):
    """Change a pod; its network is changed by gateway and netmask together."""

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
        addressed = any((self.gateway, self.netmask, self.startip, self.endip))
        self.gateway, self.netmask = self.gateway or row.gateway, self.netmask or row.netmask
        self.startip, self.endip = self.startip or row.start_ip, self.endip or row.end_ip
        changes: dict[str, Any] = {}
        if addressed:
            super().check()
            changes = {"gateway": self.gateway, "netmask": self.netmask, "start_ip": self.startip, "end_ip": self.endip}
        if self.name is not None:
            changes["name"] = self.name.strip()
        if self.allocationstate:
            changes["allocation_state"] = self.allocationstate
        if changes:
            _refuse_conflicts(call.db, row.zone_id, changes.get("name", row.name), self, but=row.id)
            database.change(call.db, pod, row.id, **changes)
        call.describe(f"changed pod {row.name}", resource=("Pod", row.uuid))
        return views.pods(call.db, [database.one(call.db, pod, row.id)], admin=True)[0]


@command("listPods")
class ListPods(ListCommand):
    """List pods."""

    id: Ref | None = None
    name: str | None = None
    zoneid: Ref | None = None
    allocationstate: str | None = None
    showcapacities: bool = False

    def query(self, call: Call) -> Query:
        """Return the pods that match."""
        query = Query(pod).equals(pod.c.id, self.id).equals(pod.c.zone_id, self.zoneid)
        query.same(pod.c.name, self.name).same(pod.c.allocation_state, self.allocationstate)
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
        database.change(call.db, pod, self.id.id, removed=database.now())
        call.describe(f"deleted pod {self.id.name}", resource=("Pod", self.id.uuid))
        return Success()
