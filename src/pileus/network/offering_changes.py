"""What speaks against giving a network another offering."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.errors import InUse, InvalidParameter
from pileus.infrastructure.tables import zone
from pileus.network import model, networks, rules
from pileus.network.tables import network_offering, public_address, rule

_LASTING = {
    "guest_type": "guestiptype",
    "specify_vlan": "specifyvlan",
    "tags": "tags",
    "persistent": "ispersistent",
}
"""What a network keeps for life: column of its offering -> the API's name."""

_NEEDED = {model.FORWARDING: "PortForwarding", model.FIREWALL: "Firewall", model.EGRESS: "Firewall"}


def refuse(call: Call, row: Row[Any], new: Row[Any]) -> None:
    """Raise when a network cannot have the offering ``new`` instead of its own (InUse: because of what it has)."""
    db = call.db
    old = database.one(db, network_offering, row.offering_id)
    where = database.one(db, zone, row.zone_id)
    networks.check_offering(db, networks.NewNetwork(name=row.name, zone=where, offering=new, owner=row))
    other = [word for column, word in _LASTING.items() if getattr(old, column) != getattr(new, column)]
    if ("SourceNat" in old.services) != ("SourceNat" in new.services):
        other.append("service SourceNat")
    if bool(old.services) != bool(new.services):
        other.append("services at all")
    if other:
        raise InvalidParameter(
            f"parameter networkofferingid: {new.name} differs from the network's offering {old.name} in "
            f"{', '.join(other)}, which a network keeps for life"
        )
    _refuse_in_use(db, row, old, new)


def _refuse_in_use(db: Connection, row: Row[Any], old: Row[Any], new: Row[Any]) -> None:
    lost = [service for service in old.services if service not in new.services]
    purposes = sa.select(rule.c.purpose).where(rule.c.network_id == row.id).distinct()
    used = {_NEEDED[purpose] for purpose in db.execute(purposes).scalars() if purpose in _NEEDED}
    static = sa.select(public_address.c.id).where(
        public_address.c.network_id == row.id, public_address.c.is_static_nat.is_(True)
    )
    if db.execute(static.limit(1)).first() is not None:
        used.add("StaticNat")
    if used.intersection(lost):
        raise InUse(
            f"network {row.name} uses {', '.join(sorted(used.intersection(lost)))}, which offering {new.name} does not "
            "have; delete what uses it first"
        )
    if old.egress_default != new.egress_default and rules.egress_of(db, row.id):
        raise InUse(
            f"network {row.name} has egress rules, whose meaning offering {new.name} would turn around "
            "(egressdefaultpolicy); delete them first"
        )
