"""Names of links, bridges, namespaces and tables that belong to one cloud on a host.

A link name has at most 15 characters.  Each is `<prefix><role><hex>`, where the role holds a letter that is no
hexadecimal digit, so that the names of a cloud are never those of another cloud with a longer prefix.
"""

from __future__ import annotations

import re
import zlib

from pileus.wire.segments import Segment

GUEST_LEG = "guest"  # inside a router's namespace
PUBLIC_LEG = "public"
_PREFIX = re.compile(r"[a-z][a-z0-9]{0,3}")
_LINK_ROLES = "gx|gv|vx|vl|rg|rp|gi"


def checked_prefix(prefix: str) -> str:
    """Return the prefix; ValueError unless it is one to four lower-case letters or digits."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"name prefix {prefix!r} must be a letter and up to three more letters or digits")
    return prefix


def guest_bridge(prefix: str, segment: Segment) -> str:
    """Name the bridge of a guest segment on this host."""
    role = "gx" if segment.kind == "vxlan" else "gv"
    return f"{prefix}{role}{_tag(segment)}"


def segment_device(prefix: str, segment: Segment) -> str:
    """Name the VXLAN device or VLAN sub-interface behind the bridge."""
    role = "vx" if segment.kind == "vxlan" else "vl"
    return f"{prefix}{role}{_tag(segment)}"


def public_bridge(prefix: str) -> str:
    """Name the bridge that the public legs of all routers are plugged into."""
    return f"{prefix}pub"


def guest_leg(prefix: str, uuid: str) -> str:
    """Name the host's end of the router's leg in its guest network."""
    return f"{prefix}rg{_short(uuid)}"


def public_leg(prefix: str, uuid: str) -> str:
    """Name the host's end of the router's leg in the public network."""
    return f"{prefix}rp{_short(uuid)}"


def namespace(prefix: str, router: str) -> str:
    """Name the network namespace of a router."""
    return f"{prefix}-{router}"


def tap(prefix: str, nic: str) -> str:
    """Name the host's end of a machine's NIC, by the NIC's uuid; the hypervisor makes and deletes it."""
    return f"{prefix}t{nic.replace('-', '')[:8]}"


def shaper(prefix: str, nic: str) -> str:
    """Name the intermediate device that what comes from a NIC is slowed down in."""
    return f"{prefix}gi{nic.replace('-', '')[:8]}"


def shaped_tap(prefix: str, link: str) -> str:
    """Name the tap that an intermediate device belongs to; "" when the link is none of this cloud's."""
    found = re.fullmatch(rf"{re.escape(prefix)}gi([0-9a-f]+)", link)
    return f"{prefix}t{found[1]}" if found else ""


def host_table(prefix: str) -> str:
    """Name the cloud's nft tables in the host's own namespace."""
    return f"pileus_{prefix}"


def links_pattern(prefix: str) -> re.Pattern[str]:
    """Match the names of all links that the network code of this cloud makes on a host, and no other's."""
    return re.compile(rf"{re.escape(prefix)}(?:pub|(?:{_LINK_ROLES})[0-9a-f]+)")


def _tag(segment: Segment) -> str:
    if segment.kind == "vxlan":
        return f"{segment.tag:x}"
    label = zlib.crc32(segment.label.encode()) & 0xFFFF if segment.label else 0
    return f"{segment.tag:03x}{label:04x}"


def _short(uuid: str) -> str:
    return f"{zlib.crc32(uuid.encode()):08x}"
