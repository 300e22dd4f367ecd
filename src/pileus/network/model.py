"""Pure rules of networks: addresses, ranges of ports, which rules contradict one another, the words for states."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pileus.core.errors import InvalidParameter, MissingParameter, RuleConflict

ALLOCATED, IMPLEMENTING, IMPLEMENTED = "Allocated", "Implementing", "Implemented"
SHUTDOWN, DESTROY = "Shutdown", "Destroy"
"""States of a network."""

STARTING, RUNNING, STOPPING, STOPPED, EXPUNGING = "Starting", "Running", "Stopping", "Stopped", "Expunging"
"""States of a router."""

LIVE = (STARTING, RUNNING)
"""States in which a router takes what is desired of it."""

ADD, ACTIVE, REVOKE, STAGED = "Add", "Active", "Revoke", "Staged"
"""States of a rule; a staged one waits for the network's router."""

FREE, ALLOCATING, TAKEN, RELEASING = "Free", "Allocating", "Allocated", "Releasing"
"""States of a public address."""

FIREWALL, EGRESS, FORWARDING, STATIC_NAT = "Firewall", "Egress", "PortForwarding", "StaticNat"
"""Purposes of rules."""

ISOLATED, L2 = "Isolated", "L2"
ANYWHERE = "0.0.0.0/0"
HIGHEST_TAG = {"VLAN": 4094, "VXLAN": 16_777_214}
DEFAULT_MTU = {"VLAN": 1500, "VXLAN": 1450}
LARGEST, SMALLEST = 8, 29
"""Prefix lengths of guest networks; a smaller network than /29 has hardly room for a machine."""

