"""Another public address of a network as its source NAT address."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database, usage
from pileus.core.errors import ConcurrentChange, InvalidParameter
from pileus.network import addresses, holding, model, rules
from pileus.network.tables import public_address


def move(db: Connection, network: Row[Any], offering: Row[Any], to: str) -> bool:
    """Let machines of a network go out by another of its addresses; False when it is the one already.

    The former one stays with the network, with its rules.
    """
    if "SourceNat" not in offering.services:
        raise InvalidParameter(f"parameter sourcenatipaddress: offering {offering.name} has no source NAT")
    holding.hold(db, network.id)
    own = addresses.of_network(db, network.id)
    new = next((row for row in own if row.address == to and row.state == model.TAKEN), None)
    if new is None:
        raise InvalidParameter(
            f"parameter sourcenatipaddress: {to} is not associated with network {network.name}; call "
            "associateIpAddress with its networkid first"
        )
    if new.is_source_nat:
        return False
    if new.is_static_nat:
        raise InvalidParameter(
            f"parameter sourcenatipaddress: {to} leads to a machine as a whole (static NAT); call "
            "disableStaticNat first"
        )
    if not offering.conserve_mode and rules.of_address(db, new.id, model.FORWARDING):
        raise InvalidParameter(
            f"parameter sourcenatipaddress: {to} has port forwarding rules, which offering {offering.name} does not "
            "let a source NAT address have (conservemode=false); delete them first"
        )
    before = [row for row in own if row.is_source_nat or row.id == new.id]
    after = [_set(db, row, yes=row.id == new.id) for row in before]
    usage.record_all(db, [addresses.use(row, "NET.IPRELEASE") for row in before])
    usage.record_all(db, [addresses.use(row, "NET.IPASSIGN") for row in after])
    return True


def _set(db: Connection, row: Row[Any], *, yes: bool) -> Row[Any]:
    """Make an address the network's source NAT address, or an ordinary one; what it is used for is billed anew."""
    c = public_address.c
    unchanged = (
        c.id == row.id,
        c.network_id == row.network_id,
        c.is_source_nat.is_(not yes),
        c.is_static_nat.is_(False),
    )
    if db.execute(sa.update(public_address).where(*unchanged).values(is_source_nat=yes)).rowcount != 1:
        raise ConcurrentChange(f"public address {row.address} changed meanwhile; try again")
    return database.one(db, public_address, row.id)
