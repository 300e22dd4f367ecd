"""Pure rules of infrastructure: addresses, tag ranges, tags of hosts, the words for states."""

from __future__ import annotations

import ipaddress
import itertools
import re

from pileus.core.errors import InvalidParameter
from pileus.scheduling import tag_rules

ENABLED, DISABLED, MAINTENANCE = "Enabled", "Disabled", "Maintenance"
BASIC, ADVANCED = "Basic", "Advanced"
KVM, SIMULATOR = "KVM", "Simulator"
HYPERVISORS = (KVM, SIMULATOR)
VLAN, VXLAN = "VLAN", "VXLAN"
HIGHEST_TAG = {VLAN: 4094, VXLAN: 16_777_214}
TRAFFIC_TYPES = ("Public", "Guest", "Management", "Storage")
ARCHITECTURE = "x86_64"

Ranges = list[tuple[int, int]]
"""Tag ranges, both ends inclusive, sorted and apart."""

_TAG = re.compile(r"^[^\s,]{1,255}$")


def one_of(parameter: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return the allowed word that the value is, ignoring case."""
    for word in allowed:
        if value.strip().lower() == word.lower():
            return word
    raise InvalidParameter(f"parameter {parameter} must be one of {', '.join(allowed)}, not {value[:60]!r}")


def allocation_state(value: str) -> str:
    """Return Enabled or Disabled."""
    return one_of("allocationstate", value, (ENABLED, DISABLED))


def address(parameter: str, value: str) -> str:
    """Return an IPv4 address in its usual form."""
    try:
        return str(ipaddress.IPv4Address(value.strip()))
    except ValueError:
        raise InvalidParameter(f"parameter {parameter} must be an IPv4 address, not {value[:60]!r}") from None


def address6(parameter: str, value: str) -> str:
    """Return an IPv6 address in its usual form."""
    try:
        return str(ipaddress.IPv6Address(value.strip()))
    except ValueError:
        raise InvalidParameter(f"parameter {parameter} must be an IPv6 address, not {value[:60]!r}") from None


def cidr(parameter: str, value: str) -> str:
    """Return an IPv4 network (no host bits set) such as 10.1.1.0/24."""
    try:
        return str(ipaddress.IPv4Network(value.strip()))
    except ValueError:
        raise InvalidParameter(
            f"parameter {parameter} must be an IPv4 network such as 10.1.1.0/24, not {value[:60]!r}"
        ) from None


def netmask(parameter: str, value: str, gateway: str) -> ipaddress.IPv4Network:
    """Return the network of a gateway with this netmask."""
    if "." not in value:
        raise InvalidParameter(f"parameter {parameter} must be a netmask such as 255.255.255.0, not {value[:60]!r}")
    try:
        network = ipaddress.IPv4Network(f"{gateway}/{value.strip()}", strict=False)
    except ValueError:
        raise InvalidParameter(
            f"parameter {parameter} must be a netmask such as 255.255.255.0, not {value[:60]!r}"
        ) from None
    if str(network.netmask) != value.strip():
        raise InvalidParameter(f"parameter {parameter} must be a netmask, not a host mask: {value[:60]!r}")
    return network


def address_range(network: ipaddress.IPv4Network, start: str, end: str) -> tuple[int, int]:
    """Return the numbers of the first and last address of a range that must lie within the network."""
    first = ipaddress.IPv4Address(address("startip", start))
    last = ipaddress.IPv4Address(address("endip", end))
    if first > last:
        raise InvalidParameter(f"parameter startip ({first}) must not be above endip ({last})")
    for name, value in (("startip", first), ("endip", last)):
        if value not in network:
            raise InvalidParameter(f"parameter {name} ({value}) is not within {network}, which gateway and netmask say")
    if network.prefixlen < 31 and (first == network.network_address or last == network.broadcast_address):
        raise InvalidParameter(f"startip and endip must leave out the network and broadcast address of {network}")
    return int(first), int(last)


def isolation(methods: list[str] | None) -> str:
    """Return how guest networks of a physical network are kept apart: VLAN (the default) or VXLAN."""
    if not methods:
        return VLAN
    if len(methods) > 1:
        raise InvalidParameter("parameter isolationmethods: give one method, VLAN or VXLAN")
    return one_of("isolationmethods", methods[0], (VLAN, VXLAN))


def tag_ranges(text: str, method: str) -> Ranges:
    """Read "100-200,300": VLAN ids or VXLAN network identifiers, whole and without overlap."""
    highest = HIGHEST_TAG[method]
    found: Ranges = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"(\d{1,8})(?:\s*-\s*(\d{1,8}))?", part)
        if not match:
            raise InvalidParameter(f"parameter vlan must look like 100-200 or 100-200,300-400, not {text[:60]!r}")
        low, high = int(match[1]), int(match[2] or match[1])
        if not 1 <= low <= high <= highest:
            raise InvalidParameter(f"parameter vlan: {part} is not a range within 1-{highest} ({method})")
        found.append((low, high))
    found.sort()
    for before, after in itertools.pairwise(found):
        if after[0] <= before[1]:
            raise InvalidParameter(
                f"parameter vlan: the ranges {before[0]}-{before[1]} and {after[0]}-{after[1]} overlap"
            )
    return found


def render_ranges(ranges: Ranges) -> str:
    """Write tag ranges as clients know them; touching ones are joined."""
    joined: Ranges = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return ",".join(f"{low}-{high}" for low, high in joined)


def within(ranges: Ranges, tag: int) -> bool:
    """Tell whether a tag lies in one of the ranges."""
    return any(low <= tag <= high for low, high in ranges)


def overlap(first: Ranges, second: Ranges) -> tuple[int, int] | None:
    """Return a stretch that both have in common, or None."""
    for low, high in first:
        for other_low, other_high in second:
            if low <= other_high and other_low <= high:
                return max(low, other_low), min(high, other_high)
    return None


def pack_tags(parameter: str, tags: list[str] | str | None) -> str:
    """Return tags as they are stored: ",ssd,gpu," (a comma before and after each), "" when there are none."""
    pieces = tags.split(",") if isinstance(tags, str) else tags or []
    clean = list(dict.fromkeys(piece.strip() for piece in pieces if piece.strip()))
    for tag in clean:
        if not _TAG.match(tag):
            raise InvalidParameter(f"parameter {parameter}: a tag may hold no blanks or commas: {tag[:60]!r}")
    packed = f",{','.join(clean)}," if clean else ""
    if len(packed) > 1024:
        raise InvalidParameter(f"parameter {parameter}: all tags together may be at most 1,000 characters long")
    return packed


def tags_or_rule(parameter: str, tags: list[str] | str | None, *, rule: bool) -> dict[str, str | None]:
    """Return the columns tags and tag_rule: one of the two is empty; a rule must be one that is understood."""
    if not rule:
        return {"tags": pack_tags(parameter, tags), "tag_rule": None}
    text = (tags if isinstance(tags, str) else ",".join(tags or [])).strip()
    try:
        tag_rules.compiled(text)
    except tag_rules.RuleError as error:
        raise InvalidParameter(
            f"parameter {parameter} is no tag rule (istagarule=true), such as tags[0] == 'ssd': {error}"
        ) from None
    return {"tags": "", "tag_rule": text}


def unpack_tags(stored: str) -> str | None:
    """Return stored tags as clients know them: "ssd,gpu", or None when there are none."""
    return stored.strip(",") or None
