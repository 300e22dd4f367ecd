"""Commands of physical networks: the wires of a zone, and which tags guest networks may take on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.infrastructure import model, network_views, usage, workflows
from pileus.infrastructure.tables import (
    physical_network,
    router_element,
    segment_tag,
    service_provider,
    traffic_type,
)

_OWN = frozenset({"traffic_type", "service_provider"})  # deleted together with the physical network


def _checked_ranges(db: Connection, zone_id: int, method: str, text: str, but: int = 0) -> str:
    """Return the ranges as stored; VXLAN identifiers must not be another physical network's of the zone too."""
    mine = model.tag_ranges(text, method)
    if method == model.VXLAN:
        others = sa.select(physical_network).where(
            physical_network.c.zone_id == zone_id,
            physical_network.c.isolation == model.VXLAN,
            physical_network.c.removed.is_(None),
            physical_network.c.id != but,
        )
        for other in db.execute(others):
            shared = model.overlap(mine, model.tag_ranges(other.tag_ranges, model.VXLAN))
            if shared:
                raise InvalidParameter(
                    f"parameter vlan: {shared[0]}-{shared[1]} belongs to physical network {other.name} of the zone"
                )
    return _limited(model.render_ranges(mine))


def _limited(ranges: str) -> str:
    if len(ranges) > 2048:
        raise InvalidParameter("parameter vlan holds too many separate ranges; join them")
    return ranges


def _speed(text: str | None) -> str | None:
    if text and len(text) > 16:
        raise InvalidParameter("parameter networkspeed must be a short text such as 1G")
    return text or None


def _one_tag(tags: list[str] | None) -> str | None:
    if tags and len(tags) > 1:
        raise InvalidParameter("parameter tags: a physical network has at most one tag")
    return (tags[0].strip() or None) if tags else None


@command("createPhysicalNetwork", event="PHYSICAL.NETWORK.CREATE")
class CreatePhysicalNetwork(Command):
    """Create a physical network (disabled) with its virtual-router provider (disabled)."""

    name: str
    zoneid: Ref
    isolationmethods: list[str] | None = None
    vlan: str | None = None
    broadcastdomainrange: str | None = None
    networkspeed: str | None = None
    tags: list[str] | None = None

    def check(self) -> None:
        """Check isolation method, ranges and the scope of broadcasts."""
        method = model.isolation(self.isolationmethods)
        model.tag_ranges(self.vlan or "", method)
        if self.broadcastdomainrange:
            self.broadcastdomainrange = model.one_of("broadcastdomainrange", self.broadcastdomainrange, ("ZONE",))

    def run(self, call: Call) -> Any:
        """Insert the physical network, its provider and router element; the job shows it."""
        self._refuse_second_of_basic(call.db)
        method = model.isolation(self.isolationmethods)
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            physical_network,
            uuid=uuid,
            zone_id=self.zoneid.id,
            name=self.name,
            isolation=method,
            tag_ranges=_checked_ranges(call.db, self.zoneid.id, method, self.vlan or ""),
            tags=_one_tag(self.tags),
            speed=_speed(self.networkspeed),
            broadcast_range=self.broadcastdomainrange or "ZONE",
            state=model.DISABLED,
            created=database.now(),
        )
        provider = database.insert(
            call.db,
            service_provider,
            uuid=database.new_uuid(),
            physical_network_id=id_,
            name=network_views.PROVIDER,
            state=model.DISABLED,
        )
        database.insert(call.db, router_element, uuid=database.new_uuid(), provider_id=provider, enabled=False)
        call.describe(f"creating physical network {self.name} in zone {self.zoneid.name}")
        return call.submit(
            workflows.show,
            key=f"physicalnetwork:{id_}",
            instance=("PhysicalNetwork", uuid),
            kind="physicalnetwork",
            row_id=id_,
        )

    def _refuse_second_of_basic(self, db: Connection) -> None:
        """Refuse what a Basic zone has no use for: its guests share one untagged network."""
        if self.zoneid.network_type != model.BASIC:
            return
        if self.vlan:
            raise InvalidParameter(
                f"parameter vlan: guests of the Basic zone {self.zoneid.name} share an untagged network"
            )
        there = sa.select(physical_network.c.name).where(
            physical_network.c.zone_id == self.zoneid.id, physical_network.c.removed.is_(None)
        )
        name = db.execute(there).scalar()
        if name is not None:
            raise InvalidParameter(
                f"parameter zoneid: the Basic zone {self.zoneid.name} has its physical network: {name}"
            )


