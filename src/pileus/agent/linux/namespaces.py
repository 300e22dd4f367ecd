"""Named network namespaces, as `ip netns` keeps them."""

from __future__ import annotations

from pileus.agent.linux import sysctl
from pileus.agent.linux.commands import run
from pileus.agent.linux.links import netlink
from pileus.agent.linux.setns import NAMESPACES, inside

_ROUTER = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/ipv4/conf/all/rp_filter": "1",
    "net/ipv4/conf/all/arp_ignore": "1",
    "net/ipv4/conf/all/arp_announce": "2",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/all/promote_secondaries": "1",
    "net/ipv4/ip_forward": "1",
}


def inode(namespace: str) -> int:
    """Return what tells this namespace from a later one by the same name; 0 when there is none."""
    try:
        return (NAMESPACES / namespace).stat().st_ino
    except FileNotFoundError:
        return 0


def ensure(namespace: str) -> bool:
    """Make a namespace for a router unless it is there; returns whether it was made."""
    made = not inode(namespace)
    if made:
        run(["ip", "netns", "add", namespace])
        inside(namespace, _loopback_up)
    return made


def set_router_sysctls(namespace: str) -> list[str]:
    """Set what a router's kernel needs; returns the names of those that were different."""
    return inside(namespace, lambda: [name for name, value in _ROUTER.items() if sysctl.write(name, value)])


def remove(namespace: str) -> None:
    """Remove a namespace, if it is there."""
    if inode(namespace):
        run(["ip", "netns", "delete", namespace])


def named(prefix: str) -> list[str]:
    """Name the namespaces of a cloud's routers."""
    if not NAMESPACES.is_dir():
        return []
    return sorted(path.name for path in NAMESPACES.iterdir() if path.name.startswith(f"{prefix}-"))


def _loopback_up() -> None:
    with netlink() as ip:
        ip.link("set", index=1, state="up")
