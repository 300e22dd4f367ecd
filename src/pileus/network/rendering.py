"""A router's whole desired state, from its rows, in a constant number of queries."""

from __future__ import annotations

import ipaddress
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.jobs import desired
from pileus.core.statements import Fixed
from pileus.infrastructure.tables import zone
from pileus.network import guests, model, segments
from pileus.network.tables import ip_range, network, network_offering, nic, public_address, rule
from pileus.wire.router import PUBLIC_MTU, EgressRule, FirewallRule, GuestLeg, PortForward, PublicAddress, RouterSpec

_SERVICES = frozenset({"Dhcp", "Dns", "UserData", "SourceNat", "StaticNat", "PortForwarding", "Firewall"})

_ADDRESSES = Fixed(
    sa.select(
        public_address.c.id,
        public_address.c.address,
        public_address.c.is_source_nat,
        public_address.c.is_static_nat,
        public_address.c.nic_id,
        ip_range.c.gateway,
        ip_range.c.netmask,
    )
    .join(ip_range, ip_range.c.id == public_address.c.range_id)
    .where(
        public_address.c.network_id == sa.bindparam("network"),
        sa.or_(public_address.c.state == model.TAKEN, public_address.c.state == model.ALLOCATING),
    )
    .order_by(public_address.c.id)
)
_RULES = Fixed(
    sa.select(rule)
    .where(rule.c.network_id == sa.bindparam("network"), rule.c.state != model.REVOKE)
    .order_by(rule.c.id)
)
_NICS = sa.select(nic.c.id, nic.c.address).where(
    nic.c.network_id == sa.bindparam("network"), nic.c.removed.is_(None), nic.c.machine_id.is_not(None)
)


def spec(db: Connection, row: Row[Any]) -> RouterSpec:
    """Return a router's desired state; ``row`` is the router's, with a host."""
    generation = desired(db, "router", row.id)  # first: what is read below is as new, or newer
    of = database.one(db, network, row.network_id)
    offering = database.one(db, network_offering, of.offering_id)
    place = database.one(db, zone, row.zone_id)
    addresses: dict[int, Any] = {found.id: found for found in _ADDRESSES(db, {"network": of.id})}
    rules = _RULES(db, {"network": of.id}).all()
    targets = _targets(db, of.id, addresses.values(), rules)
    wire = segments.wires(db, [of], row.host_id)[of.id]
    servers = [address for address in ((of.dns1, of.dns2) if of.dns1 else (place.dns1, place.dns2)) if address]
    return RouterSpec(
        name=row.name,
        uuid=row.uuid,
        generation=generation,
        guest=GuestLeg(
            segment=wire,
            mac=row.guest_mac,
            address=of.gateway,
            prefix=ipaddress.IPv4Network(of.cidr).prefixlen,
            domain=of.network_domain,
            dns=[] if "Dns" in offering.services else servers,
        ),
        public_mac=row.public_mac if addresses else "",
        public_mtu=of.public_mtu or PUBLIC_MTU,
        public_addresses=[_public(found, targets) for found in addresses.values()],
        egress_allowed=offering.egress_default,
        egress=[_egress(each) for each in rules if each.purpose == model.EGRESS],
        firewall=[
            _firewall(each, addresses[each.address_id])
            for each in rules
            if each.purpose == model.FIREWALL and each.address_id in addresses
        ],
        forwards=[
            _forward(each, addresses[each.address_id], targets[each.nic_id])
            for each in rules
            if each.purpose == model.FORWARDING and each.address_id in addresses and each.nic_id in targets
        ],
        hosts=guests.hosts(db, of.id),
        dns_upstream=servers,
        services=sorted(_SERVICES.intersection(offering.services)),
    )


def _targets(db: Connection, network_id: int, addresses: Any, rules: Any) -> dict[int, str]:
    """Return the guest addresses of the NICs that rules and static NAT lead to."""
    wanted = {each.nic_id for each in (*addresses, *rules) if each.nic_id is not None}
    if not wanted:
        return {}
    found = db.execute(_NICS.where(nic.c.id.in_(wanted)), {"network": network_id})
    return {row.id: row.address for row in found if row.address}


def _public(row: Any, targets: dict[int, str]) -> PublicAddress:
    return PublicAddress(
        address=row.address,
        prefix=ipaddress.IPv4Network(f"{row.gateway}/{row.netmask}", strict=False).prefixlen,
        gateway=row.gateway,
        source_nat=row.is_source_nat,
        static_nat=targets.get(row.nic_id, "") if row.is_static_nat else "",
    )


def _egress(row: Row[Any]) -> EgressRule:
    return EgressRule(
        protocol=row.protocol,
        start=row.start_port,
        end=row.end_port,
        icmp_type=row.icmp_type,
        icmp_code=row.icmp_code,
        sources=[] if model.ANYWHERE in row.sources else row.sources,
        destinations=[] if model.ANYWHERE in row.destinations else row.destinations,
    )


def _firewall(row: Row[Any], address: Any) -> FirewallRule:
    return FirewallRule(
        address=address.address,
        protocol=row.protocol,
        start=row.start_port,
        end=row.end_port,
        icmp_type=row.icmp_type,
        icmp_code=row.icmp_code,
        sources=row.sources,
    )


def _forward(row: Row[Any], address: Any, target: str) -> PortForward:
    return PortForward(
        address=address.address,
        protocol=row.protocol,
        start=row.start_port,
        end=row.end_port,
        guest_address=target,
        guest_start=row.private_start,
        guest_end=row.private_end,
    )
