"""Rate limits of machines' NICs, by traffic control on their taps.

Towards the guest a token bucket on the tap; from the guest everything is sent through an intermediate device (ifb)
with a token bucket of its own, as a queue only slows down what leaves by it.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pyroute2
import structlog

from pileus.agent.context import AgentContext
from pileus.agent.linux import commands, links, sysctl
from pileus.dataplane import names
from pileus.wire.machines import Nic

log = structlog.get_logger(__name__)

_BYTES_PER_MBIT = 125_000
_FASTEST = 0xFFFFFFFF  # bytes per second that the kernel's table takes, 34 Gbit/s
_LEAST_BURST = 65_536  # bytes: one segment as a guest's virtio NIC hands them over
_BURST_SECONDS = 0.01
_LATENCY = 50_000  # microseconds that a packet may wait; what would wait longer is dropped
_ROOT = 0xFFFFFFFF
_INGRESS = 0xFFFF0000
_ALL_PROTOCOLS = 0x0003
_NOT_THERE = {errno.ENOENT, errno.EINVAL, errno.ENODEV}  # how kernels say so of a queue or its link
_lock = threading.Lock()


def ensure(context: AgentContext, nics: Iterable[Nic]) -> list[str]:
    """Limit those of the NICs whose taps are there, and free all others; returns the taps that had to change."""
    limited = {names.tap(context.prefix, nic.uuid): nic for nic in nics if nic.rate_mbit > 0}
    with _lock, links.netlink() as ip:
        present = set(links.names())
        wanted = {tap: nic for tap, nic in limited.items() if tap in present}
        shapers = {link: tap for link in present if (tap := names.shaped_tap(context.prefix, link))}
        changed: list[str] = []
        for link, tap in shapers.items():
            if tap not in wanted:
                links.delete(ip, link)
                changed += [tap] if _free(ip, tap) else []
        queues = _queues(ip) if wanted else {}
        for tap, nic in sorted(wanted.items()):
            try:
                if _limit(ip, queues, tap, names.shaper(context.prefix, nic.uuid), nic.rate_mbit):
                    changed.append(tap)
            except pyroute2.NetlinkError:
                if links.index(tap):  # else the machine has ended meanwhile
                    raise
        return changed


def _limit(ip: Any, queues: dict[int, dict[str, int]], tap: str, shaper: str, mbit: int) -> bool:
    """Limit one NIC both ways."""
    rate = min(mbit * _BYTES_PER_MBIT, _FASTEST)
    link = links.find(ip, shaper)
    changed = link is None
    if link is None:
        _load_module()
        ip.link("add", ifname=shaper, kind="ifb")
        sysctl.disable_ipv6(shaper)
        link = links.find(ip, shaper)
    changed |= links.set_up(ip, link)
    plug, device = links.index(tap), links.index(shaper)
    for each in (plug, device):
        if queues.get(each, {}).get("tbf") != rate:
            burst = max(_LEAST_BURST, int(rate * _BURST_SECONDS))
            ip.tc("replace", "tbf", each, 0, parent=_ROOT, rate=rate, burst=burst, latency=_LATENCY)
            changed = True
    if "ingress" not in queues.get(plug, {}) or _target(ip, plug) != device:
        _redirect(ip, plug, device, again="ingress" in queues.get(plug, {}))
        changed = True
    return changed


@cache
def _load_module() -> None:
    """Load the kernel's module where it is not there: loaded by itself it brings two devices that nobody asked for."""
    if Path("/sys/module/ifb").exists():
        return
    try:
        commands.run(["modprobe", "ifb", "numifbs=0"])
    except commands.CommandError as error:  # the kernel may load it by itself
        log.warning("the module ifb could not be loaded ahead; ifb0 and ifb1 may appear", reason=str(error))


def _free(ip: Any, tap: str) -> bool:
    """Take the queues off a tap; tells whether it is (still) there."""
    plug = links.index(tap)
    for queue in ({"parent": _ROOT}, {"kind": "ingress", "handle": _INGRESS}) if plug else ():
        try:
            ip.tc("del", index=plug, **queue)
        except pyroute2.NetlinkError as error:
            if error.code not in _NOT_THERE:
                raise
    return bool(plug)


def _redirect(ip: Any, plug: int, device: int, *, again: bool) -> None:
    """Send all that comes in by the plug through the device; the kernel then goes on with it as if by the plug."""
    if again:
        ip.tc("del", "ingress", plug, _INGRESS)
    ip.tc("add", "ingress", plug, _INGRESS)
    send = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": device}
    everything = ["0x0/0x0+0"]
    ip.tc(
        "add-filter",
        "u32",
        plug,
        parent=_INGRESS,
        protocol=_ALL_PROTOCOLS,
        prio=1,
        target=0x10000,
        keys=everything,
        action=[send],
    )


def _queues(ip: Any) -> dict[int, dict[str, int]]:
    """Return the queues of every link: kind -> rate in bytes per second, 0 where there is none."""
    found: dict[int, dict[str, int]] = {}
    for message in ip.get_qdiscs():
        kind = message.get_attr("TCA_KIND")
        bucket = message.get_nested("TCA_OPTIONS", "TCA_TBF_PARMS") if kind == "tbf" else None
        found.setdefault(message["index"], {})[kind] = bucket["rate"] if bucket else 0
    return found


def _target(ip: Any, plug: int) -> int:
    """Return the index of the device that a plug's packets are sent to; 0 when they are not."""
    for message in ip.get_filters(index=plug, parent=_INGRESS):
        action = message.get_nested("TCA_OPTIONS", "TCA_U32_ACT", "TCA_ACT_PRIO_1")
        parameters = action.get_nested("TCA_ACT_OPTIONS", "TCA_MIRRED_PARMS") if action else None
        if parameters:
            return int(parameters["ifindex"])
    return 0
