"""NICs: their addresses, what hosts need to plug them in; the part of networks that compute uses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database, usage
from pileus.core.calls import Call
from pileus.core.errors import ConcurrentChange, InsufficientAddresses, InvalidParameter
from pileus.core.listing import related
from pileus.core.statements import Fixed, Listing
from pileus.network import holding, networks, routers, rules, segments, spans
from pileus.network.tables import network, network_offering, nic, public_address
from pileus.wire.machines import Nic

PROBES = 32
"""Addresses that are looked at before all of a network's are."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_LIVE = nic.c.network_id == sa.bindparam("network"), nic.c.removed.is_(None)
_TAKEN = Listing(lambda among: sa.select(nic.c.address).where(*_LIVE, among(nic.c.address, "probes")))
_ALL = sa.select(nic.c.address).where(*_LIVE, nic.c.address.is_not(None))
_OF_MACHINE = Fixed(
    sa.select(nic)
    .where(nic.c.machine_id == sa.bindparam("machine"), nic.c.removed.is_(None))
    .order_by(nic.c.device_id, nic.c.id)
)

_NETWORKS = Listing(lambda among: sa.select(network).where(among(network.c.id, "networks")).order_by(network.c.id))
_WITH_RATE = Listing(
    lambda among: (
        sa.select(network, network_offering.c.network_rate)
        .join(network_offering, network_offering.c.id == network.c.offering_id)
        .where(among(network.c.id, "networks"))
    )
)
_STATIC_NAT = Listing(
    lambda among: sa.select(public_address).where(
        public_address.c.is_static_nat, among(public_address.c.nic_id, "nics")
    )
)


def allocate(
    db: Connection,
    network_row: Row[Any],
    machine_id: int,
    *,
    address: str | None,
    mac: str | None,
    device_id: int,
    is_default: bool,
    dhcp_options: dict[str, str] | None = None,
    parameters: tuple[str, str] = ("ipaddress", "macaddress"),
) -> Row[Any]:
    """Give a machine a NIC in a network, with a free address (or the one asked for) and a MAC address.

    Raises InvalidParameter, which names the one of the ``parameters`` (of address and MAC address), when what was asked
    for is not possible, InsufficientAddresses when the network is full.
    """
    made = routers.next_mac(db, network_row)  # holds the network's row until the end of the transaction
    nic_id = database.insert(
        db,
        nic,
        uuid=database.new_uuid(),
        network_id=network_row.id,
        machine_id=machine_id,
        mac=made if mac is None else _free_mac(db, mac, parameters[1]),
        address=_address(db, network_row, address, made, parameters[0]),
        device_id=device_id,
        is_default=is_default,
        dhcp_options=dhcp_options or None,
        created=database.now(),
    )
    row = database.one(db, nic, nic_id)
    usage.record(db, _use(row, network_row, "NETWORK.OFFERING.ASSIGN"))
    return row


def _use(row: Row[Any], of: Row[Any], type_: str) -> usage.Change:
    """Return that a machine began or ended to use its network's offering."""
    return usage.Change(
        type=type_,
        account_id=of.account_id,
        domain_id=of.domain_id,
        zone_id=of.zone_id,
        resource_id=row.machine_id,
        resource_uuid=row.uuid,
        name=of.name,
        offering_id=of.offering_id,
        kind="default" if row.is_default else None,
    )


def _free_mac(db: Connection, text: str, parameter: str) -> str:
    mac = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise InvalidParameter(f"parameter {parameter} must be a unicast MAC address, not {text[:40]!r}")
    if db.execute(sa.select(nic.c.id).where(nic.c.mac == mac, nic.c.removed.is_(None))).first():
        raise InvalidParameter(f"parameter {parameter}: {mac} belongs to another NIC")
    return mac


def _address(db: Connection, of: Row[Any], wanted: str | None, mac: str, parameter: str) -> str | None:
    if not of.cidr:
        if wanted is not None:
            raise InvalidParameter(
                f"parameter {parameter}: network {of.name} is layer 2 only and hands out no addresses"
            )
        return None
    whole = ipaddress.IPv4Network(of.cidr)
    if wanted is not None:
        return _wanted(db, of, whole, wanted, parameter)
    low, high = spans.of(of)
    first, size = int(low), int(high) - int(low) + 1
    # The counter in the MAC leads from one address to the next, so the first look nearly always finds a free one, and
    # an address that was given back is not handed out again at once.
    start = int(mac.replace(":", ""), 16) & 0xFFFFF
    probes = [str(ipaddress.IPv4Address(first + (start + i) % size)) for i in range(min(PROBES, size))]
    taken = {of.gateway, *_TAKEN(db, {"network": of.id, "probes": probes}).scalars()}
    found = next((each for each in probes if each not in taken), None)
    if found is None:
        taken.update(db.execute(_ALL, {"network": of.id}).scalars())
        every = (str(ipaddress.IPv4Address(number)) for number in range(first, first + size))
        found = next((each for each in every if each not in taken), None)
    if found is None:
        within = of.cidr if size == whole.num_addresses - 2 else f"{low} to {high} of {of.cidr}"
        raise InsufficientAddresses(f"network {of.name} ({within}) has no free address left")
    return found


