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
