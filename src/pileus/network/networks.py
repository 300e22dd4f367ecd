"""Networks in the database: what a new one may be, and making it."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.settings import declare
from pileus.identity.limits import checking
from pileus.identity.limits.types import Kind
from pileus.identity.tables import account as account_table
from pileus.identity.tables import domain as domain_table
from pileus.infrastructure import restricted
from pileus.infrastructure.model import BASIC
from pileus.infrastructure.tables import physical_network, service_provider, traffic_type
from pileus.network import addresses, model, mtu, routers, segments, spans
from pileus.network.tables import ip_range, network, network_offering

PUBLIC_CIDRS = declare(
    "allow.non.rfc1918.compliant.ips",
    bool,
    False,
    "Whether guest networks may have addresses that are not set aside for private use (RFC 1918)",
)
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def _checked_suffix(text: str) -> None:
    if len(text) > 180 or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise ValueError("must be a DNS domain, such as cloud.internal")


DOMAIN_SUFFIX = declare(
    "guest.domain.suffix",
    str,
    "cloud.internal",
    "End of the DNS domains made for guest networks",
    check=_checked_suffix,
)

PROVIDER = "VirtualRouter"


class NewNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A network to be made."""

    name: str
    zone: Row[Any]
    offering: Row[Any]
    owner: Row[Any]  # the account's
    display_text: str = ""
    physical: Row[Any] | None = None
    gateway: str | None = None
    netmask: str | None = None
    domain: str | None = None
    dns1: str | None = None
    dns2: str | None = None
    vlan: str | None = None
    private_mtu: int | None = None
    public_mtu: int | None = None
    start: str | None = None
    end: str | None = None
    display: bool = True
    source_nat: str | None = None  # the public address to use


def make(call: Call, new: NewNetwork) -> Row[Any]:
    """Check a new network against the zone's rules of the moment, and write it (state Allocated)."""
    db = call.db
    if new.zone.network_type == BASIC or new.zone.security_groups:
        raise InvalidParameter(
            f"parameter zoneid: guests of zone {new.zone.name} share networks, which are not supported yet; networks "
            "of one's own need an Advanced zone without security groups"
        )
    check_offering(db, new)
    physical = new.physical if new.physical is not None else _physical(db, new)
    _check_physical(db, new, physical)
    segments.refuse_impossible(db, new.zone.id, physical.isolation)
    cidr, gateway = _addresses(db, call, new)
    span = _span(new, cidr, gateway)
    tag = _explicit_tag(new, physical)
    mtu.check(call, new.zone.id, physical.isolation, new.offering, private=new.private_mtu, public=new.public_mtu)
    checking.claim(db, new.owner.account_id, {Kind.NETWORKS: 1})
    network_id = database.insert(
        db,
        network,
        uuid=database.new_uuid(),
        name=new.name,
        display_text=new.display_text or new.name,
        account_id=new.owner.account_id,
        domain_id=new.owner.domain_id,
        zone_id=new.zone.id,
        physical_network_id=physical.id,
        offering_id=new.offering.id,
        guest_type=new.offering.guest_type,
        cidr="" if cidr is None else str(cidr),
        gateway=gateway,
        netmask="" if cidr is None else str(cidr.netmask),
        network_domain=new.domain or _domain(db, call, new),
        dns1=new.dns1,
        dns2=new.dns2,
        isolation=physical.isolation,
        state=model.ALLOCATED,
        display=new.display,
        private_mtu=new.private_mtu,
        public_mtu=new.public_mtu,
        start_address=None if span is None else span[0],
        end_address=None if span is None else span[1],
        created=database.now(),
    )
    row = database.one(db, network, network_id)
    if tag is not None:
        segments.take_tag(db, row, tag)
    if new.source_nat is not None:
        addresses.take(
            db,
            new.zone.id,
            new.owner,
            network_id=network_id,
            address=new.source_nat.strip(),
            parameter="sourcenatipaddress",
            source_nat=True,
        )
    return database.one(db, network, network_id)


