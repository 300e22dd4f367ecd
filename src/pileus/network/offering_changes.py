"""What speaks against giving a network another offering."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.errors import ApiError, InUse, InvalidParameter
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

_NEEDED = {
    model.FORWARDING: "PortForwarding",
    model.FIREWALL: "Firewall",
    model.EGRESS: "Firewall",
    model.STATIC_NAT: "StaticNat",
}


def refuse(call: Call, row: Row[Any], new: Row[Any], *, forced: bool = False) -> None:
    """Raise when a network cannot have the offering ``new`` instead of its own (InUse: because of what it has).

    With ``forced``, rules and static NAT that the new offering does not have are dropped instead.
    """
    db = call.db
    old = database.one(db, network_offering, row.offering_id)
    where = database.one(db, zone, row.zone_id)
    networks.check_offering(db, networks.NewNetwork(name=row.name, zone=where, offering=new, owner=row))
    other = differences(old, new)
    if other:
        raise InvalidParameter(
            f"parameter networkofferingid: {new.name} differs from the network's offering {old.name} in "
            f"{', '.join(other)}, which a network keeps for life"
        )
    _refuse_in_use(db, row, old, new, forced=forced)


def candidates(call: Call, row: Row[Any]) -> list[int]:
    """Return the offerings that a network could be changed to, but for rules of its own that may stand against it."""
    old = database.one(call.db, network_offering, row.offering_id)
    where = database.one(call.db, zone, row.zone_id)
    live = sa.select(network_offering).where(network_offering.c.removed.is_(None), network_offering.c.id != old.id)
    fit: list[int] = []
    for new in call.db.execute(live):
        try:
            networks.check_offering(call.db, networks.NewNetwork(name=row.name, zone=where, offering=new, owner=row))
        except ApiError:
            continue
        if not differences(old, new):
            fit.append(new.id)
    return fit


def differences(old: Row[Any], new: Row[Any]) -> list[str]:
    """Return in what an offering differs that a network keeps for life."""
    other = [word for column, word in _LASTING.items() if getattr(old, column) != getattr(new, column)]
    if ("SourceNat" in old.services) != ("SourceNat" in new.services):
        other.append("service SourceNat")
    if bool(old.services) != bool(new.services):
        other.append("services at all")
    return other


def _refuse_in_use(db: Connection, row: Row[Any], old: Row[Any], new: Row[Any], *, forced: bool) -> None:
    lost = [service for service in old.services if service not in new.services]
    purposes = sa.select(rule.c.purpose).where(rule.c.network_id == row.id).distinct()
    used = {_NEEDED[purpose] for purpose in db.execute(purposes).scalars() if purpose in _NEEDED}
    static = sa.select(public_address.c.id).where(
        public_address.c.network_id == row.id, public_address.c.is_static_nat.is_(True)
    )
    if db.execute(static.limit(1)).first() is not None:
        used.add("StaticNat")
    dropped = used.intersection(lost)
    if dropped and not forced:
        raise InUse(
            f"network {row.name} uses {', '.join(sorted(dropped))}, which offering {new.name} does not have; delete "
            "what uses it first, or let a root admin pass forced=true"
        )
    if dropped:
        _drop(db, row, dropped)
    if old.egress_default != new.egress_default and rules.egress_of(db, row.id):
        raise InUse(
            f"network {row.name} has egress rules, whose meaning offering {new.name} would turn around "
            "(egressdefaultpolicy); delete them first"
        )


def _drop(db: Connection, row: Row[Any], services: set[str]) -> None:
    """Drop what of a network is of these services (the caller tells the router)."""
    purposes = [purpose for purpose, service in _NEEDED.items() if service in services]
    ids = list(
        db.execute(sa.select(rule.c.id).where(rule.c.network_id == row.id, rule.c.purpose.in_(purposes))).scalars()
    )
    db.execute(sa.delete(rule).where(sa.or_(rule.c.id.in_(ids), rule.c.related_id.in_(ids))))
    if "StaticNat" in services:
        mapped = sa.select(public_address.c.id).where(
            public_address.c.network_id == row.id, public_address.c.is_static_nat.is_(True)
        )
        rules.unmap(db, list(db.execute(mapped).scalars()))
