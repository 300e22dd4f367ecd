"""DHCP options that a machine may get beside what the router tells every guest; pure.

The router's own options (gateway, name servers, MTU, host name, leases) are not among them, and values are such that
dnsmasq takes them: one that it refuses would leave the whole network without DHCP.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address

NAMES = {
    2: "time-offset", 4: "time-server", 7: "log-server", 9: "lpr-server", 13: "boot-file-size", 15: "domain-name",
    16: "swap-server", 17: "root-path", 18: "extension-path", 19: "ip-forward-enable",
    20: "non-local-source-routing", 22: "max-datagram-reassembly", 23: "default-ttl", 27: "all-subnets-local",
    31: "router-discovery", 32: "router-solicitation", 34: "trailer-encapsulation", 35: "arp-timeout",
    36: "ethernet-encap", 37: "tcp-ttl", 38: "tcp-keepalive", 40: "nis-domain", 41: "nis-server", 42: "ntp-server",
    44: "netbios-ns", 45: "netbios-dd", 46: "netbios-nodetype", 48: "x-windows-fs", 49: "x-windows-dm",
    64: "nis+-domain", 65: "nis+-server", 66: "tftp-server", 67: "bootfile-name", 69: "smtp-server",
    70: "pop3-server", 71: "nntp-server", 74: "irc-server", 114: "url",
}  # fmt: skip
_NUMBERS = {2: 32, 13: 16, 19: 8, 20: 8, 22: 16, 23: 8, 27: 8, 31: 8, 34: 8, 35: 32, 36: 8, 37: 8, 38: 32, 46: 8}
"""Options that are numbers, of so many bits."""
_ADDRESSES = frozenset({4, 7, 9, 16, 32, 41, 42, 44, 45, 48, 49, 65, 69, 70, 71, 74})
_DOMAINS = frozenset({15, 40, 64})
_OWN_USE = range(224, 255)
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")
_TEXT = re.compile(r"[A-Za-z/][A-Za-z0-9._:/?=&%+@~-]{0,253}")
LONGEST = 254


def name(code: int) -> str:
    """Return an option's name."""
    return NAMES.get(code, f"option-{code}")


def check(code: str, value: str) -> tuple[str, str]:
    """Return code and value as they are kept; raises ValueError, saying what would be right."""
    number = int(code) if code.isascii() and code.isdecimal() and len(code) < 4 else -1
    if number not in NAMES and number not in _OWN_USE:
        known = ", ".join(str(each) for each in NAMES)
        raise ValueError(f"DHCP option {code[:20]!r} cannot be chosen; these can: {known} and 224 to 254")
    if number in _NUMBERS:
        if not (value.isascii() and value.isdecimal() and len(value) < 11 and int(value) < 1 << _NUMBERS[number]):
            raise ValueError(f"DHCP option {number} must be a whole number below {1 << _NUMBERS[number]}")
        return str(number), str(int(value))
    if number in _ADDRESSES:
        try:
            found = [str(IPv4Address(each.strip())) for each in value.split(",")]
        except ValueError:
            raise ValueError(f"DHCP option {number} must be IPv4 addresses, separated by commas") from None
        if len(found) > 16:
            raise ValueError(f"DHCP option {number} may have 16 addresses at most")
        return str(number), ",".join(found)
    allowed = _DOMAIN if number in _DOMAINS else _TEXT
    if len(value) > LONGEST or not allowed.fullmatch(value):
        what = "a domain name" if number in _DOMAINS else "a path, name or URL, beginning with a letter or a slash,"
        raise ValueError(f"DHCP option {number} must be {what} of {LONGEST} characters at most")
    return str(number), value
