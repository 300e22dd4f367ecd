"""A router's desired state -> its nft ruleset: one table, replaced as a whole in one transaction.

Path of a packet: `inbound` (before any translation) keeps forged addresses out and drops what no firewall rule opens
on a public address; `translate` applies static NAT and port forwarding; `forward` lets pass what was translated, and
asks `egress` about what guests begin; `outbound` gives outgoing packets their public address.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv4Network

from pileus.dataplane import checks
from pileus.dataplane.names import GUEST_LEG, PUBLIC_LEG
from pileus.dataplane.openings import Openings, Range, addresses, network_range, numbers, openings, union
from pileus.dataplane.ruleset import Collection, Ruleset, block, whole
from pileus.wire.router import EgressRule, PortForward, RouterSpec

TABLE = "pileus"  # in family ip, inside the router's own namespace


def render_router(spec: RouterSpec) -> str:
    """Render the file for `nft -f`; raises SpecError for a specification that contradicts itself."""
    return whole(router_ruleset(spec))


def router_ruleset(spec: RouterSpec) -> Ruleset:
    """Work out the router's table; raises SpecError for a specification that contradicts itself."""
    checks.check_router(spec)
    network = checks.guest_network(spec)
    opened = openings(spec.firewall)
    chains = [
        *_inbound(network),
        *_opened(opened),
        *_translate(),
        *_forward(),
        *_egress(spec),
        *_input(spec),
        *_outbound(spec, network),
    ]
    return Ruleset(TABLE, [*_maps(spec), *_opened_sets(opened)], chains)


def offers(spec: RouterSpec, *services: str) -> bool:
    """Tell whether the router offers one of the services; a specification that names none offers all."""
    return not spec.services or any(service in spec.services for service in services)


def _maps(spec: RouterSpec) -> list[Collection]:
    static = [public for public in spec.public_addresses if public.static_nat]
    inward = sorted(f"{public.address} : {public.static_nat}" for public in static)
    outward = sorted(f"{public.static_nat} : {public.address}" for public in static)
    owned = sorted(public.address for public in spec.public_addresses)
    found = [
        Collection("set", "addresses", "ipv4_addr", owned),
        Collection("map", "static_in", "ipv4_addr : ipv4_addr", inward),
        Collection("map", "static_out", "ipv4_addr : ipv4_addr", outward),
    ]
    key = "ipv4_addr . inet_service"
    for protocol in ("tcp", "udp"):
        shifted, straight = _forwards(each for each in spec.forwards if each.protocol == protocol)
        found.append(Collection("map", f"{protocol}_ports", f"{key} : ipv4_addr . inet_service", shifted))
        found.append(Collection("map", f"{protocol}_ranges", f"{key} : ipv4_addr", straight, "interval"))
    return found


def _forwards(forwards: Iterable[PortForward]) -> tuple[list[str], list[str]]:
    """Split into single ports (each with its own target port) and ranges whose port numbers stay."""
    shifted: list[str] = []
    straight: list[str] = []
    for each in sorted(forwards, key=lambda each: (each.address, each.start)):
        if each.start == each.guest_start and each.start != each.end:
            straight.append(f"{each.address} . {each.start}-{each.end} : {each.guest_address}")
            continue
        shifted += [
            f"{each.address} . {each.start + step} : {each.guest_address} . {each.guest_start + step}"
            for step in range(each.end - each.start + 1)
        ]
    return shifted, straight


def _opened_sets(opened: Openings) -> list[Collection]:
    exact = [f"{address} . {protocol} . {port}" for address, protocol, port in opened.exact]
    ranged = [
        f"{address} . {protocol} . {addresses(sources)} . {numbers(ports)}"
        for address, protocol, sources, ports in opened.ranged
    ]
    whole_addresses = [f"{address} . {addresses(sources)}" for address, sources in opened.whole]
    service = "ipv4_addr . inet_proto . ipv4_addr . inet_service"
    return [
        Collection("set", "open_ports", "ipv4_addr . inet_proto . inet_service", exact),
        Collection("set", "open_ranges", service, ranged, "interval"),
        Collection("set", "open_all", "ipv4_addr . ipv4_addr", whole_addresses, "interval"),
    ]


def _inbound(network: IPv4Network) -> list[str]:
    return block(
        "chain",
        "inbound",
        [
            "type filter hook prerouting priority mangle; policy accept;",
            "ct state invalid drop",
            f'iifname "{GUEST_LEG}" ip saddr != {{ 0.0.0.0, {network} }} drop',
            f'iifname "{PUBLIC_LEG}" ip saddr {network} drop',
            "ct state established,related accept",
            "ip daddr @addresses jump opened",
            f'iifname "{PUBLIC_LEG}" drop',
        ],
    )


