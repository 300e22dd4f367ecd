"""The host's own nft table of one cloud: what may pass between its bridges, the host, and the world.

Guests never reach the host itself but for ping and the ports that the cloud names.  Without an uplink nothing that
comes from the cloud's bridges is forwarded to any other interface, and nothing from others into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Interface

from pileus.dataplane import names


def render_host(prefix: str, addresses: Sequence[str], uplink: str = "", open_ports: Sequence[int] = ()) -> str:
    """Render the table for `nft -f`.

    `addresses` are the host's own on the public bridge, with their prefix length; `uplink` is the interface that
    guests' outbound traffic may leave by, "" for none; `open_ports` are TCP ports of the host that guests may reach.
    """
    table = names.host_table(prefix)
    public = names.public_bridge(prefix)
    networks = sorted({str(IPv4Interface(address).network) for address in addresses})
    guest = (f"{prefix}gx*", f"{prefix}gv*")
    forward = [f'iifname "{bridge}" oifname "{bridge}" accept' for bridge in (public, *guest)]
    nat: list[str] = []
    if uplink:
        forward += [
            f'iifname "{public}" oifname "{uplink}" accept',
            f'iifname "{uplink}" oifname "{public}" accept',
        ]
        nat = [f'oifname "{uplink}" ip saddr {{ {", ".join(networks)} }} masquerade'] if networks else []
    for bridge in (public, *guest):
        forward += [f'iifname "{bridge}" counter drop', f'oifname "{bridge}" counter drop']
    inward = [
        f'iifname "{public}" ct state established,related accept',
        f'iifname "{public}" meta l4proto icmp accept',
    ]
    if open_ports:
        ports = ", ".join(str(port) for port in sorted(set(open_ports)))
        inward.append(f'iifname "{public}" tcp dport {{ {ports} }} accept')
    inward += [f'iifname "{bridge}" counter drop' for bridge in (public, *guest)]
    lines = [
        f"add table inet {table}",
        f"delete table inet {table}",
        f"table inet {table} {{",
        *_chain("forward", "filter hook forward priority filter - 5", forward),
        *_chain("inward", "filter hook input priority filter - 5", inward),
        *(_chain("outward", "nat hook postrouting priority srcnat", nat) if nat else []),
        "}",
        "",
    ]
    return "\n".join(lines)


def _chain(name: str, hook: str, rules: list[str]) -> list[str]:
    return [f"\tchain {name} {{", f"\t\ttype {hook}; policy accept;", *(f"\t\t{rule}" for rule in rules), "\t}"]
