"""What routers tell a network's machines of themselves: DHCP and DNS names, metadata, user data, passwords."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sqlalchemy as sa
import structlog
from cryptography.fernet import InvalidToken
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute.tables import machine, service_offering
from pileus.core import services
from pileus.core.secrets import Secrets
from pileus.core.statements import Fixed
from pileus.infrastructure.tables import zone
from pileus.network.tables import network, nic, public_address
from pileus.wire.router import GuestHost

log = structlog.get_logger(__name__)

_GUESTS = Fixed(
    sa.select(
        nic.c.mac,
        nic.c.address,
        nic.c.is_default,
        nic.c.dhcp_options,
        nic.c.id.label("nic_id"),
        machine.c.id,
        machine.c.uuid,
        machine.c.name,
        machine.c.instance_name,
        machine.c.user_data,
        machine.c.user_data_details,
        machine.c.public_keys,
        machine.c.password,
        machine.c.password_id,
        service_offering.c.name.label("offering"),
        zone.c.name.label("zone"),
        zone.c.uuid.label("cloud"),
    )
    .select_from(
        nic.join(machine, machine.c.id == nic.c.machine_id)
        .join(service_offering, service_offering.c.id == machine.c.service_offering_id)
        .join(zone, zone.c.id == machine.c.zone_id)
    )
    .where(
        nic.c.network_id == sa.bindparam("network"),
        nic.c.removed.is_(None),
        nic.c.address.is_not(None),
        machine.c.removed.is_(None),
    )
    .order_by(nic.c.id)
)
_PUBLIC = Fixed(
    sa.select(
        public_address.c.address,
        public_address.c.nic_id,
        public_address.c.is_source_nat,
        public_address.c.is_static_nat,
    ).where(
        public_address.c.network_id == sa.bindparam("network"),
        sa.or_(public_address.c.is_source_nat, public_address.c.is_static_nat),
    )
)
_DOMAIN = Fixed(sa.select(network.c.network_domain).where(network.c.id == sa.bindparam("network")))


def hosts(db: Connection, network_id: int) -> list[GuestHost]:
    """Return the machines of a network as its router is told of them: in three queries."""
    rows = _GUESTS(db, {"network": network_id}).all()
    if not rows:
        return []
    domain = _DOMAIN(db, {"network": network_id}).scalar_one()
    shared = ""
    own: dict[int, str] = {}
    for address in _PUBLIC(db, {"network": network_id}):
        if address.is_static_nat:
            own[address.nic_id] = address.address
        else:
            shared = address.address
    return [_host(db, row, domain, own.get(row.nic_id, shared)) for row in rows]


def _host(db: Connection, row: Row[Any], domain: str, public: str) -> GuestHost:
    keys = "\n".join(row.public_keys)
    facts: dict[str, str] = {
        **(row.user_data_details or {}),
        "service-offering": row.offering,
        "availability-zone": row.zone,
        "local-ipv4": row.address,
        "local-hostname": f"{row.name}.{domain}" if domain else row.name,
        "public-ipv4": public,
        "public-hostname": public,
        "instance-id": row.uuid,
        "vm-id": row.uuid,
        "cloud-identifier": f"CloudStack-{{{row.cloud}}}",
        "public-keys": keys,
    }
    password = _clear(db, row)
    return GuestHost(
        mac=row.mac,
        address=row.address,
        name=row.name,
        default=row.is_default,
        metadata=facts,
        user_data=row.user_data or "",
        public_keys=row.public_keys,
        password=password,
        password_id=row.password_id if password else "",
        dhcp_options=row.dhcp_options or {},
    )


def _clear(db: Connection, row: Row[Any]) -> str:
    """Return the machine's password in clear, "" when it has none."""
    if not row.password:
        return ""
    try:
        return _decrypt(services.of(db).secrets, row.password)
    except InvalidToken:
        log.exception("the password of a machine was encrypted with another key: it is not served", machine=row.uuid)
        return ""


@lru_cache(maxsize=20_000)
def _decrypt(secrets: Secrets, token: str) -> str:
    """Decrypt, once a process: a router's state has the passwords of all its machines, whatever changed."""
    return secrets.decrypt(token)
