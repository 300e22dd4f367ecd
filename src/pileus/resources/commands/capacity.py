"""listCapacity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import ListCommand, page_of, related
from pileus.core.parameters import Ref
from pileus.infrastructure.capacity import percent
from pileus.infrastructure.tables import pod, zone
from pileus.resources import capacities
from pileus.resources.capacities import CLUSTER, POD, ZONE, Room, Scope


@command("listCapacity", ignored=("fetchlatest",))
class ListCapacity(ListCommand):
    """List what zones (or one pod or cluster) have and what of it is taken; the numbers are always the latest."""

    zoneid: Ref | None = None
    podid: Ref | None = None
    clusterid: Ref | None = None
    type: int | None = None
    tag: str | None = None
    sortby: str | None = None

    def check(self) -> None:
        """Check type and order."""
        super().check()
        if self.type is not None and self.type not in capacities.NAMES:
            known = ", ".join(f"{number} {name}" for number, name in capacities.NAMES.items())
            raise InvalidParameter(f"parameter type must be one of: {known}")
        if self.sortby is not None and self.sortby.lower() != "usage":
            raise InvalidParameter("parameter sortby must be usage")

    def run(self, call: Call) -> Any:
        """Count, sort and take the page."""
        types = frozenset(capacities.NAMES) if self.type is None else frozenset({self.type})
        rooms = capacities.of(call.db, self._scope(), types)
        if self.sortby is not None:
            rooms.sort(key=lambda room: -(room.used / room.total if room.total else 0))
        if self.keyword:
            rooms = [room for room in rooms if self.keyword.lower() in capacities.NAMES[room.type].lower()]
        return page_of(self._views(call, rooms), self.page, self.pagesize)

    def _scope(self) -> Scope:
        tag = (self.tag or "").strip()
        for level, row in ((CLUSTER, self.clusterid), (POD, self.podid), (ZONE, self.zoneid)):
            if row is not None:
                return Scope(level, row.id, tag)
        return Scope(ZONE, None, tag)

    def _views(self, call: Call, rooms: Sequence[Room]) -> list[dict[str, Any]]:
        in_cluster, in_pod = self.clusterid, self.podid
        if in_cluster is not None:
            in_pod = database.one(call.db, pod, in_cluster.pod_id)
        place = in_cluster if in_cluster is not None else in_pod
        zones = related(call.db, zone, (place.zone_id,) if place is not None else (room.place for room in rooms))
        found: list[dict[str, Any]] = []
        for room in rooms:
            at = zones[place.zone_id if place is not None else room.place]
            view = _numbers(room) | {"zoneid": at.uuid, "zonename": at.name, "tag": self.tag}
            if in_pod is not None:
                view |= {"podid": in_pod.uuid, "podname": in_pod.name}
            if in_cluster is not None:
                view |= {"clusterid": in_cluster.uuid, "clustername": in_cluster.name}
            found.append(view)
        return found


def _numbers(room: Room) -> dict[str, Any]:
    return {
        "type": room.type,
        "name": capacities.NAMES[room.type],
        "capacitytotal": room.total,
        "capacityused": room.used,
        "capacityallocated": room.used,
        "percentused": percent(room.used, room.total, digits=2),
    }
