"""What may come from a machine: frames with the NIC's own MAC and IPv4 address, and nothing that plays a DHCP server.

One nft table of the bridge family holds the NICs of all machines of a cloud on a host.  A frame is looked up by
tap, MAC and address, so it costs the same however many machines there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pileus.dataplane import checks, names
from pileus.wire.machines import Nic

_FROM_GUEST = (
    "iifname . ether saddr != @stations counter drop",
    "iifname @free accept",
    # Before it takes an address a guest asks whether somebody has it, as nobody (RFC 5227); that tells no neighbour
    # anything.
    "arp operation request arp saddr ip 0.0.0.0 iifname . arp saddr ether @stations accept",
    "ether type arp iifname . arp saddr ether . arp saddr ip != @identities counter drop",
    "ether type arp accept",
    "ether type != ip counter drop",  # also tagged frames, IPv6, and what bridges tell one another
    "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept",
    "udp sport 67 udp dport 68 counter drop",
    "iifname . ether saddr . ip saddr != @identities counter drop",
)


def render_guard(prefix: str, nics: Iterable[Nic]) -> str:
    """Render the table for `nft -f`; raises SpecError for a NIC whose MAC or address is none.

    A NIC without an address is free to use any, but only with its own MAC.
    """
    plugs = sorted((names.tap(prefix, nic.uuid), checks.mac(nic.mac), nic.address) for nic in nics)
    table = names.host_table(prefix)
    lines = [
        f"add table bridge {table}",
        f"delete table bridge {table}",
        f"table bridge {table} {{",
        *_set("taps", "ifname", [_quoted(tap) for tap, _, _ in plugs]),
        *_set("stations", "ifname . ether_addr", [f"{_quoted(tap)} . {mac}" for tap, mac, _ in plugs]),
        *_set(
            "identities",
            "ifname . ether_addr . ipv4_addr",
            [f"{_quoted(tap)} . {mac} . {checks.address(address)}" for tap, mac, address in plugs if address],
        ),
        *_set("free", "ifname", [_quoted(tap) for tap, _, address in plugs if not address]),
        "\tchain from_guest {",
        *(f"\t\t{rule}" for rule in _FROM_GUEST),
        "\t}",
        "\tchain arriving {",
        "\t\ttype filter hook prerouting priority dstnat; policy accept;",
        "\t\tiifname @taps jump from_guest",
        "\t}",
        "}",
        "",
    ]
    return "\n".join(lines)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _set(name: str, kind: str, elements: Sequence[str]) -> list[str]:
    lines = [f"\tset {name} {{", f"\t\ttype {kind}"]
    if elements:
        lines += ["\t\telements = {", *(f"\t\t\t{element}," for element in elements), "\t\t}"]
    return [*lines, "\t}"]
