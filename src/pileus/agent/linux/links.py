"""Links, addresses and routes through netlink, in the calling thread's network namespace.

Each function makes things so, and says whether anything had to change; what is right already is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pyroute2

from pileus.agent.linux import sysctl

VXLAN_PORT = 4789
_FLOOD = "00:00:00:00:00:00"  # the forwarding entry for frames whose destination is not known yet
_WORST_METRIC = 0xFFFFFFFF


@contextlib.contextmanager
def netlink() -> Generator[Any, None, None]:
    """Open a netlink socket in the namespace of the calling thread; pyroute2 has no type stubs."""
    with pyroute2.IPRoute() as ip:
        yield ip


def index(name: str) -> int:
    """Return a link's index; 0 when there is no such link."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def find(ip: Any, name: str) -> Any | None:
    """Return a link's netlink message, or None; asked for by its index, as a search by name decodes all links."""
    number = index(name)
    if not number:
        return None
    try:
        return ip.link("get", index=number)[0]
    except pyroute2.NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def is_up(link: Any) -> bool:
    """Tell whether a link is set up."""
    return bool(link["flags"] & 1)


def ensure_bridge(ip: Any, name: str, mtu: int) -> bool:
    """Make a bridge that forwards at once and has no IPv6 address."""
    link = find(ip, name)
    made = link is None
    if made:
        ip.link("add", ifname=name, kind="bridge", br_stp_state=0, br_forward_delay=0, br_mcast_snooping=0)
        sysctl.disable_ipv6(name)
        sysctl.write(f"net/ipv4/conf/{name}/arp_ignore", "1")
        link = find(ip, name)
    return set_up(ip, link, mtu=mtu) or made


def set_up(ip: Any, link: Any, *, mtu: int = 0, master: int | None = None) -> bool:
    """Give a link its MTU and master, and set it up."""
    wanted: dict[str, Any] = {}
    if mtu and link.get("mtu") != mtu:
        wanted["mtu"] = mtu
    if master is not None and (link.get("master") or 0) != master:
        wanted["master"] = master
    if not is_up(link):
        wanted["state"] = "up"
    if wanted:
        ip.link("set", index=link["index"], **wanted)
    return bool(wanted)


def ensure_vxlan(ip: Any, name: str, bridge: str, *, vni: int, local: str, mtu: int) -> bool:
    """Make a VXLAN device on the tunnel address, a port of the bridge."""
    link = find(ip, name)
    if link is not None and link.get(("linkinfo", "data", "vxlan_local")) != local:
        ip.link("del", index=link["index"])
        link = None
    made = link is None
    if made:
        ip.link(
            "add",
            ifname=name,
            kind="vxlan",
            vxlan_id=vni,
            vxlan_local=local,
            vxlan_port=VXLAN_PORT,
            vxlan_learning=1,
        )
        sysctl.disable_ipv6(name)
        link = find(ip, name)
    return set_up(ip, link, mtu=mtu, master=index(bridge)) or made


def ensure_flooding(ip: Any, name: str, peers: Sequence[str]) -> bool:
    """Let frames for everybody go to each peer (head-end replication), and to nobody else."""
    device = index(name)
    known = {
        entry.get_attr("NDA_DST")
        for entry in ip.get_neighbours(family=socket.AF_BRIDGE, ifindex=device)
        if entry["ifindex"] == device and entry.get_attr("NDA_LLADDR") == _FLOOD and entry.get_attr("NDA_DST")
    }
    for peer in known - set(peers):
        ip.fdb("del", ifindex=device, lladdr=_FLOOD, dst=peer)
    for peer in set(peers) - known:
        ip.fdb("append", ifindex=device, lladdr=_FLOOD, dst=peer)
    return known != set(peers)


def ensure_vlan(ip: Any, name: str, bridge: str, *, tag: int, parent: str, mtu: int) -> bool:
    """Make a VLAN sub-interface of the parent, a port of the bridge."""
    link = find(ip, name)
    made = link is None
    if made:
        above = find(ip, parent)
        if above is None:
            raise LookupError(f"interface {parent} for VLAN {tag} does not exist on this host")
        ip.link("add", ifname=name, kind="vlan", link=above["index"], vlan_id=tag)
        sysctl.disable_ipv6(name)
        link = find(ip, name)
    return set_up(ip, link, mtu=mtu, master=index(bridge)) or made


