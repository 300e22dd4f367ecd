"""Commands of ranges of public addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database, entities
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter, MissingParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.identity import store
from pileus.infrastructure import model
from pileus.infrastructure.tables import physical_network, traffic_type, zone
from pileus.network import ranges
from pileus.network.model import FREE
from pileus.network.tables import ip_range, network, public_address

UNTAGGED = "untagged"

entities.register("VlanIpRange", ip_range, "range of public addresses", use=entities.admin_only)


def vlan_name(value: str) -> str:
    """Return a VLAN as it is stored: "untagged" or "vlan://100"."""
    text = value.strip().lower().removeprefix("vlan://")
    if text in ("", UNTAGGED):
        return UNTAGGED
    if not re.fullmatch(r"\d{1,4}", text) or not 1 <= int(text) <= model.HIGHEST_TAG[model.VLAN]:
        raise InvalidParameter(f"parameter vlan must be {UNTAGGED} or a number from 1 to 4094, not {value[:60]!r}")
    return f"vlan://{int(text)}"


@command("createVlanIpRange", event="VLAN.IP.RANGE.CREATE")
class CreateVlanIpRange(Command):
    """Create a range of public addresses, on the physical network that carries public traffic."""

    zoneid: Ref | None = None
    physicalnetworkid: Ref | None = None
    gateway: str
    netmask: str
    startip: str
    endip: str | None = None
    vlan: str = UNTAGGED
    forvirtualnetwork: bool = True
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None
    forsystemvms: bool = False

    def check(self) -> None:
        """Check the addresses and the VLAN."""
        if self.zoneid is None and self.physicalnetworkid is None:
            raise MissingParameter("one of the parameters zoneid and physicalnetworkid is needed")
        if not self.forvirtualnetwork:
            raise InvalidParameter("parameter forvirtualnetwork=false: ranges of shared networks are not supported yet")
        if self.forsystemvms:
            raise InvalidParameter("parameter forsystemvms=true: this cloud has no system machines")
        self.vlan = vlan_name(self.vlan)
        self.gateway = model.address("gateway", self.gateway)
        self.netmask = self.netmask.strip()
        network = model.netmask("netmask", self.netmask, self.gateway)
        self._first, self._last = model.address_range(network, self.startip, self.endip or self.startip)
        if self._last - self._first + 1 > ranges.MOST_ADDRESSES:
            raise InvalidParameter(f"parameter endip: a range holds at most {ranges.MOST_ADDRESSES} addresses")
        if self._first <= int(ipaddress.IPv4Address(self.gateway)) <= self._last:
            raise InvalidParameter(f"the range from startip to endip must leave out the gateway {self.gateway}")

    def run(self, call: Call) -> dict[str, Any]:
        """Insert the range and its addresses unless they are taken in the zone."""
        wire = self._physical_network(call.db)
        self._refuse_conflicts(call.db, wire.zone_id)
        uuid = database.new_uuid()
        owner = None
        if self.account is not None or self.projectid is not None:
            owner = store.owner(call, self.account, self.domainid, self.projectid)
        id_ = database.insert(
            call.db,
            ip_range,
            uuid=uuid,
            zone_id=wire.zone_id,
            physical_network_id=wire.id,
            vlan=self.vlan,
            gateway=self.gateway,
            netmask=self.netmask,
            start_ip=str(ipaddress.IPv4Address(self._first)),
            end_ip=str(ipaddress.IPv4Address(self._last)),
            account_id=owner.account_id if owner is not None else None,
            domain_id=owner.domain_id if owner is not None else self.domainid.id if self.domainid is not None else None,
            for_virtual_network=True,
            created=database.now(),
        )
        ranges.fill(call.db, id_, wire.zone_id, self._first, self._last)
        row = database.one(call.db, ip_range, id_)
        call.describe(f"created the public range {row.start_ip}-{row.end_ip}", resource=("VlanIpRange", uuid))
        return ranges.vlan_ip_ranges(call.db, [row], admin=True)[0]

    def _physical_network(self, db: Connection) -> Row[Any]:
        """Return the physical network that carries the public traffic of the zone."""
        given = self.physicalnetworkid
        if given is not None and self.zoneid is not None and given.zone_id != self.zoneid.id:
            raise InvalidParameter("parameter physicalnetworkid names a physical network of another zone")
        zone_id = given.zone_id if given is not None else self.zoneid.id if self.zoneid is not None else 0
        carrying = (
            sa.select(physical_network)
            .join(traffic_type, traffic_type.c.physical_network_id == physical_network.c.id)
            .where(
                traffic_type.c.type == "Public",
                physical_network.c.zone_id == zone_id,
                physical_network.c.removed.is_(None),
            )
        )
        found = db.execute(carrying).first()
        if found is None:
            raise InvalidParameter("no physical network of the zone carries public traffic; addTrafficType it first")
        if given is not None and given.id != found.id:
            raise InvalidParameter(f"parameter physicalnetworkid: {found.name} carries the zone's public traffic")
        return found

    def _refuse_conflicts(self, db: Connection, zone_id: int) -> None:
        mine = model.netmask("netmask", self.netmask, self.gateway)
        others = sa.select(ip_range).where(ip_range.c.zone_id == zone_id, ip_range.c.removed.is_(None))
        for other in db.execute(others):
            first, last = ranges.bounds(other)
            if self._first <= last and first <= self._last:
                raise InvalidParameter(
                    f"parameters startip and endip: the range overlaps with {other.start_ip}-{other.end_ip}"
                )
            theirs = ranges.network_of(other)
            if not mine.overlaps(theirs):
                continue
            if mine != theirs or other.gateway != self.gateway:
                raise InvalidParameter(f"the network {mine} with gateway {self.gateway} clashes with {theirs}")
            if other.vlan != self.vlan:
                raise InvalidParameter(f"parameter vlan: the network {theirs} is on {other.vlan} already")
        self._refuse_guests(db, mine, zone_id)

    def _refuse_guests(self, db: Connection, mine: ipaddress.IPv4Network, zone_id: int) -> None:
        """Refuse addresses of guest networks: a router cannot tell its two sides apart."""
        default = db.execute(sa.select(zone.c.guest_cidr).where(zone.c.id == zone_id)).scalar_one()
        if default and mine.overlaps(ipaddress.IPv4Network(default)):
            raise InvalidParameter(f"parameter gateway: {mine} overlaps with the zone's guest network {default}")
        live = network.c.zone_id == zone_id, network.c.removed.is_(None), network.c.cidr != ""
        for cidr in db.execute(sa.select(network.c.cidr).where(*live).distinct()).scalars():
            if mine.overlaps(ipaddress.IPv4Network(cidr)):
                raise InvalidParameter(f"parameter gateway: {mine} overlaps with {cidr}, which guest networks have")


@command("listVlanIpRanges")
class ListVlanIpRanges(ListCommand):
    """List ranges of public addresses."""

    id: Ref | None = None
    zoneid: Ref | None = None
    physicalnetworkid: Ref | None = None
    podid: Ref | None = None
    vlan: str | None = None
    forvirtualnetwork: bool | None = None
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None
    networkid: Ref | None = None

    def query(self, call: Call) -> Query:
        """Return the ranges that match."""
        columns = ip_range.c
        query = Query(ip_range).equals(columns.id, self.id).equals(columns.zone_id, self.zoneid)
        query.equals(columns.physical_network_id, self.physicalnetworkid).equals(columns.pod_id, self.podid)
        query.equals(columns.for_virtual_network, self.forvirtualnetwork)
        if self.networkid is not None:
            query.where(sa.false())  # ranges are of public addresses: no network has one of its own
        if self.vlan is not None:
            query.where(columns.vlan == vlan_name(self.vlan))
        if self.account is not None or self.projectid is not None:
            owner = store.owner(call, self.account, self.domainid, self.projectid)
            query.where(columns.account_id == owner.account_id)
        else:
            query.equals(columns.domain_id, self.domainid)
        return query.contains(self.keyword, columns.start_ip, columns.end_ip, columns.gateway)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the ranges."""
        return ranges.vlan_ip_ranges(call.db, rows, admin=call.caller.admin)


@command("deleteVlanIpRange", event="VLAN.IP.RANGE.DELETE")
class DeleteVlanIpRange(Command):
    """Delete a range of public addresses of which none is in use."""

    id: Ref

    def run(self, call: Call) -> Success:
        """Refuse while addresses are in use, else remove the range and its addresses."""
        row = self.id
        # Free ones first: one that somebody takes at this moment is in use by then, not lost.
        of = public_address.c.range_id == row.id, public_address.c.state == FREE
        call.db.execute(sa.delete(public_address).where(*of))
        used = ranges.in_use(call.db, row.id)
        if used:
            more = ", …" if len(used) > 3 else ""
            raise InUse(f"addresses of the range are in use: {', '.join(used[:3])}{more}; release them first")
        database.change(call.db, ip_range, row.id, removed=database.now())
        call.describe(f"deleted the public range {row.start_ip}-{row.end_ip}", resource=("VlanIpRange", row.uuid))
        return Success()
