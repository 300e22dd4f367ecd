"""Router specifications of which the rendered files are kept."""

from __future__ import annotations

from pileus.wire.router import (
    EgressRule,
    FirewallRule,
    GuestHost,
    GuestLeg,
    PortForward,
    PublicAddress,
    RouterSpec,
)
from pileus.wire.segments import Segment

GATEWAY = "203.0.113.1"
OFFICES = ["198.51.100.0/24", "192.0.2.7/32"]


def _leg(domain: str = "cs1.example") -> GuestLeg:
    segment = Segment(kind="vxlan", tag=100)
    return GuestLeg(segment=segment, mac="02:00:00:00:01:01", address="10.1.1.1", prefix=24, domain=domain)


def _public(address: str, *, source_nat: bool = False, static_nat: str = "") -> PublicAddress:
    return PublicAddress(address=address, prefix=24, gateway=GATEWAY, source_nat=source_nat, static_nat=static_nat)


EMPTY = RouterSpec(
    name="r-1-VM",
    uuid="1",
    generation=1,
    guest=_leg(),
    public_mac="06:00:00:00:00:01",
    public_addresses=[_public("203.0.113.10", source_nat=True)],
)

FULL = RouterSpec(
    name="r-2-VM",
    uuid="2",
    generation=7,
    guest=_leg(),
    public_mac="06:00:00:00:00:02",
    public_addresses=[
        _public("203.0.113.10", source_nat=True),
        _public("203.0.113.11", static_nat="10.1.1.5"),
        _public("203.0.113.12"),
    ],
    egress=[
        EgressRule(protocol="tcp", start=25, end=25),
        EgressRule(protocol="tcp", start=6000, end=6063, sources=["10.1.1.5/32"], destinations=["198.51.100.0/24"]),
        EgressRule(protocol="icmp", icmp_type=-1, icmp_code=-1, destinations=["192.0.2.0/24"]),
        EgressRule(protocol="all", sources=["10.1.1.64/26"]),
    ],
    firewall=[
        FirewallRule(address="203.0.113.10", protocol="tcp", start=22, end=22),
        FirewallRule(address="203.0.113.10", protocol="tcp", start=80, end=90),
        FirewallRule(address="203.0.113.10", protocol="tcp", start=85, end=99, sources=OFFICES),
        FirewallRule(address="203.0.113.10", protocol="icmp", icmp_type=8, icmp_code=0),
        FirewallRule(address="203.0.113.11", protocol="all", sources=["198.51.100.0/25", "198.51.100.128/25"]),
        FirewallRule(address="203.0.113.11", protocol="icmp", icmp_type=-1, icmp_code=-1),
        FirewallRule(address="203.0.113.12", protocol="udp"),
    ],
    forwards=[
        PortForward(
            address="203.0.113.10", protocol="tcp", start=80, end=80,
            guest_address="10.1.1.6", guest_start=8080, guest_end=8080,
        ),
        PortForward(
            address="203.0.113.10", protocol="tcp", start=85, end=87,
            guest_address="10.1.1.6", guest_start=1085, guest_end=1087,
        ),
        PortForward(
            address="203.0.113.12", protocol="udp", start=5000, end=5999,
            guest_address="10.1.1.6", guest_start=5000, guest_end=5999,
        ),
    ],
    hosts=[
        GuestHost(mac="02:00:00:00:00:05", address="10.1.1.5", name="web"),
        GuestHost(mac="02:00:00:00:00:06", address="10.1.1.6", name="db", default=False),
    ],
    dns_upstream=["192.0.2.53", "192.0.2.54"],
)  # fmt: skip

DENIED = RouterSpec(
    name="r-3-VM",
    uuid="3",
    generation=2,
    guest=_leg(),
    public_mac="06:00:00:00:00:03",
    public_addresses=[_public("203.0.113.11", static_nat="10.1.1.5")],
    egress_allowed=False,
    egress=[EgressRule(protocol="udp", start=53), EgressRule(protocol="tcp")],
)

INSIDE = RouterSpec(name="r-4-VM", uuid="4", generation=1, guest=_leg(domain=""), services=["Dhcp", "UserData"])

OPTIONS = RouterSpec(
    name="r-5-VM",
    uuid="5",
    generation=1,
    guest=_leg(),
    hosts=[
        GuestHost(
            mac="02:00:00:00:00:05", address="10.1.1.5", name="web",
            dhcp_options={
                "42": "192.0.2.1,192.0.2.2", "66": "http://boot.example/x", "2": "3600", "15": "a.example", "114": "/x",
                "230": "free", "17": "/root:/other",
            },
        ),
        GuestHost(mac="02:00:00:00:00:06", address="10.1.1.6", name="db", default=False, dhcp_options={"23": "64"}),
    ],
)  # fmt: skip

SPECS = {"empty": EMPTY, "full": FULL, "denied": DENIED, "inside": INSIDE, "options": OPTIONS}
