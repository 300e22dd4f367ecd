"""Public addresses: taken and given back, one owner each whatever happens at the same time."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import attachments, database, usage
from pileus.core.errors import InsufficientAddresses, InvalidParameter
from pileus.identity.limits import checking
from pileus.identity.limits.types import Kind
from pileus.network import holding, model
from pileus.network.tables import ip_range, network, public_address


def take(
    db: Connection,
    zone_id: int,
    owner: Row[Any],
    *,
    network_id: int | None,
    state: str = model.TAKEN,
    address: str | None = None,
    parameter: str = "ipaddress",
    source_nat: bool = False,
    display: bool = True,
) -> Row[Any]:
    """Take a public address of a zone: the one that is named, or the lowest free.

    ``owner``: a row with account_id and domain_id.  Ranges dedicated to the owner come first; those of others never.
    ``source_nat``: it becomes the network's source NAT address, unless the network has one.  ``parameter``: by which
    the address was named.
    """
    checking.claim(db, owner.account_id, {Kind.ADDRESSES: 1})
    if network_id is not None:
        holding.hold(db, network_id)
    values = {
        "state": state,
        "account_id": owner.account_id,
        "domain_id": owner.domain_id,
        "network_id": network_id,
        "is_source_nat": source_nat and not _has_source_nat(db, network_id),
        "is_static_nat": False,
        "allocated": database.now(),
        "display": display,
    }
    for ranges in available(db, zone_id, owner):
        candidate = sa.select(public_address.c.id).where(
            public_address.c.zone_id == zone_id,
            public_address.c.state == model.FREE,
            public_address.c.range_id.in_(ranges),
        )
        if address is not None:
            candidate = candidate.where(public_address.c.address == address)
        candidate = candidate.order_by(public_address.c.id).limit(1).with_for_update(skip_locked=True)
        found = db.execute(
            sa.update(public_address)
            .where(public_address.c.id == candidate.scalar_subquery(), public_address.c.state == model.FREE)
            .values(**values)
            .returning(*public_address.c)
        ).one_or_none()
        if found is not None:
            usage.record(db, use(found, "NET.IPASSIGN"))
            return found
    if address is not None:
        raise InvalidParameter(f"parameter {parameter}: {address} is not a free public address of the zone")
    raise InsufficientAddresses(
        "the zone has no free public address left; release one with disassociateIpAddress, or ask an administrator to "
        "add a range with createVlanIpRange"
    )


def available(db: Connection, zone_id: int | None, owner: Row[Any]) -> list[list[int]]:
    """Return the ranges of a zone (None: of all) that the owner may take from: the dedicated ones, then the common."""
    ranges = sa.select(ip_range.c.id, ip_range.c.account_id, ip_range.c.domain_id).where(
        ip_range.c.removed.is_(None), ip_range.c.for_virtual_network
    )
    rows = db.execute(ranges if zone_id is None else ranges.where(ip_range.c.zone_id == zone_id)).all()
    own = [
        row.id
        for row in rows
        if row.account_id == owner.account_id or (row.account_id is None and row.domain_id == owner.domain_id)
    ]
    common = [row.id for row in rows if row.account_id is None and row.domain_id is None]
    return [ranges for ranges in (own, common) if ranges]


def give_back(db: Connection, address_ids: list[int]) -> None:
    """Free addresses; their rules and static NAT must be gone already."""
    if address_ids:
        taken = sa.select(public_address).where(
            public_address.c.id.in_(address_ids), public_address.c.account_id.is_not(None)
        )
        rows = db.execute(taken.order_by(public_address.c.id)).all()
        usage.record_all(db, [use(row, "NET.IPRELEASE") for row in rows])
        for row in rows:  # tags and notes are not for the next owner: hung on nothing, they are swept
            attachments.renamed(db, row.uuid, database.new_uuid())
        db.execute(
            sa.update(public_address)
            .where(public_address.c.id.in_(address_ids))
            .values(
                state=model.FREE,
                account_id=None,
                domain_id=None,
                network_id=None,
                is_source_nat=False,
                is_static_nat=False,
                machine_id=None,
                nic_id=None,
                allocated=None,
                display=True,
            )
        )


def use(row: Row[Any], type_: str) -> usage.Change:
    """Return what usage will be billed by: an address was assigned or released, as source NAT or not."""
    return usage.Change(
        type=type_,
        account_id=row.account_id,
        domain_id=row.domain_id,
        zone_id=row.zone_id,
        resource_id=row.id,
        resource_uuid=row.uuid,
        name=row.address,
        kind="SourceNat" if row.is_source_nat else None,
    )


def of_network(db: Connection, network_id: int) -> list[Row[Any]]:
    """Return a network's addresses."""
    return list(
        db.execute(
            sa.select(public_address).where(public_address.c.network_id == network_id).order_by(public_address.c.id)
        ).all()
    )


def source_nat(db: Connection, network_id: int) -> Row[Any] | None:
    """Return a network's source NAT address, if it has one."""
    return db.execute(
        sa.select(public_address).where(public_address.c.network_id == network_id, public_address.c.is_source_nat)
    ).one_or_none()


def _has_source_nat(db: Connection, network_id: int | None) -> bool:
    return network_id is not None and source_nat(db, network_id) is not None


def network_of(db: Connection, row: Row[Any], given: Row[Any] | None) -> Row[Any]:
    """Return the network that an address is associated with; a network that is ``given`` too must be that one."""
    if row.state != model.TAKEN or row.network_id is None:
        what = "associated with no network" if row.state == model.TAKEN else f"{row.state}, not Allocated"
        raise InvalidParameter(
            f"parameter ipaddressid: {row.address} is {what}; call associateIpAddress with networkid first",
            uuids=((row.uuid, "ipaddressid"),),
        )
    if given is not None and given.id != row.network_id:
        raise InvalidParameter(
            f"parameter networkid: {row.address} is associated with another network", uuids=((given.uuid, "networkid"),)
        )
    return database.one(db, network, row.network_id)