def ensure_leg(ip: Any, outer: str, bridge: str, *, namespace: str, inner: str, mac: str, mtu: int) -> bool:
    """Make a cable from a bridge into a namespace; the inner end has the MAC and stays down for now."""
    link = find(ip, outer)
    made = link is None
    if made:
        peer = {"ifname": inner, "net_ns_fd": namespace, "address": mac, "mtu": mtu}
        ip.link("add", ifname=outer, kind="veth", mtu=mtu, peer=peer)
        sysctl.disable_ipv6(outer)
        link = find(ip, outer)
    return set_up(ip, link, mtu=mtu, master=index(bridge)) or made


def delete(ip: Any, name: str) -> bool:
    """Delete a link, if it is there."""
    found = index(name)
    if found:
        try:
            ip.link("del", index=found)
        except pyroute2.NetlinkError as error:
            if error.code != errno.ENODEV:
                raise
    return bool(found)


def ports(ip: Any, bridge: str) -> list[str]:
    """Name what is plugged into a bridge."""
    master = index(bridge)
    return [link.get("ifname") for link in ip.link("dump", master=master)] if master else []


def names() -> list[str]:
    """Name all links."""
    return [name for _, name in socket.if_nameindex()]


def addresses(ip: Any, name: str) -> set[str]:
    """Return a link's IPv4 addresses with their prefix lengths."""
    return {
        f"{message.get_attr('IFA_LOCAL')}/{message['prefixlen']}"
        for message in ip.get_addr(family=socket.AF_INET, index=index(name))
    }


def set_addresses(ip: Any, name: str, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Give a link exactly these IPv4 addresses ("10.1.1.1/24"); returns those added and those removed."""
    device = index(name)
    known = addresses(ip, name)
    removed = sorted(known - set(wanted))
    added = [each for each in wanted if each not in known]
    for each in removed:
        _address(ip, "del", device, each)
    for each in added:
        _address(ip, "add", device, each)
    return added, removed


def _address(ip: Any, verb: str, device: int, text: str) -> None:
    address, prefix = text.split("/")
    ip.addr(verb, index=device, address=address, prefixlen=int(prefix))


def set_default_route(ip: Any, gateway: str, source: str) -> bool:
    """Let everything else go to the gateway, wearing the source address; "" = no default route."""
    known = [
        (route.get_attr("RTA_GATEWAY"), route.get_attr("RTA_PREFSRC"))
        for route in ip.get_routes(family=socket.AF_INET, table=254)
        if route["dst_len"] == 0 and route["table"] == 254
    ]
    if known == ([(gateway, source)] if gateway else []):
        return False
    for _ in known:
        ip.route("del", dst="0.0.0.0/0")
    if gateway:
        ip.route("add", dst="0.0.0.0/0", gateway=gateway, prefsrc=source)
    return True


def default_interface(ip: Any) -> str:
    """Name the interface of the default route; "" when there is none."""
    for route in ip.get_routes(family=socket.AF_INET, table=254):
        if route["dst_len"] == 0 and route.get_attr("RTA_OIF"):
            return socket.if_indextoname(route.get_attr("RTA_OIF"))
    return ""


def set_unreachable(ip: Any, networks: Sequence[str], present: bool) -> None:
    """Add (or remove) the routes that keep packets for these networks home when their bridge is down."""
    for network in networks:
        verb = "replace" if present else "del"
        try:
            ip.route(verb, dst=network, type="unreachable", priority=_WORST_METRIC)
        except pyroute2.NetlinkError as error:
            if present or error.code != errno.ESRCH:
                raise


def octets(name: str) -> tuple[int, int]:
    """Return the bytes that a link received and sent; zeros when there is no such link."""
    for line in Path("/proc/thread-self/net/dev").read_text(encoding="ascii").splitlines():
        link, _, figures = line.partition(":")
        if link.strip() == name:
            columns = figures.split()
            return int(columns[0]), int(columns[8])
    return 0, 0
