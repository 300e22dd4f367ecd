"""Layer-2 segments: the isolated wire that a guest network is, on every host that takes part in it."""

from __future__ import annotations

from typing import Literal

import msgspec


class Segment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A guest network's wire: a Linux bridge, and behind it a VXLAN or a VLAN between hosts."""

    kind: Literal["vxlan", "vlan"]
    tag: int  # VNI (24 bit) or VLAN id (12 bit)
    mtu: int = 1450
    label: str = ""  # traffic label: the interface that carries it; "" = the host's default
    peers: list[str] = []  # tunnel addresses of the other hosts that have it (VXLAN, head-end replication)


class SegmentState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a host made of a segment."""

    bridge: str  # "" = it is not on the host (any more)


class PublicNetwork(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The public network on a host: a bridge for the routers' public legs, and who its gateway is."""

    addresses: list[str] = []  # the host's own on the bridge, when it is the gateway: "203.0.113.1/24"
    interface: str = ""  # a real interface to attach, where the gateway is; "" = the host itself is the gateway
    open_ports: list[int] = []  # TCP ports of the host that guests may reach, such as the API's
