"""What this kernel can do, found out by doing it where nobody is."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pyroute2

from pileus.agent.linux import links
from pileus.agent.linux.setns import in_new_namespace


@functools.cache
def kernel_isolation() -> list[str]:
    """Name the kinds of segment that work here ("vxlan", "vlan"), tried in a throw-away namespace."""
    return in_new_namespace(_try_all)


def _try_all() -> list[str]:
    working: list[str] = []
    with links.netlink() as ip:
        links.ensure_bridge(ip, "bridge", 1450)
        ip.link("add", ifname="trunk", kind="veth", peer={"ifname": "other"})
        try:
            links.ensure_vxlan(ip, "vxlan", "bridge", vni=1, local="127.0.0.1", mtu=1450)
            working.append("vxlan")
        except pyroute2.NetlinkError:
            pass  # the answer of this probe: not here
        try:
            links.ensure_vlan(ip, "vlan", "bridge", tag=1, parent="trunk", mtu=1450)
            working.append("vlan")
        except pyroute2.NetlinkError:
            pass
    return working


def cpu_mhz() -> int:
    """Return the CPU's highest frequency; where the kernel does not tell it, the present one."""
    highest = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    if highest.exists():
        return int(highest.read_text()) // 1000
    told = re.search(r"^cpu MHz\s*:\s*(\S+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return round(float(told.group(1) if told else "1000"))
