"""Lists of networks in settings: `10.0.0.0/8, fd00::/8`."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=1000)
def networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list; ValueError, saying which part is none."""
    found: list[Network] = []
    for part in text.split(","):
        if not part.strip():
            continue
        try:
            found.append(ipaddress.ip_network(part.strip(), strict=False))
        except ValueError:
            raise ValueError(f"must be networks such as 10.0.0.0/8 by commas ({part.strip()[:50]!r} is none)") from None
    return tuple(found)


def within(address: str, found: tuple[Network, ...]) -> bool:
    """Tell whether an address is in one of the networks; one that cannot be read is in none."""
    try:
        given = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(given, ipaddress.IPv6Address) and given.ipv4_mapped is not None:
        given = given.ipv4_mapped
    return any(given in network for network in found)