def check_offering(db: Connection, new: NewNetwork) -> None:
    """Check that networks of this owner may have the offering in the zone."""
    offering = new.offering
    if offering.state != "Enabled":
        raise InvalidParameter(
            f"parameter networkofferingid: offering {offering.name} is not Enabled: {offering.state}"
        )
    if offering.guest_type not in (model.ISOLATED, model.L2) or offering.for_vpc:
        raise InvalidParameter(
            f"parameter networkofferingid: {offering.name} is for "
            f"{'tiers of VPCs' if offering.for_vpc else offering.guest_type + ' networks'}, which this server does not "
            "have yet; use one for isolated networks"
        )
    if offering.zone_ids and new.zone.id not in offering.zone_ids:
        raise InvalidParameter(f"parameter networkofferingid: offering {offering.name} is not for zone {new.zone.name}")
    if offering.domain_ids:
        path = db.execute(sa.select(domain_table.c.path).where(domain_table.c.id == new.owner.domain_id)).scalar_one()
        if restricted.ancestors(db, path).isdisjoint(offering.domain_ids):
            raise PermissionDenied(
                f"parameter networkofferingid: offering {offering.name} is not for the domain of the network's owner"
            )
    if "SourceNat" not in offering.services and new.source_nat is not None:
        raise InvalidParameter(f"parameter sourcenatipaddress: offering {offering.name} has no source NAT")


def _physical(db: Connection, new: NewNetwork) -> Row[Any]:
    """Return the zone's physical network for guests: the only one with the offering's tags, or without any."""
    rows = db.execute(
        sa.select(physical_network)
        .join(traffic_type, traffic_type.c.physical_network_id == physical_network.c.id)
        .where(
            physical_network.c.zone_id == new.zone.id,
            physical_network.c.removed.is_(None),
            traffic_type.c.type == "Guest",
        )
        .order_by(physical_network.c.id)
    ).all()
    wanted = {tag for tag in new.offering.tags.split(",") if tag}
    fit = [row for row in rows if wanted <= set((row.tags or "").split(","))]
    enabled = [row for row in fit if row.state == "Enabled"]
    if len(enabled) > 1 and not wanted:  # those with tags are for offerings that want them
        enabled = [row for row in enabled if not row.tags] or enabled
    if len(enabled) == 1:
        return enabled[0]
    if enabled:
        raise InvalidParameter(
            f"parameter physicalnetworkid is needed: zone {new.zone.name} has {len(enabled)} networks for guests"
        )
    tagged = f" with the tags {', '.join(sorted(wanted))}" if wanted else ""
    state = " that is enabled" if fit else ""
    raise InvalidParameter(
        f"parameter zoneid: zone {new.zone.name} has no physical network for guest traffic{tagged}{state}"
    )


def _check_physical(db: Connection, new: NewNetwork, physical: Row[Any]) -> None:
    if physical.zone_id != new.zone.id:
        raise InvalidParameter(f"parameter physicalnetworkid: {physical.name} is not in zone {new.zone.name}")
    if physical.state != "Enabled":
        raise InvalidParameter(
            f"physical network {physical.name} is {physical.state}; enable it with updatePhysicalNetwork"
        )
    guest = traffic_type.c.physical_network_id == physical.id, traffic_type.c.type == "Guest"
    if db.execute(sa.select(traffic_type.c.id).where(*guest).limit(1)).first() is None:
        raise InvalidParameter(
            f"parameter physicalnetworkid: {physical.name} carries no guest traffic; addTrafficType it first"
        )
    if not routers.needed(new.offering):
        return
    state = db.execute(
        sa.select(service_provider.c.state).where(
            service_provider.c.physical_network_id == physical.id, service_provider.c.name == PROVIDER
        )
    ).scalar_one_or_none()
    if state != "Enabled":
        raise InvalidParameter(
            f"the service provider {PROVIDER} of physical network {physical.name} is "
            f"{state or 'not there'}; enable it with updateNetworkServiceProvider"
        )


