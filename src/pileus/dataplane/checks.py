"""Is a router's desired state sound?  Checked before rendering, so that no name can smuggle syntax."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network

from pileus.dataplane import dhcp_options
from pileus.wire.router import PUBLIC_MTU, EgressRule, FirewallRule, GuestHost, PortForward, RouterSpec
from pileus.wire.segments import Segment

PORTS = (1, 65535)
_ROUTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")


class SpecError(ValueError):
    """The desired state contradicts itself, or holds something that is not what its field says."""


def check_router(spec: RouterSpec) -> None:
    """Raise SpecError, with a sentence for people, unless the whole specification is sound."""
    router_name(spec.name)
    check_segment(spec.guest.segment)
    mac(spec.guest.mac)
    network = guest_network(spec)
    if spec.guest.domain:
        domain(spec.guest.domain)
    for each in (*spec.guest.dns, *spec.dns_upstream):
        address(each)
    if spec.public_mac:
        mac(spec.public_mac)
    if not 576 <= spec.public_mtu <= PUBLIC_MTU:
        raise SpecError(f"public MTU {spec.public_mtu} is not within 576..{PUBLIC_MTU}")
    known = _check_public(spec, network)
    for rule in spec.firewall:
        _check_rule(rule)
        _member(known, rule.address, "firewall rule")
    for rule in spec.egress:
        _check_rule(rule)
        for each in rule.destinations:
            cidr(each)
    _check_forwards(spec.forwards, known)
    _check_hosts(spec.hosts, network)


def router_name(text: str) -> str:
    """Return a router's name, which becomes a namespace and a folder."""
    if not _ROUTER.fullmatch(text):
        raise SpecError(f"{text!r} is no router name: letters, digits, dots, dashes and underscores, at most 63")
    return text


def check_segment(segment: Segment) -> None:
    """Raise SpecError unless tag, MTU, label and peers are possible."""
    top = 0xFFFFFF if segment.kind == "vxlan" else 4094
    if not 1 <= segment.tag <= top:
        raise SpecError(f"{segment.kind} tag {segment.tag} is not within 1..{top}")
    if not 576 <= segment.mtu <= 65000:
        raise SpecError(f"MTU {segment.mtu} is not within 576..65000")
    if segment.label and not _INTERFACE.fullmatch(segment.label):
        raise SpecError(f"traffic label {segment.label!r} is no interface name")
    for peer in segment.peers:
        address(peer)


def guest_network(spec: RouterSpec) -> IPv4Network:
    """Return the guest network of the router's leg."""
    address(spec.guest.address)
    if not 8 <= spec.guest.prefix <= 30:
        raise SpecError(f"guest prefix length {spec.guest.prefix} is not within 8..30")
    return IPv4Interface(f"{spec.guest.address}/{spec.guest.prefix}").network


@functools.lru_cache(8192)
def address(text: str) -> str:
    """Return a dotted IPv4 address."""
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        raise SpecError(f"{text!r} is no IPv4 address") from None


@functools.lru_cache(8192)
def cidr(text: str) -> IPv4Network:
    """Return an IPv4 network; host bits are cleared."""
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        raise SpecError(f"{text!r} is no IPv4 CIDR") from None


def mac(text: str) -> str:
    """Return a MAC address in lower case."""
    if not _MAC.fullmatch(text):
        raise SpecError(f"{text!r} is no MAC address")
    return text.lower()


def domain(text: str) -> str:
    """Return a DNS name."""
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise SpecError(f"{text!r} is no DNS name")
    return text


def _check_public(spec: RouterSpec, network: IPv4Network) -> set[str]:
    known: set[str] = set()
    mapped: set[str] = set()
    for public in spec.public_addresses:
        if not spec.public_mac:
            raise SpecError("the router has public addresses, but no public leg: public_mac is empty")
        if address(public.address) in known:
            raise SpecError(f"public address {public.address} is there twice")
        known.add(public.address)
        if public.gateway:
            address(public.gateway)
        if not 1 <= public.prefix <= 32:
            raise SpecError(f"prefix length {public.prefix} of {public.address} is not within 1..32")
        if IPv4Address(public.address) in network:
            raise SpecError(f"public address {public.address} lies in the guest network {network}")
        if public.static_nat:
            address(public.static_nat)
            if public.static_nat in mapped:
                raise SpecError(f"two public addresses have static NAT to {public.static_nat}")
            mapped.add(public.static_nat)
    if sum(public.source_nat for public in spec.public_addresses) > 1:
        raise SpecError("more than one public address is marked for source NAT")
    return known


def _check_rule(rule: FirewallRule | EgressRule) -> None:
    if rule.protocol not in ("tcp", "udp", "icmp", "all"):
        raise SpecError(f"protocol {rule.protocol!r} is none of tcp, udp, icmp, all")
    ports(rule.start, rule.end)
    for number in (rule.icmp_type, rule.icmp_code):
        if number is not None and not -1 <= number <= 255:
            raise SpecError(f"ICMP type or code {number} is not within -1..255")
    for each in rule.sources:
        cidr(each)


def ports(start: int | None, end: int | None) -> tuple[int, int]:
    """Return the range of ports; no start means all, no end means one port."""
    if start is None:
        return PORTS
    last = start if end is None else end
    if not PORTS[0] <= start <= last <= PORTS[1]:
        raise SpecError(f"ports {start}-{last} are no range within 1..65535")
    return start, last


def _member(known: Iterable[str], text: str, what: str) -> None:
    if text not in known:
        raise SpecError(f"a {what} names the address {text}, which the router does not have")


def _check_forwards(forwards: list[PortForward], known: set[str]) -> None:
    taken: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for each in forwards:
        if each.protocol not in ("tcp", "udp"):
            raise SpecError(f"port forwarding knows tcp and udp, not {each.protocol!r}")
        _member(known, each.address, "port-forwarding rule")
        address(each.guest_address)
        outer, inner = ports(each.start, each.end), ports(each.guest_start, each.guest_end)
        if outer[1] - outer[0] != inner[1] - inner[0]:
            raise SpecError(f"public ports {outer} and guest ports {inner} differ in number")
        taken.setdefault((each.address, each.protocol), []).append(outer)
    for (where, protocol), ranges in taken.items():
        ranges.sort()
        for (_, end), (start, _) in itertools.pairwise(ranges):
            if start <= end:
                raise SpecError(f"{protocol} port {start} of {where} is forwarded twice")


def _dhcp_option(code: str, value: str) -> None:
    try:
        kept = dhcp_options.check(code, value)
    except ValueError as error:
        raise SpecError(str(error)) from None
    if kept != (code, value):
        raise SpecError(f"DHCP option {code!r} is not as it is to be written")


def _check_hosts(hosts: list[GuestHost], network: IPv4Network) -> None:
    macs: set[str] = set()
    addresses: set[str] = set()
    for host in hosts:
        domain(host.name)
        for code, value in host.dhcp_options.items():
            _dhcp_option(code, value)
        if IPv4Address(address(host.address)) not in network:
            raise SpecError(f"the machine {host.name} has {host.address}, which is not in {network}")
        if mac(host.mac) in macs or host.address in addresses:
            raise SpecError(f"MAC or address of the machine {host.name} is there twice")
        macs.add(mac(host.mac))
        addresses.add(host.address)
