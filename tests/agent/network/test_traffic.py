"""What passes a router and what does not, seen from guests and from the internet."""

from __future__ import annotations

import msgspec

from pileus.wire.router import EgressRule, FirewallRule, PortForward, PublicAddress, RouterSpec
from tests.support.network import Client, Lab

SHARED = "203.0.113.10"
OWN = "203.0.113.11"
INTERNET = "203.0.113.200"


def opened(address: str, port: int, **more: object) -> FirewallRule:
    return FirewallRule(address=address, protocol="tcp", start=port, end=port, **more)  # type: ignore[arg-type]


def forward(start: int, end: int, guest_start: int, guest: str = "10.1.1.5") -> PortForward:
    return PortForward(
        address=SHARED,
        protocol="tcp",
        start=start,
        end=end,
        guest_address=guest,
        guest_start=guest_start,
        guest_end=guest_start + end - start,
    )


def static(guest: str) -> list[PublicAddress]:
    return [
        PublicAddress(address=SHARED, prefix=24, gateway="203.0.113.1", source_nat=True),
        PublicAddress(address=OWN, prefix=24, gateway="203.0.113.1", static_nat=guest),
    ]


def test_guests_go_out_by_the_source_nat_address(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    assert web.ask(INTERNET, 80) == f"net {SHARED}"
    assert web.pings(INTERNET)


def test_a_public_address_answers_nothing_by_default(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    assert internet.ask(SHARED, 80) == ""
    assert internet.ask(SHARED, 53) == ""
    assert internet.ask(SHARED, 8080) == ""
    assert not internet.pings(SHARED)


def test_ping_needs_an_icmp_rule(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    lab.apply(firewall=[FirewallRule(address=SHARED, protocol="icmp", icmp_type=8, icmp_code=0)])
    assert internet.pings(SHARED)
    assert internet.ask(SHARED, 80) == ""


def test_port_forwarding_needs_a_firewall_rule(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    lab.apply(forwards=[forward(8080, 8080, 80)])
    assert internet.ask(SHARED, 8080) == ""
    lab.apply(firewall=[opened(SHARED, 8080)])
    assert internet.ask(SHARED, 8080) == f"web {INTERNET}"
    lab.apply(firewall=[])
    assert internet.ask(SHARED, 8080) == ""


def test_a_firewall_rule_alone_opens_nothing_of_the_router(
    lab: Lab, spec: RouterSpec, web: Client, internet: Client
) -> None:
    lab.apply(firewall=[FirewallRule(address=SHARED, protocol="all")])
    assert internet.ask(SHARED, 80) == ""
    assert internet.ask(SHARED, 53) == ""


def test_ranges_of_ports(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    rule = FirewallRule(address=SHARED, protocol="tcp", start=8000, end=9100)
    lab.apply(firewall=[rule], forwards=[forward(8000, 8009, 8000), forward(9000, 9009, 8000)])
    assert internet.ask(SHARED, 8001) == f"web {INTERNET}", "a range with the same ports"
    assert internet.ask(SHARED, 9001) == f"web {INTERNET}", "a range with other ports inside"
    assert internet.ask(SHARED, 8002) == "refused", "a port of the range on which the guest does not listen"
    assert internet.ask(SHARED, 8010) == ""


def test_sources_of_a_rule(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    lab.apply(forwards=[forward(80, 80, 80)], firewall=[opened(SHARED, 80, sources=["198.51.100.0/24"])])
    assert internet.ask(SHARED, 80) == ""
    lab.apply(firewall=[opened(SHARED, 80, sources=["198.51.100.0/24", "203.0.113.192/26"])])
    assert internet.ask(SHARED, 80) == f"web {INTERNET}"


def test_static_nat_both_ways(lab: Lab, spec: RouterSpec, web: Client, db: Client, internet: Client) -> None:
    lab.apply(public_addresses=static("10.1.1.5"))
    assert internet.ask(OWN, 80) == "", "closed until a rule opens it"
    assert web.ask(INTERNET, 80) == f"net {OWN}", "it leaves by its own address"
    assert db.ask(INTERNET, 80) == f"net {SHARED}", "its neighbour by the shared one"
    lab.apply(firewall=[opened(OWN, 80)])
    assert internet.ask(OWN, 80) == f"web {INTERNET}"
    lab.apply(public_addresses=static("10.1.1.6"))
    assert internet.ask(OWN, 80) == f"db {INTERNET}"


def test_another_address_becomes_the_source_nat_address(
    lab: Lab, spec: RouterSpec, web: Client, internet: Client
) -> None:
    both = static("")
    swapped = [msgspec.structs.replace(each, source_nat=not each.source_nat) for each in both]
    rules = {"firewall": [opened(SHARED, 8080)], "forwards": [forward(8080, 8080, 80)]}
    lab.apply(public_addresses=both, **rules)
    assert web.ask(INTERNET, 80) == f"net {SHARED}"
    lab.apply(public_addresses=swapped, **rules)
    assert web.ask(INTERNET, 80) == f"net {OWN}"
    assert internet.ask(SHARED, 8080) == f"web {INTERNET}", "the former one goes on with its rules"
    lab.apply(public_addresses=both)
    assert web.ask(INTERNET, 80) == f"net {SHARED}"


def test_guests_reach_their_own_public_addresses(
    lab: Lab, spec: RouterSpec, web: Client, db: Client, internet: Client
) -> None:
    lab.apply(
        public_addresses=static("10.1.1.5"),
        firewall=[opened(OWN, 80), opened(SHARED, 8080)],
        forwards=[forward(8080, 8080, 80)],
    )
    assert db.ask(OWN, 80).startswith("web ")
    assert db.ask(SHARED, 8080).startswith("web ")
    assert web.ask(OWN, 80).startswith("web "), "even itself"
    assert web.ask(SHARED, 8081) == ""


def test_egress_allowed_with_exceptions(lab: Lab, spec: RouterSpec, web: Client, db: Client, internet: Client) -> None:
    lab.apply(egress=[EgressRule(protocol="tcp", start=25, end=25, sources=["10.1.1.5/32"])])
    assert web.ask(INTERNET, 25) == ""
    assert web.ask(INTERNET, 80) == f"net {SHARED}"
    assert db.ask(INTERNET, 25) == f"net {SHARED}"


def test_egress_denied_with_exceptions(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    lab.apply(egress_allowed=False)
    assert web.ask(INTERNET, 80) == ""
    assert not web.pings(INTERNET)
    lab.apply(egress=[EgressRule(protocol="tcp", start=80, end=80, destinations=["203.0.113.0/24"])])
    assert web.ask(INTERNET, 80) == f"net {SHARED}"
    assert web.ask(INTERNET, 25) == ""


def test_forged_addresses_do_not_pass(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    lab.apply(forwards=[forward(80, 80, 80)], firewall=[opened(SHARED, 80)])
    internet.run(["ip", "addr", "add", "10.1.1.77/32", "dev", "eth0"])
    internet.run(["ip", "route", "add", "10.1.1.0/24", "via", SHARED])
    try:
        assert internet.ask("10.1.1.5", 80) == "", "no way into the guest network but translation"
        internet.run(["ip", "route", "replace", f"{SHARED}/32", "dev", "eth0", "src", "10.1.1.77"])
        assert internet.ask(SHARED, 80) == "", "no guest's address comes from outside"
    finally:
        internet.run(["ip", "route", "del", f"{SHARED}/32"])
        internet.run(["ip", "route", "del", "10.1.1.0/24"])
        internet.run(["ip", "addr", "del", "10.1.1.77/32", "dev", "eth0"])
    assert internet.ask(SHARED, 80) == f"web {INTERNET}"


def test_connections_outlive_a_change_of_rules(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    addresses = static("10.1.1.6")
    for number in range(20):
        changed = [msgspec.structs.replace(addresses[0]), *addresses[1 : 1 + number % 2]]
        lab.apply(public_addresses=changed)
        assert web.ask(INTERNET, 80) == f"net {SHARED}"