def _opened(opened: Openings) -> list[str]:
    body = [
        "ip daddr . meta l4proto . th dport @open_ports accept",
        "ip daddr . meta l4proto . ip saddr . th dport @open_ranges accept",
        "ip daddr . ip saddr @open_all accept",
    ]
    for (kind, code), elements in opened.icmp.items():
        pairs = ", ".join(f"{address} . {addresses(sources)}" for address, sources in elements)
        body.append(f"{_icmp(kind, code)} ip daddr . ip saddr {{ {pairs} }} accept")
    for address, protocol, sources, ports in opened.linear:
        spans = ", ".join(addresses(span) for span in sources)
        body.append(f"ip daddr {address} ip saddr {{ {spans} }} {protocol} dport {numbers(ports)} accept")
    return block("chain", "opened", [*body, "counter drop"])


def _icmp(kind: int, code: int) -> str:
    if kind < 0:
        return "meta l4proto icmp"
    return f"icmp type {kind}" if code < 0 else f"icmp type {kind} icmp code {code}"


def _translate() -> list[str]:
    """Render static NAT and port forwarding; the same for every router, as only the maps differ."""
    body = ["type nat hook prerouting priority dstnat; policy accept;", "dnat to ip daddr map @static_in"]
    for protocol in ("tcp", "udp"):
        body.append(f"dnat ip to ip daddr . {protocol} dport map @{protocol}_ports")
        body.append(f"dnat to ip daddr . {protocol} dport map @{protocol}_ranges")
    return block("chain", "translate", body)


def _forward() -> list[str]:
    return block(
        "chain",
        "forward",
        [
            "type filter hook forward priority filter; policy drop;",
            "ct state invalid drop",
            "tcp flags syn tcp option maxseg size set rt mtu",
            "ct state established,related accept",
            f'oifname "{GUEST_LEG}" ct status dnat accept',
            f'iifname "{GUEST_LEG}" oifname "{PUBLIC_LEG}" jump egress',
        ],
    )


def _egress(spec: RouterSpec) -> list[str]:
    """Render what guests may begin; a machine without a public address to wear goes nowhere."""
    verdict, policy = ("drop", "accept") if spec.egress_allowed else ("accept", "drop")
    body: list[str] = []
    if not any(public.source_nat for public in spec.public_addresses):
        mapped = sorted(public.static_nat for public in spec.public_addresses if public.static_nat)
        body.append(f"ip saddr != {{ {', '.join(mapped)} }} drop" if mapped else "drop")
    grouped: dict[tuple[str, str], list[EgressRule]] = defaultdict(list)
    for rule in spec.egress:
        match = _cidrs("saddr", rule.sources) + _cidrs("daddr", rule.destinations)
        grouped[rule.protocol, match].append(rule)
    for (protocol, match), rules in sorted(grouped.items()):
        body += [f"{match}{each}{verdict}" for each in _services(protocol, rules)]
    return block("chain", "egress", [*body, policy])


def _services(protocol: str, rules: list[EgressRule]) -> list[str]:
    if protocol == "all":
        return [""]
    if protocol == "icmp":
        kinds = {
            (-1 if r.icmp_type is None else r.icmp_type, -1 if r.icmp_code is None else r.icmp_code) for r in rules
        }
        return [_icmp(*kind) + " " for kind in sorted(kinds)]
    spans = union(checks.ports(rule.start, rule.end) for rule in rules)
    return [f"{protocol} dport {{ {', '.join(numbers(span) for span in spans)} }} "]


def _cidrs(field: str, cidrs: list[str]) -> str:
    spans: list[Range] = union(network_range(text) for text in cidrs)
    if not spans:
        return ""
    return f"ip {field} {{ {', '.join(addresses(span) for span in spans)} }} "


def _input(spec: RouterSpec) -> list[str]:
    """Render what the router itself answers; a ping from outside came here only by a firewall rule."""
    tcp = ["53"] if offers(spec, "Dns") else []
    if offers(spec, "UserData"):
        tcp += ["80", "8080"]
    udp = [port for port, service in (("53", "Dns"), ("67", "Dhcp")) if offers(spec, service)]
    body = [
        "type filter hook input priority filter; policy drop;",
        'iifname "lo" accept',
        "ct state invalid drop",
        "ct state established,related accept",
        "meta l4proto icmp accept",
    ]
    for protocol, ports in (("udp", udp), ("tcp", tcp)):
        if ports:
            body.append(f'iifname "{GUEST_LEG}" {protocol} dport {{ {", ".join(ports)} }} accept')
    return block("chain", "input", body)


def _outbound(spec: RouterSpec, network: IPv4Network) -> list[str]:
    """Render source NAT; a guest that reaches a neighbour by a public address seems to be the router itself."""
    body = [
        "type nat hook postrouting priority srcnat; policy accept;",
        f'oifname "{GUEST_LEG}" ip saddr {network} ct status dnat snat to {spec.guest.address}',
        f'oifname "{PUBLIC_LEG}" snat to ip saddr map @static_out',
    ]
    for public in spec.public_addresses:
        if public.source_nat:
            body.append(f'oifname "{PUBLIC_LEG}" ip saddr {network} snat to {public.address}')
    return block("chain", "outbound", body)