@command("updatePhysicalNetwork", event="PHYSICAL.NETWORK.UPDATE")
class UpdatePhysicalNetwork(Command):
    """Enable or disable a physical network, or change its tag ranges (the ranges given replace the old ones)."""

    id: Ref
    state: str | None = None
    vlan: str | None = None
    networkspeed: str | None = None
    tags: list[str] | None = None

    def check(self) -> None:
        """Check the state's word."""
        if self.state is not None:
            self.state = model.one_of("state", self.state, (model.ENABLED, model.DISABLED))

    def run(self, call: Call) -> Any:
        """Change what was passed; tags in use must stay within the ranges."""
        row = self.id
        changes: dict[str, Any] = {}
        if self.state is not None:
            changes["state"] = self.state
        if self.networkspeed is not None:
            changes["speed"] = _speed(self.networkspeed)
        if self.tags is not None:
            changes["tags"] = _one_tag(self.tags)
        if self.vlan is not None:
            changes["tag_ranges"] = _checked_ranges(call.db, row.zone_id, row.isolation, self.vlan, but=row.id)
            _refuse_lost_tags(call.db, row, changes["tag_ranges"])
        if changes:
            database.change(call.db, physical_network, row.id, **changes)
        call.describe(f"changing physical network {row.name}")
        return call.submit(
            workflows.show,
            key=f"physicalnetwork:{row.id}",
            instance=("PhysicalNetwork", row.uuid),
            kind="physicalnetwork",
            row_id=row.id,
        )


def _refuse_lost_tags(db: Connection, row: Row[Any], ranges: str) -> None:
    kept = model.tag_ranges(ranges, row.isolation)
    used = db.execute(sa.select(segment_tag.c.tag).where(segment_tag.c.physical_network_id == row.id)).scalars()
    # A tag that was outside before was chosen by an admin for one network; it does not bind the ranges.
    before = model.tag_ranges(row.tag_ranges, row.isolation)
    lost = sorted(tag for tag in used if model.within(before, tag) and not model.within(kept, tag))
    if lost:
        shown = ", ".join(str(tag) for tag in lost[:5])
        raise InUse(f"parameter vlan: networks use tags that the new ranges leave out: {shown}")


@command("listPhysicalNetworks")
class ListPhysicalNetworks(ListCommand):
    """List physical networks."""

    id: Ref | None = None
    name: str | None = None
    zoneid: Ref | None = None

    def query(self, call: Call) -> Query:
        """Return the physical networks that match."""
        columns = physical_network.c
        query = Query(physical_network).equals(columns.id, self.id).equals(columns.zone_id, self.zoneid)
        return query.same(columns.name, self.name).contains(self.keyword, columns.name)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the physical networks."""
        return network_views.physical_networks(call.db, rows, admin=call.caller.admin)


@command("deletePhysicalNetwork", event="PHYSICAL.NETWORK.DELETE")
class DeletePhysicalNetwork(Command):
    """Delete a physical network without networks and ranges, together with its traffic types and providers."""

    id: Ref

    def run(self, call: Call) -> Any:
        """Refuse while anything uses it, else remove it."""
        row = self.id
        usage.refuse_used(call.db, physical_network, row, "physical network", ignore=_OWN)
        own = sa.select(service_provider.c.id).where(service_provider.c.physical_network_id == row.id)
        call.db.execute(sa.delete(router_element).where(router_element.c.provider_id.in_(own)))
        for table in (service_provider, traffic_type):
            call.db.execute(sa.delete(table).where(table.c.physical_network_id == row.id))
        database.change(call.db, physical_network, row.id, removed=database.now(), state=model.DISABLED)
        call.describe(f"deleting physical network {row.name}")
        return call.submit(workflows.deleted, key=f"physicalnetwork:{row.id}", instance=("PhysicalNetwork", row.uuid))
