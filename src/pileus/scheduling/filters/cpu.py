"""Only hosts with enough CPU: cores, speed of a core, and MHz not promised yet; and that can limit it, if need be."""

from __future__ import annotations

from pileus.scheduling.model import Host, Reason, Request

_CORES = Reason("has too few cores", "have too few cores")
_SPEED = Reason("has too slow cores", "have too slow cores")
_UNLIMITED = Reason("cannot limit CPU use", "cannot limit CPU use")
_FULL = Reason("lacks CPU", "lack CPU")


def check(host: Host, request: Request) -> Reason | None:
    """Refuse hosts that cannot run so many cores of such speed, or have promised too much to others."""
    if host.used_cpu + request.cpu > host.cpu_limit:
        return _FULL if request.cpus <= host.cpus else _CORES
    if request.cpus > host.cpus:
        return _CORES
    if request.cpu_mhz > host.cpu_mhz:
        return _SPEED
    return _UNLIMITED if request.cpu_limited and not host.limits_cpu else None