PRIVATE = tuple(ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule matches."""

    protocol: str  # tcp udp icmp all
    start: int | None = None
    end: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, Any]:
        """Return it as columns of the table of rules."""
        return {
            "protocol": self.protocol,
            "start_port": self.start,
            "end_port": self.end,
            "icmp_type": self.icmp_type,
            "icmp_code": self.icmp_code,
            "sources": list(self.sources),
            "destinations": list(self.destinations),
        }


def protocol(text: str, allowed: Sequence[str]) -> str:
    """Return the protocol in small letters when it is one of the allowed."""
    found = text.strip().lower()
    if found not in allowed:
        raise InvalidParameter(f"parameter protocol must be one of {', '.join(allowed)}, not {text[:30]!r}")
    return found


def ports(
    start: int | None, end: int | None, names: tuple[str, str] = ("startport", "endport")
) -> tuple[int | None, int | None]:
    """Return a checked range of ports; the end defaults to the start, no start means all ports."""
    if start is None:
        if end is not None:
            raise MissingParameter(f"parameter {names[1]} needs parameter {names[0]} beside it")
        return None, None
    last = start if end is None else end
    for name, value in zip(names, (start, last), strict=True):
        if not 1 <= value <= 65535:
            raise InvalidParameter(f"parameter {name} must be a port from 1 to 65535, not {value}")
    if start > last:
        raise InvalidParameter(f"parameter {names[0]} ({start}) must not be above {names[1]} ({last})")
    return start, last


def icmp(type_: int | None, code: int | None) -> tuple[int, int]:
    """Return a checked ICMP type and code; -1 means any."""
    for name, value in (("icmptype", type_), ("icmpcode", code)):
        if value is not None and not -1 <= value <= 255:
            raise InvalidParameter(f"parameter {name} must be from 0 to 255, or -1 for any, not {value}")
    if code not in (None, -1) and type_ in (None, -1):
        raise InvalidParameter("parameter icmpcode needs a parameter icmptype that is not -1 beside it")
    return (-1 if type_ is None else type_), (-1 if code is None else code)


def cidrs(name: str, texts: Iterable[str] | None) -> tuple[str, ...]:
    """Return checked IPv4 CIDRs, as they were written."""
    found: list[str] = []
    for text in texts or ():
        clean = text.strip()
        try:
            ipaddress.IPv4Network(clean, strict=False)
        except ValueError:
            clean = ""
        if "/" not in clean:
            raise InvalidParameter(f"parameter {name} must hold IPv4 CIDRs such as 198.51.100.0/24, not {text[:60]!r}")
        found.append(clean)
    return tuple(dict.fromkeys(found))


def match(
    protocol_: str,
    start: int | None,
    end: int | None,
    type_: int | None,
    code: int | None,
    *,
    allowed: Sequence[str],
    sources: tuple[str, ...],
    destinations: tuple[str, ...] = (),
) -> Match:
    """Return what a firewall rule matches, from the parameters of its command."""
    which = protocol(protocol_, allowed)
    if which != "icmp" and (type_ is not None or code is not None):
        raise InvalidParameter(f"parameters icmptype and icmpcode are for protocol icmp, not for {which}")
    if which in ("icmp", "all") and (start is not None or end is not None):
        raise InvalidParameter(f"parameters startport and endport are for protocols tcp and udp, not for {which}")
    first, last = ports(start, end)
    kind, detail = icmp(type_, code) if which == "icmp" else (None, None)
    return Match(
        protocol=which,
        start=first,
        end=last,
        icmp_type=kind,
        icmp_code=detail,
        sources=sources,
        destinations=destinations,
    )


def refuse_conflict(new: Match, others: Iterable[Any]) -> None:
    """Raise RuleConflict when a firewall rule says again, in whole or in part, what one of the others says.

    ``others``: rows of rules of the same address (or network) and purpose.  As CloudStack: two rules get on with one
    another unless protocol and a source CIDR (and a destination CIDR) are the same and the ports overlap.
    """
    for other in others:
        if other.protocol != new.protocol or not _shared(new.sources, other.sources):
            continue
        if not _shared(new.destinations, other.destinations):
            continue
        if new.protocol == "icmp":
            clash = (new.icmp_type, new.icmp_code) == (other.icmp_type, other.icmp_code)
        else:
            clash = overlap((new.start, new.end), (other.start_port, other.end_port))
        if clash:
            # Cluster API's provider takes it for done when a refusal has these words.
            raise RuleConflict(
                f"there is already a rule {describe(other)}: the new rule conflicts with existing rule {other.uuid}; "
                "change that one or narrow this",
                uuids=((other.uuid, "rule"),),
            )


def opened(new: Match, others: Iterable[Any]) -> bool:
    """Tell whether one of the firewall rules ``others`` opens these very ports: then no second one is made for them.

    As CloudStack: it does not look at the sources, which whoever made the rule has chosen.
    """
    ports = (new.protocol, new.start, new.end)
    return any((other.protocol, other.start_port, other.end_port) == ports for other in others)


def _shared(first: Sequence[str], second: Sequence[str]) -> bool:
    return (not first and not second) or bool(set(first).intersection(second))


def overlap(first: tuple[int | None, int | None], second: tuple[int | None, int | None]) -> bool:
    """Tell whether two ranges of ports have one in common (no start = all ports)."""
    low, high = _range(first)
    other_low, other_high = _range(second)
    return low <= other_high and other_low <= high


def _range(ports_: tuple[int | None, int | None]) -> tuple[int, int]:
    start, end = ports_
    return (1, 65535) if start is None else (start, start if end is None else end)


def describe(row: Any) -> str:
    """Return a rule's match for people: "tcp 80-90 from 0.0.0.0/0"."""
    text = row.protocol
    if row.start_port is not None:
        text += f" {row.start_port}" + (f"-{row.end_port}" if row.end_port != row.start_port else "")
    if row.icmp_type is not None:
        text += f" type {row.icmp_type} code {row.icmp_code}"
    return f"{text} from {', '.join(row.sources)}" if row.sources else text


def guest_network(gateway: str | None, netmask: str | None, default: str) -> tuple[ipaddress.IPv4Network, str]:
    """Return a guest network and its gateway, from the parameters gateway and netmask or the zone's default CIDR."""
    if (gateway is None) != (netmask is None):
        missing = "gateway" if gateway is None else "netmask"
        raise MissingParameter(f"parameters gateway and netmask go together: {missing} is missing")
    if gateway is None or netmask is None:
        network = ipaddress.IPv4Network(default)
        return network, str(network[1])
    try:
        router = ipaddress.IPv4Address(gateway.strip())
    except ValueError:
        raise InvalidParameter(f"parameter gateway must be an IPv4 address, not {gateway[:60]!r}") from None
    network = _by_netmask(router, netmask.strip())
    if not LARGEST <= network.prefixlen <= SMALLEST:
        raise InvalidParameter(
            f"parameter netmask: a guest network has a prefix length from /{LARGEST} to /{SMALLEST}, "
            f"not /{network.prefixlen}"
        )
    if router in (network.network_address, network.broadcast_address):
        raise InvalidParameter(f"parameter gateway ({router}) is the network or broadcast address of {network}")
    return network, str(router)


def _by_netmask(router: ipaddress.IPv4Address, netmask: str) -> ipaddress.IPv4Network:
    try:
        mask = ipaddress.IPv4Address(netmask)
        network = ipaddress.IPv4Network(f"{router}/{netmask}", strict=False)
    except ValueError:
        mask, network = None, None
    if network is None or network.netmask != mask:
        raise InvalidParameter(f"parameter netmask must be a netmask such as 255.255.255.0, not {netmask[:60]!r}")
    return network


def is_private(network: ipaddress.IPv4Network) -> bool:
    """Tell whether a network is set aside for private use (RFC 1918)."""
    return any(network.subnet_of(private) for private in PRIVATE)


def tag(text: str, isolation: str) -> int:
    """Return an explicit VLAN id or VXLAN network identifier: "200", "vlan://200", "vxlan://5000"."""
    kind, _, number = text.strip().lower().rpartition("://")
    if kind and kind != isolation.lower():
        raise InvalidParameter(f"parameter vlan: the physical network isolates by {isolation}, not by {kind[:20]}")
    highest = HIGHEST_TAG[isolation]
    if not (number.isascii() and number.isdigit() and len(number) < 9 and 1 <= int(number) <= highest):
        raise InvalidParameter(f"parameter vlan must be a {isolation} tag from 1 to {highest}, not {text[:40]!r}")
    return int(number)
