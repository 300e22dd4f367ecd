"""The desired state of one virtual router, complete: the agent makes it so, and can again after a reboot."""

from __future__ import annotations

import msgspec

from pileus.wire.segments import Segment

PUBLIC_MTU = 1500
"""Of the public bridge, which a router's leg may not exceed."""


class PublicAddress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An address on the router's public leg."""

    address: str
    prefix: int
    gateway: str
    source_nat: bool = False
    static_nat: str = ""  # guest address that it is mapped to one to one, "" = none


class FirewallRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Inbound traffic let through to a public address (everything else is dropped)."""

    address: str
    protocol: str  # tcp udp icmp all
    start: int | None = None
    end: int | None = None
    icmp_type: int | None = None  # -1 = any
    icmp_code: int | None = None
    sources: list[str] = msgspec.field(default_factory=lambda: ["0.0.0.0/0"])


class EgressRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Outbound traffic that is the exception from the offering's default policy."""

    protocol: str  # tcp udp icmp all
    start: int | None = None
    end: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    sources: list[str] = []  # guest CIDRs; empty = the whole network
    destinations: list[str] = []  # empty = anywhere


class PortForward(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """DNAT of a public port (or range of equal length) to a machine."""

    address: str
    protocol: str  # tcp udp
    start: int
    end: int
    guest_address: str
    guest_start: int
    guest_end: int


class GuestHost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A machine on the guest network, for DHCP, DNS, metadata and the password server."""

    mac: str
    address: str
    name: str
    default: bool = True  # this is the machine's default NIC: hand out gateway and DNS
    metadata: dict[str, str] = {}  # key -> text, as served at /latest/meta-data/<key>
    user_data: str = ""  # base64
    public_keys: list[str] = []
    password: str = ""  # served once, until the guest says that it has it
    password_id: str = ""  # changes with every new password
    dhcp_options: dict[str, str] = {}  # code -> value, beside what every guest is told


class GuestLeg(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The router's leg in a guest network."""

    segment: Segment
    mac: str
    address: str  # the gateway's own address
    prefix: int
    domain: str = ""
    dns: list[str] = []  # what the guests are told; empty = the router itself


class RouterSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything about one router."""

    name: str  # "r-4-VM"
    uuid: str
    generation: int
    guest: GuestLeg
    public_mac: str = ""  # "" = no public leg
    public_mtu: int = PUBLIC_MTU
    public_addresses: list[PublicAddress] = []
    egress_allowed: bool = True  # the offering's default policy; the egress rules are the exceptions
    egress: list[EgressRule] = []
    firewall: list[FirewallRule] = []
    forwards: list[PortForward] = []
    hosts: list[GuestHost] = []
    dns_upstream: list[str] = []
    services: list[str] = []  # Dhcp Dns UserData SourceNat StaticNat PortForwarding Firewall; empty = all of them


class RouterReference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Names a router for an operation that needs no specification."""

    name: str
    generation: int = 0  # refused when older than what the host has applied; 0 = not compared
