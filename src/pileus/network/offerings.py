"""Network offerings: what services they may have, how they look to clients, and those that a new cloud has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.infrastructure.network_views import PROVIDER, SERVICES
from pileus.infrastructure.restricted import Labels
from pileus.network.tables import network_offering

DEFAULT = "DefaultIsolatedNetworkOfferingWithSourceNatService"
"""The offering of the network that is made for an account without one."""

KNOWN_SERVICES = SERVICES
LATER_SERVICES = ("Vpn", "Lb", "SecurityGroup", "NetworkACL", "Connectivity", "CustomAction")

CAPABILITIES: dict[str, dict[str, str]] = {
    "Dhcp": {"DhcpAccrossMultipleSubnets": "false"},
    "Dns": {"AllowDnsSuffixModification": "true"},
    "Firewall": {
        "MultipleIps": "true",
        "SupportedEgressProtocols": "tcp,udp,icmp,all",
        "SupportedProtocols": "tcp,udp,icmp",
        "SupportedTrafficDirection": "ingress,egress",
        "TrafficStatistics": "per public ip",
    },
    "Gateway": {},
    "PortForwarding": {"SupportedProtocols": "tcp,udp"},
    "SourceNat": {"RedundantRouter": "false", "SupportedSourceNatTypes": "peraccount"},
    "StaticNat": {"AssociatePublicIP": "false", "ElasticIp": "false"},
    "UserData": {},
}
"""What the virtual router can, by service; an offering may state the same, nothing else."""

_FULL = ("Dhcp", "Dns", "Firewall", "PortForwarding", "SourceNat", "StaticNat", "UserData")


def services_of(db: Connection, names: Sequence[str], capabilities: Mapping[str, Mapping[str, str]]) -> Any:
    """Return services as clients know them: name, providers, capabilities."""
    return [
        {
            "name": name,
            "provider": [{"name": PROVIDER}],
            "capability": [
                {"name": key, "value": value, "canchooseservicecapability": False}
                for key, value in sorted({**CAPABILITIES.get(name, {}), **capabilities.get(name, {})}.items())
            ],
        }
        for name in sorted(names)
    ]


def network_offerings(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> list[dict[str, Any]]:
    """Return network offerings with their services; tags for root admins."""
    labels = Labels(db, rows)
    routers = _router_offerings(db, rows)
    return [
        {
            "id": row.uuid,
            "name": row.name,
            "displaytext": row.display_text,
            "tags": row.tags.strip(",") or None if admin else None,
            "created": date(row.created),
            "traffictype": row.traffic_type,
            "isdefault": row.is_default,
            "specifyvlan": row.specify_vlan,
            "specifyipranges": row.specify_ip_ranges,
            "conservemode": row.conserve_mode,
            "availability": row.availability,
            "networkrate": row.network_rate,
            "state": row.state,
            "guestiptype": row.guest_type,
            "internetprotocol": "IPv4",
            "networkmode": "NATTED" if row.guest_type == "Isolated" else None,
            "serviceofferingid": routers.get(row.service_offering_id) or None,  # libcloud wants one of each, L2 too
            "service": services_of(db, list(row.services), row.capabilities),
            "forvpc": row.for_vpc,
            "fornsx": False,
            "fortungsten": False,
            "ispersistent": row.persistent,
            "egressdefaultpolicy": row.egress_default,
            "maxconnections": row.max_connections,
            "details": row.details or None,
            "supportsstrechedl2subnet": False,
            "supportspublicaccess": False,
            "supportsinternallb": False,
            "specifyasnumber": False,
            **labels.of(row),
        }
        for row in rows
    ]


def _router_offerings(db: Connection, rows: Sequence[Row[Any]]) -> dict[int | None, str]:
    """Return the uuids of the routers' service offerings (a later slice's table) by internal id; None: the default."""
    wanted = {row.service_offering_id for row in rows}
    table = database.metadata.tables["service_offering"]
    found: dict[int | None, str] = {id_: row.uuid for id_, row in related(db, table, wanted).items()}
    if None in wanted:
        default = (
            sa.select(table.c.uuid)
            .where(table.c.is_system, table.c.default_use, table.c.system_vm_type == "domainrouter")
            .where(table.c.removed.is_(None))
        )
        found[None] = db.execute(default.order_by(table.c.id).limit(1)).scalar_one_or_none() or ""
    return found


def seed(db: Connection) -> None:
    """Write the network offerings of a cloud that has never had any, under CloudStack's names."""
    if db.execute(sa.select(network_offering.c.id).limit(1)).first():
        return
    isolated = "Offering for Isolated networks with Source Nat service enabled"
    _insert(db, DEFAULT, isolated, _FULL, availability="Required", conserve_mode=True)
    _insert(
        db,
        "DefaultIsolatedNetworkOffering",
        "Offering for Isolated networks with no Source Nat service",
        ("Dhcp", "Dns", "UserData"),
        conserve_mode=True,
        specify_vlan=True,
    )
    for name, text, named in (
        ("DefaultL2NetworkOffering", "Offering for L2 networks", False),
        ("DefaultL2NetworkOfferingVlan", "Offering for L2 networks VLAN", True),
    ):
        _insert(db, name, text, (), guest_type="L2", conserve_mode=True, specify_vlan=named)


def _insert(db: Connection, name: str, text: str, services: Sequence[str], **values: Any) -> None:
    known: dict[str, Any] = {
        "traffic_type": "Guest",
        "guest_type": "Isolated",
        "availability": "Optional",
        "state": "Enabled",
        "is_default": True,
        "specify_vlan": False,
        "specify_ip_ranges": False,
        "persistent": False,
        "egress_default": False,
    }
    database.insert(
        db,
        network_offering,
        uuid=database.new_uuid(),
        name=name,
        display_text=text,
        services={service: [PROVIDER] for service in services},
        created=database.now(),
        **(known | values),
    )