def _addresses(db: Connection, call: Call, new: NewNetwork) -> tuple[ipaddress.IPv4Network | None, str]:
    if new.offering.guest_type == model.L2:
        if new.gateway is not None or new.netmask is not None:
            raise InvalidParameter("parameters gateway and netmask are not for layer 2 networks, without addresses")
        return None, ""
    cidr, gateway = model.guest_network(new.gateway, new.netmask, new.zone.guest_cidr)
    if not model.is_private(cidr) and not call.services.settings.get(PUBLIC_CIDRS):
        raise InvalidParameter(
            f"parameter gateway: {cidr} is not within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16; the setting "
            f"{PUBLIC_CIDRS.name} allows it"
        )
    ranges = db.execute(
        sa.select(ip_range.c.gateway, ip_range.c.netmask)
        .where(ip_range.c.zone_id == new.zone.id, ip_range.c.removed.is_(None))
        .distinct()
    )
    for row in ranges:
        public = ipaddress.IPv4Network(f"{row.gateway}/{row.netmask}", strict=False)
        if public.overlaps(cidr):
            raise InvalidParameter(f"parameter gateway: {cidr} overlaps with the zone's public network {public}")
    return cidr, gateway


def _span(new: NewNetwork, cidr: ipaddress.IPv4Network | None, gateway: str) -> tuple[str, str] | None:
    """Return the range of addresses that was chosen for machines; with source NAT they get all of the network."""
    if new.start is None and new.end is None:
        return None
    if cidr is None or "SourceNat" in new.offering.services:
        raise InvalidParameter(
            "parameters startip and endip are for isolated networks without source NAT; with it, reserve addresses "
            "with updateNetwork guestvmcidr"
        )
    return spans.chosen(new.start, new.end, cidr, gateway)


def _explicit_tag(new: NewNetwork, physical: Row[Any]) -> int | None:
    if new.vlan is None:
        if new.offering.specify_vlan:
            raise InvalidParameter(f"parameter vlan is needed: offering {new.offering.name} wants it named")
        return None
    if not new.offering.specify_vlan:
        raise InvalidParameter(f"parameter vlan: offering {new.offering.name} does not let it be named (specifyvlan)")
    return model.tag(new.vlan, physical.isolation)


def _domain(db: Connection, call: Call, new: NewNetwork) -> str:
    """Return the DNS domain of a network that names none: the account's, the domain's, the zone's or a made one."""
    if new.offering.guest_type == model.L2:
        return ""
    own = db.execute(
        sa.select(account_table.c.network_domain, domain_table.c.network_domain.label("of_domain"))
        .join(domain_table, domain_table.c.id == account_table.c.domain_id)
        .where(account_table.c.id == new.owner.account_id)
    ).one()
    made = f"cs{new.owner.account_id:x}.{call.services.settings.get(DOMAIN_SUFFIX)}"
    return own.network_domain or own.of_domain or new.zone.network_domain or made


def ready(db: Connection, row: Row[Any]) -> bool:
    """Tell whether machines can use a network: it is implemented, and its router (if it needs one) runs."""
    if row.state not in (model.IMPLEMENTED, "Setup"):
        return False
    found = routers.current(db, row.id)
    if found is not None:
        return found.state == model.RUNNING
    return not routers.needed(database.one(db, network_offering, row.offering_id))


def isolated_with_source_nat(db: Connection, zone_id: int, account_id: int) -> list[Row[Any]]:
    """Return an account's isolated networks in a zone that have source NAT."""
    rows = db.execute(
        sa.select(network, network_offering.c.services)
        .join(network_offering, network_offering.c.id == network.c.offering_id)
        .where(
            network.c.zone_id == zone_id,
            network.c.account_id == account_id,
            network.c.removed.is_(None),
            network.c.guest_type == model.ISOLATED,
        )
        .order_by(network.c.id)
    ).all()
    return [row for row in rows if "SourceNat" in row.services]


def make_default(call: Call, zone: Row[Any], owner: Row[Any]) -> Row[Any]:
    """Make an account's first network from the offering that is required in the zone."""
    rows = call.db.execute(
        sa.select(network_offering)
        .where(
            network_offering.c.removed.is_(None),
            network_offering.c.state == "Enabled",
            network_offering.c.availability == "Required",
            network_offering.c.guest_type == model.ISOLATED,
            network_offering.c.for_vpc.is_(False),
        )
        .order_by(network_offering.c.id)
    ).all()
    fit = [row for row in rows if "SourceNat" in row.services and (not row.zone_ids or zone.id in row.zone_ids)]
    if not fit:
        raise InvalidParameter(
            "parameter networkids is needed: the account has no isolated network in the zone, and no network offering "
            "is marked Required to make one from"
        )
    name = f"{owner.name}-network"
    return make(call, NewNetwork(name=name, zone=zone, offering=fit[0], owner=owner))