def _wanted(db: Connection, of: Row[Any], whole: ipaddress.IPv4Network, wanted: str, parameter: str) -> str:
    try:
        address = ipaddress.IPv4Address(wanted.strip())
    except ValueError:
        raise InvalidParameter(f"parameter {parameter} must be an IPv4 address, not {wanted[:60]!r}") from None
    if address not in whole or address in (whole.network_address, whole.broadcast_address):
        raise InvalidParameter(f"parameter {parameter}: {address} is not an address of a machine within {of.cidr}")
    low, high = spans.of(of)
    if not low <= address <= high:
        raise InvalidParameter(
            f"parameter {parameter}: machines of network {of.name} get addresses from {low} to {high}"
        )
    taken = _TAKEN(db, {"network": of.id, "probes": [str(address)]}).first()
    if str(address) == of.gateway or taken:
        raise InvalidParameter(f"parameter {parameter}: {address} is in use in network {of.name}")
    return str(address)


def tell(db: Connection, machine_id: int, told: Mapping[int, Mapping[str, str]]) -> None:
    """Give a machine's NICs other DHCP options, by network (the caller tells the routers)."""
    for network_id, chosen in told.items():
        db.execute(
            sa.update(nic)
            .where(nic.c.machine_id == machine_id, nic.c.network_id == network_id, nic.c.removed.is_(None))
            .values(dhcp_options=dict(chosen) or None)
        )


def of_machine(db: Connection, machine_id: int) -> list[Row[Any]]:
    """Return a machine's NICs, the first one first."""
    return list(_OF_MACHINE(db, {"machine": machine_id}).all())


def release(db: Connection, machine_id: int) -> None:
    """Take a machine's NICs away, with the rules and the static NAT that lead to it."""
    found = of_machine(db, machine_id)
    if not found:
        return
    ids = [row.id for row in found]
    db.execute(sa.update(nic).where(nic.c.id.in_(ids)).values(removed=database.now()))
    networks_ = related(db, network, [row.network_id for row in found])
    usage.record_all(db, [_use(row, networks_[row.network_id], "NETWORK.OFFERING.REMOVE") for row in found])
    rules.drop_for_nics(db, ids)
    for network_id in sorted({row.network_id for row in found}):
        routers.want(db, network_id)


def specs(db: Connection, machine_id: int, host_id: int) -> list[Nic]:
    """Return a machine's NICs as its host is to make them: in a constant number of queries."""
    found = of_machine(db, machine_id)
    ids = {row.network_id for row in found}
    if not ids:
        return []
    of: dict[int, Row[Any]] = {row.id: row for row in _WITH_RATE(db, {"networks": sorted(ids)})}
    wires = segments.wires(db, list(of.values()), host_id)
    for row in of.values():
        if row.id not in wires:
            raise ConcurrentChange(f"network {row.name} is {row.state}, not Implemented: no machine can start in it")
    return [
        Nic(
            uuid=row.uuid,
            mac=row.mac,
            address=row.address or "",
            segment=wires[row.network_id],
            device=row.device_id,
            rate_mbit=max(0, of[row.network_id].network_rate or 0),
        )
        for row in found
    ]


def desire_router(db: Connection, network_id: int) -> tuple[int, int] | None:
    """Ask for the network's router to learn of a change of its machines; return it and the wish, None without one."""
    return routers.want(db, network_id)


def unready(db: Connection, network_ids: Sequence[int]) -> list[int]:
    """Return those networks that workflow ``network.implement`` has to prepare before a machine can use them."""
    if not network_ids:
        return []
    rows: list[Row[Any]] = _NETWORKS(db, {"networks": list(network_ids)}).all()
    return [row.id for row in rows if not networks.ready(db, row)]


def default_network(call: Call, zone: Row[Any], owner: Row[Any]) -> Row[Any]:
    """Return the network of a machine that names none: the owner's only isolated one, or a new one.

    The new one has the first network offering that is required in the zone.
    """
    own = networks.isolated_with_source_nat(call.db, zone.id, owner.account_id)
    if not own:  # one at a time: what two first machines come with at once is one network
        holding.hold_owner(call.db, owner.account_id)
        own = networks.isolated_with_source_nat(call.db, zone.id, owner.account_id)
    if len(own) > 1:
        raise InvalidParameter("the account has more than one isolated network in the zone: name one with networkids")
    return own[0] if own else networks.make_default(call, zone, owner)


def reachable(db: Connection, machine_id: int, network_id: int, guest_ip: str | None) -> Row[Any]:
    """Return the NIC by which a rule reaches a machine in a network; ``guest_ip`` must be its address."""
    for row in of_machine(db, machine_id):
        if row.network_id == network_id:
            if guest_ip is not None and guest_ip.strip() != row.address:
                raise InvalidParameter(f"parameter vmguestip: the machine's address in the network is {row.address}")
            return row
    raise InvalidParameter("parameter virtualmachineid: the machine has no NIC in the network of the public address")


def static_nat_of(db: Connection, nic_ids: Sequence[int]) -> dict[int, Row[Any]]:
    """Return the public addresses mapped to NICs one to one, by NIC."""
    if not nic_ids:
        return {}
    return {row.nic_id: row for row in _STATIC_NAT(db, {"nics": list(nic_ids)})}


def addresses(db: Connection, network_id: int) -> list[str]:
    """Return the addresses that a network's machines have."""
    of_machines = _ALL.where(nic.c.machine_id.is_not(None))
    return list(db.execute(of_machines, {"network": network_id}).scalars())


def plugged(db: Connection, network_id: int) -> int:
    """Return how many NICs of machines a network has."""
    statement = (
        sa.select(sa.func.count())
        .select_from(nic)
        .where(nic.c.network_id == network_id, nic.c.removed.is_(None), nic.c.machine_id.is_not(None))
    )
    return int(db.execute(statement).scalar_one())
