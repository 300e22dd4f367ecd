"""Which addresses of a network machines may have: all, a range chosen at its creation, or what is not reserved."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from sqlalchemy.engine import Row

from pileus.core.errors import InvalidParameter

Span = tuple[IPv4Address, IPv4Address]
"""First and last address."""


def of(row: Row[Any]) -> Span:
    """Return the addresses that machines of a network may have (its gateway may be among them)."""
    whole = IPv4Network(row.cidr)
    first, last = _inside(whole)
    if row.guest_cidr:
        low, high = _inside(IPv4Network(row.guest_cidr))
        first, last = max(first, low), min(last, high)
    if row.start_address:
        first, last = max(first, IPv4Address(row.start_address)), min(last, IPv4Address(row.end_address))
    return first, last


def _inside(cidr: IPv4Network) -> Span:
    return cidr.network_address + 1, cidr.broadcast_address - 1


def chosen(start: str | None, end: str | None, whole: IPv4Network, gateway: str) -> tuple[str, str] | None:
    """Return the range of a new network as it is kept; without an end it is one address."""
    if start is None:
        if end is not None:
            raise InvalidParameter("parameter endip needs parameter startip beside it")
        return None
    first, last = _address("startip", start), _address("endip", end or start)
    low, high = _inside(whole)
    if not low <= first <= last <= high:
        raise InvalidParameter(f"parameters startip and endip: {first} to {last} is no range of addresses in {whole}")
    if first <= IPv4Address(gateway) <= last:
        raise InvalidParameter(f"parameters startip and endip: {first} to {last} has the gateway {gateway} in it")
    return str(first), str(last)


def _address(parameter: str, text: str) -> IPv4Address:
    try:
        return IPv4Address(text.strip())
    except ValueError:
        raise InvalidParameter(f"parameter {parameter} must be an IPv4 address, not {text[:60]!r}") from None


def part(row: Row[Any], text: str, used: Iterable[str]) -> str | None:
    """Return the part of a network that machines are to keep to, None for all of it.

    ``used``: the addresses of its machines, which must be within the part.
    """
    whole = IPv4Network(row.cidr)
    try:
        wanted = IPv4Network(text.strip())
    except ValueError:
        raise InvalidParameter(f"parameter guestvmcidr must be an IPv4 network (CIDR), not {text[:60]!r}") from None
    if not wanted.subnet_of(whole):
        raise InvalidParameter(f"parameter guestvmcidr: {wanted} is not within the network's {whole}")
    if wanted == whole:
        return None
    low, high = _inside(wanted)
    if wanted.prefixlen > 30 or low == high == IPv4Address(row.gateway):
        raise InvalidParameter(f"parameter guestvmcidr: {wanted} has no room for machines")
    outside = sorted((each for each in used if not low <= IPv4Address(each) <= high), key=IPv4Address)
    if outside:
        more = ", …" if len(outside) > 3 else ""
        raise InvalidParameter(
            f"parameter guestvmcidr: machines have the addresses {', '.join(outside[:3])}{more} outside {wanted}"
        )
    if row.start_address and (high < IPv4Address(row.start_address) or low > IPv4Address(row.end_address)):
        raise InvalidParameter(
            f"parameter guestvmcidr: machines of the network get {row.start_address} to {row.end_address}, none of "
            f"which is in {wanted}"
        )
    return str(wanted)


def reserved(row: Row[Any]) -> str:
    """Return what of a network with a reservation is not for machines: "10.1.1.64-10.1.1.255"."""
    whole, inner = IPv4Network(row.cidr), IPv4Network(row.guest_cidr)
    rest: list[tuple[IPv4Address, IPv4Address]] = []
    if whole.network_address < inner.network_address:
        rest.append((whole.network_address, inner.network_address - 1))
    if inner.broadcast_address < whole.broadcast_address:
        rest.append((inner.broadcast_address + 1, whole.broadcast_address))
    return ", ".join(f"{first}-{last}" for first, last in rest)
